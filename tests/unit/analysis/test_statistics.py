"""Estimates and intervals against known distributions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dlas.analysis import statistics
from dlas.analysis.statistics import Interval
from dlas.errors import StudyError


def coverage(interval, truth, draws=300):
    generator = np.random.default_rng(0)
    found = [interval(generator) for _ in range(draws)]
    return np.mean([one.low <= truth <= one.high for one in found])


def test_median_interval_covers_the_median():
    assert (
        0.91
        <= coverage(lambda draw: statistics.median(draw.exponential(size=30)), np.log(2))
        <= 0.99
    )


def test_median_is_deterministic_and_ordered():
    samples = np.random.default_rng(1).normal(5, 1, 20)
    first, second = statistics.median(samples), statistics.median(samples)
    assert first == second and first.low <= first.estimate <= first.high
    assert first.estimate == np.median(samples)


def test_one_sample_has_no_interval():
    found = statistics.median([3.0])
    assert found.estimate == 3 and np.isnan(found.low) and np.isnan(found.high)


def test_geometric_mean_interval_covers_with_few_pairs():
    def interval(draw):
        return statistics.geometric_mean_ratio(
            2 * np.exp(0.3 * draw.standard_normal(4)), np.ones(4)
        )

    assert 0.91 <= coverage(interval, 2, draws=1000) <= 0.99


def test_geometric_mean_of_ratios():
    assert statistics.geometric_mean_ratio([2, 8], [1, 1]).estimate == pytest.approx(4)
    assert np.isnan(statistics.geometric_mean_ratio([2], [1]).low)


def group_ratio(values, first, blocks):
    _, limits = statistics.group_difference(np.log(values)[:, None], first, blocks)
    return Interval(*np.exp(limits))


def test_group_difference_compares_within_the_blocks():
    """The blocks differ by a factor of 10, the groups by one of 2."""
    first, blocks = np.array([1, 1, 0, 1, 0, 0]), ["a", "a", "a", "b", "b", "b"]
    values = np.where(first, 2.0, 1.0) * np.where(np.array(blocks) == "b", 10, 1)
    assert group_ratio(values, first, blocks) == pytest.approx((2, 2, 2))
    # Nothing is left for an error; never together in a block.
    assert np.isnan(group_ratio(np.array([1, 2]), [0, 1], ["a", "a"]).low)
    assert np.isnan(group_ratio(np.array([1, 2, 3]), [0, 1, 1], ["a", "b", "b"]).low)


def test_group_difference_is_the_t_test_where_there_is_one_block():
    draw = np.random.default_rng(0)
    values, first = draw.standard_normal((9, 3)), np.arange(9) < 4
    found, limits = statistics.group_difference(values, first, ["a"] * 9)
    reference = stats.ttest_ind(values[first], values[~first]).confidence_interval(0.95)
    assert limits[1:] == pytest.approx([reference.low[0], reference.high[0]])
    assert found == pytest.approx(values[first].mean(axis=0) - values[~first].mean(axis=0))


def test_group_difference_covers_with_few_members():
    first, blocks = np.array([1, 1, 0, 0, 1, 1, 0]), ["a"] * 4 + ["b"] * 3

    def interval(draw):
        spread = np.exp(0.5 * draw.standard_normal(7))
        return group_ratio(np.where(first, 0.5, 1.0) * spread, first, blocks)

    assert 0.93 <= coverage(interval, 0.5, draws=1000) <= 0.97


def test_rank_correlation():
    x = np.arange(8)
    assert statistics.rank_correlation(x, x**3) == (1, 1, 1)
    assert statistics.rank_correlation(x, -x) == (-1, -1, -1)
    noise = statistics.rank_correlation(x, np.random.default_rng(0).normal(size=8))
    assert noise.low < 0 < noise.high
    assert np.isnan(statistics.rank_correlation(x, np.ones(8)).estimate)
    assert np.isnan(statistics.rank_correlation([1, 2], [2, 1]).estimate)


def test_proportion():
    assert statistics.proportion(0, 13).high == pytest.approx(1 - 0.025 ** (1 / 13))
    assert np.isnan(statistics.proportion(0, 0).estimate)


NOT_FINITE = [np.nan, np.inf, -np.inf]
ONES = [1.0, 2.0, 3.0]
STATISTICS = {
    "median": statistics.median,
    "fewest images": statistics.fewest_images,
    "rank correlation": lambda samples: statistics.rank_correlation(ONES, samples),
    "mean ratio": lambda samples: statistics.geometric_mean_ratio(samples, ONES),
    "mean ratio, below": lambda samples: statistics.geometric_mean_ratio(ONES, samples),
}


@pytest.mark.parametrize("name", STATISTICS)
@pytest.mark.parametrize("value", [*NOT_FINITE, 0.0, -1.0])
def test_samples_that_are_no_numbers_or_no_times_are_refused(name, value):
    samples, statistic = [1.5, value, 2.5], STATISTICS[name]
    if np.isfinite(value) and "ratio" not in name:
        statistic(np.abs(samples))
        return
    with pytest.raises(StudyError, match=f"^a sample is {value}; allowed: finite numbers"):
        statistic(samples)


@pytest.mark.parametrize(
    ("alone", "comparisons", "order"),
    [
        ((12, 2), 1, 1),
        ((2, 12), 1, -1),
        ((12, 2), 10, 0),  # one of many comparisons
        ((5, 0), 1, 0),  # of five images no test finds a difference at 5 %
        ((6, 0), 1, 1),
        ((0, 0), 1, 0),
    ],
)
@pytest.mark.parametrize("shared", [0, 5000])
def test_accuracies_differ_by_the_images_on_which_the_answers_do(alone, comparisons, order, shared):
    """The images that both get right have no part in it."""
    both, first, second = np.split(np.arange(shared + sum(alone)), [shared, shared + alone[0]])
    correct = np.zeros((2, shared + sum(alone)), bool)
    correct[:, both], correct[0, first], correct[1, second] = True, True, True
    assert statistics.accuracy_order(*correct, comparisons) == order


def test_accuracy_is_not_compared_where_it_is_not_known():
    assert statistics.accuracy_order(None, np.ones(100, bool), 1) == 0


@given(st.integers(0, 30), st.integers(0, 30))
def test_the_test_is_the_exact_binomial_one(first, second):
    correct = np.zeros((2, first + second), bool)
    correct[0, :first], correct[1, first:] = True, True
    clear = first + second > 0 and stats.binomtest(first, first + second).pvalue < 0.05
    assert (statistics.accuracy_order(*correct, 1) != 0) == clear


@given(st.integers(1, 5000), st.lists(st.integers(0, 5000), min_size=1, max_size=8))
def test_fewest_images_divides_the_true_number(images, correct):
    found = statistics.fewest_images([100 * min(count, images) / images for count in correct])
    assert images % found == 0


def test_fewest_images_finds_the_number():
    assert statistics.fewest_images([100 * 353 / 360, 100 * 349 / 360]) == 360


@given(st.floats(0.5, 2), st.floats(1, 1.5), st.floats(1, 1.5))
def test_noise_floor_is_the_far_limit(ratio, below, above):
    floor = statistics.noise_floor(Interval(ratio, ratio / below, ratio * above))
    assert floor >= 1
    assert floor == pytest.approx(max(ratio * above, below / ratio))
