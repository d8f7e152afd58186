"""Paired ratios: drift cancels, intervals hold the truth as often as they say."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dlas.analysis import effects
from dlas.analysis.columns import CONFIGURATION
from dlas.analysis.effects import Effect, Rounds

ROUNDS = 30
NAMES = dict.fromkeys(CONFIGURATION, "one")


def long_table(latencies, machine="here", **names):
    """Samples of one configuration, as results/samples.csv.gz has them."""
    rows = pd.DataFrame({"latency_ms": latencies, "round": range(len(latencies))})
    return rows.assign(**NAMES | names, machine=machine, role="measured")


def study(*names):
    return pd.DataFrame([NAMES | one for one in names])


def test_samples_come_to_the_row_with_their_keys():
    gemm, direct = {"primitive": "gemm"}, {"primitive": "direct"}
    samples = pd.concat(
        [
            long_table([1.0, 2.0, 3.0], **gemm),
            long_table([4.0, 5.0], **direct),
            long_table([9.0], **direct).assign(role="aa_replicate"),
        ]
    )
    found = effects.rounds_of(study(direct, gemm, {"primitive": "spatial_pack"}), samples)
    expected = [[4, 5, np.nan], [1, 2, 3], [np.nan] * 3]
    np.testing.assert_allclose(np.exp(found.log), expected)
    assert found.job[0] == found.job[1] != found.job[2]


def test_no_samples_are_rows_without_rounds():
    empty = long_table([])
    found = effects.rounds_of(study({}, {"model": "other"}), empty)
    assert len(found.log) == len(found.job) == 2 and not np.isfinite(found.log).any()


def test_platforms_are_pairs_where_one_machine_timed_them_together():
    platforms = [{"platform": "local_cpu"}, {"platform": "local_cpu_avx2"}, {"platform": "board"}]
    machines = ["local_cpu", "local_cpu", "board"]
    samples = pd.concat(
        [
            long_table([1.0, 2.0], machine, **one)
            for one, machine in zip(platforms, machines, strict=True)
        ]
    )
    rounds = effects.rounds_of(study(*platforms), samples)
    assert np.isfinite(rounds.ratios([0], [1])).all()
    assert np.isnan(rounds.ratios([0], [2])).all()


@given(st.integers(0, 2**32 - 1))
def test_drift_that_all_share_cancels(seed):
    draw = np.random.default_rng(seed)
    log = 0.01 * draw.standard_normal((3, ROUNDS))
    drift = draw.standard_normal(ROUNDS)
    quiet, drifting = (Rounds(values, np.zeros(3, int)) for values in (log, log + drift))
    first, second = (effects.effects(rounds.ratios([0, 1], [1, 2])) for rounds in (quiet, drifting))
    np.testing.assert_allclose(first.log, second.log, atol=1e-12)
    np.testing.assert_allclose(first.error, second.error, atol=1e-12)


def test_an_interrupted_round_changes_little():
    draw = np.random.default_rng(0)
    series = 0.01 * draw.standard_normal((1, ROUNDS))
    interrupted = series.copy()
    interrupted[0, 7] = 5.0
    before, after = (effects.effects(values) for values in (series, interrupted))
    assert abs(after.log - before.log) < before.error


def test_the_trimmed_mean_and_its_error_are_those_of_scipy():
    series = np.random.default_rng(1).standard_normal((4, ROUNDS))
    found = effects.effects(series)
    for row, values in enumerate(series):
        low, high = stats.mstats.trimmed_mean_ci(values, (0.2, 0.2), alpha=0.05)
        interval = found.interval()
        np.testing.assert_allclose(np.log([interval.low[row], interval.high[row]]), [low, high])


@pytest.mark.parametrize("rounds", [0, 1])
def test_too_few_rounds_have_no_effect(rounds):
    series = np.full((1, ROUNDS), np.nan)
    series[:, :rounds] = 1.0
    assert np.isnan(effects.effects(series).log).all()


def test_rounds_that_one_of_two_lacks_are_left_out():
    log = np.zeros((2, ROUNDS))
    log[0] += 1
    log[1, 12:] = np.nan
    found = effects.effects(Rounds(log, np.zeros(2, int)).ratios([0], [1]))
    # Trimmed are two of the twelve at either end.
    assert found.log == [1] and found.freedom == [7]


def test_series_of_one_job_are_added_round_by_round():
    """The sum of a series and its opposite has no error; of different jobs they are independent."""
    series = np.random.default_rng(2).standard_normal((1, ROUNDS))
    both = np.concatenate([series, -series])
    together = effects.combined(both, [0, 0], [1, 1])
    apart = effects.combined(both, [0, 1], [1, 1])
    assert together.error == pytest.approx(0, abs=1e-12) and together.freedom == 17
    assert apart.error == pytest.approx(2**0.5 * effects.effects(series).error[0])
    # Welch and Satterthwaite: of equal variances the degrees add up.
    assert apart.freedom == pytest.approx(34)


def covered(interval, truth, draws=1000):
    found = [interval(np.random.default_rng(seed)) for seed in range(draws)]
    return np.mean([low[0] <= truth <= high[0] for _, low, high in found])


def test_the_interval_of_a_mean_holds_what_was_put_in():
    """Three networks of different noise."""
    noise = np.array([[0.01], [0.02], [0.05]])

    def interval(draw):
        series = np.log(2) + noise * draw.standard_normal((3, ROUNDS))
        return effects.of_networks([effects.effects(series)])[0]

    assert 0.93 <= covered(interval, 2) <= 0.98


def test_the_interval_of_many_holds_all_of_them():
    def all_hold(draw):
        _, low, high = effects.effects(0.01 * draw.standard_normal((30, ROUNDS))).interval(30)
        return ((low <= 1) & (high >= 1)).all()

    assert np.mean([all_hold(np.random.default_rng(seed)) for seed in range(400)]) >= 0.92


def test_a_sample_of_networks_has_the_t_interval_of_their_mean():
    logs = np.random.default_rng(3).standard_normal(5)
    networks = Effect(logs, np.zeros(5), np.full(5, 11))
    limits = stats.ttest_1samp(logs, 0).confidence_interval()
    grid, others = effects.of_networks([networks])
    np.testing.assert_allclose(np.log(np.ravel(others[1:])), [limits.low, limits.high])
    assert grid.low == grid.high == pytest.approx(np.exp(logs.mean()))
    # One network is no sample.
    assert np.isnan(effects.of_networks([Effect(logs[:1], logs[:1], logs[:1])])[1].low)


def test_a_sample_knows_no_more_than_the_grid():
    """Networks that are alike by chance say no more on others than on themselves."""
    alike = Effect(np.full(3, 0.1), np.full(3, 0.05), np.full(3, 17))
    grid, others = effects.of_networks([alike])
    assert (others.low, others.high) == (grid.low, grid.high)


def test_groups_are_averaged_by_name():
    series = np.array([[1.0], [3.0], [10.0]]) + np.zeros((3, ROUNDS))
    names, means = effects.by_group(series, [0, 0, 1], ["b", "b", "a"])
    assert names == ["a", "b"] and list(means.log) == [10, 2]


@pytest.mark.parametrize(("ratio", "order"), [(1.2, 1), (0.8, -1), (1.01, 0), (0.99, 0)])
def test_orders_clear_the_noise_floor(ratio, order):
    one = Effect(*(np.array([value]) for value in (np.log(ratio), 0.001, 11)))
    assert one.orders(1.02, 1) == [order]
    # So many comparisons that its interval is wider than that.
    assert Effect(one.log, np.array([0.1]), one.freedom).orders(1.02, 1000) == [0]
