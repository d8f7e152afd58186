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


def test_median_ratio_pairs_the_rounds():
    drift = np.linspace(1, 3, 30)  # common to both
    found = statistics.median_ratio(1.5 * drift, drift)
    assert found == pytest.approx((1.5, 1.5, 1.5))


def test_geometric_mean_interval_covers_with_few_pairs():
    def interval(draw):
        return statistics.geometric_mean_ratio(
            2 * np.exp(0.3 * draw.standard_normal(4)), np.ones(4)
        )

    assert 0.91 <= coverage(interval, 2, draws=1000) <= 0.99


def test_geometric_mean_of_ratios():
    assert statistics.geometric_mean_ratio([2, 8], [1, 1]).estimate == pytest.approx(4)
    assert np.isnan(statistics.geometric_mean_ratio([2], [1]).low)


def test_group_ratio_compares_within_the_blocks():
    """The blocks differ by a factor of 10, the groups by one of 2."""
    first, blocks = np.array([1, 1, 0, 1, 0, 0]), ["a", "a", "a", "b", "b", "b"]
    values = np.where(first, 2.0, 1.0) * np.where(np.array(blocks) == "b", 10, 1)
    assert statistics.group_ratio(values, first, blocks) == pytest.approx((2, 2, 2))
    assert np.isnan(
        statistics.group_ratio([1, 2], [0, 1], ["a", "a"]).low
    )  # nothing left for an error
    assert np.isnan(
        statistics.group_ratio([1, 2, 3], [0, 1, 1], ["a", "b", "b"]).low
    )  # never together


def test_group_ratio_is_the_t_test_where_there_is_one_block():
    draw = np.random.default_rng(0)
    values, first = np.exp(draw.standard_normal(9)), np.arange(9) < 4
    found = statistics.group_ratio(values, first, ["a"] * 9)
    reference = stats.ttest_ind(np.log(values[first]), np.log(values[~first]))
    limits = reference.confidence_interval(0.95)
    assert np.log(found[1:]) == pytest.approx([limits.low, limits.high])


def test_group_ratio_covers_with_few_members():
    first, blocks = np.array([1, 1, 0, 0, 1, 1, 0]), ["a"] * 4 + ["b"] * 3

    def interval(draw):
        spread = np.exp(0.5 * draw.standard_normal(7))
        return statistics.group_ratio(np.where(first, 0.5, 1.0) * spread, first, blocks)

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


def interval(centre, error):
    return Interval(centre, centre * np.exp(-1.96 * error), centre * np.exp(1.96 * error))


@pytest.mark.parametrize(
    ("ratio", "error", "floor", "comparisons", "clear"),
    [
        (1.10, 0.01, 1.02, 1, True),
        (1.10, 0.01, 1.12, 1, False),  # within the noise floor
        (1.10, 0.10, 1.02, 1, False),  # within its own interval
        (1.05, 0.01, 1.02, 1, True),
        (1.05, 0.01, 1.02, 1000, False),  # one of many comparisons
        (0.90, 0.01, 1.02, 1, False),  # the other direction
    ],
)
def test_clearly_above(ratio, error, floor, comparisons, clear):
    assert (
        statistics.clearly_above(interval(ratio, error), interval(1, error), floor, comparisons)
        is clear
    )


def test_nothing_is_clear_without_an_interval():
    assert not statistics.clearly_above(Interval(9, np.nan, np.nan), interval(1, 0.01), 1, 1)


NOT_FINITE = [np.nan, np.inf, -np.inf]
ONES = [1.0, 2.0, 3.0]
STATISTICS = {
    "median": statistics.median,
    "fewest images": statistics.fewest_images,
    "rank correlation": lambda samples: statistics.rank_correlation(ONES, samples),
    "median ratio": lambda samples: statistics.median_ratio(samples, ONES),
    "median ratio, below": lambda samples: statistics.median_ratio(ONES, samples),
    "mean ratio": lambda samples: statistics.geometric_mean_ratio(samples, ONES),
    "mean ratio, below": lambda samples: statistics.geometric_mean_ratio(ONES, samples),
    "group ratio": lambda samples: statistics.group_ratio(samples, [1, 0, 0], ["a"] * 3),
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


@pytest.mark.parametrize("comparisons", [1, 10])
def test_clearly_above_errs_as_often_as_it_says(comparisons):
    """The true difference is exactly the noise floor: the level is that of one comparison."""
    draw, error, floor = np.random.default_rng(0), 0.01, 1.05
    wrong = [
        statistics.clearly_above(
            interval(floor * np.exp(error * draw.standard_normal()), error),
            interval(np.exp(error * draw.standard_normal()), error),
            floor,
            comparisons,
        )
        for _ in range(2000)
    ]
    assert np.mean(wrong) == pytest.approx(
        0.05 / comparisons, abs=3 * np.sqrt(0.05 / comparisons / 2000)
    )


def test_accuracy_needs_enough_images():
    assert not statistics.accuracy_clearly_above(96, 93, 100, 1)
    assert statistics.accuracy_clearly_above(96, 93, 10_000, 1)
    assert not statistics.accuracy_clearly_above(93, 96, 10_000, 1)


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
