"""Ratios of latencies, taken round by round, with their errors.

The libraries of one timing job are sampled in turns. A ratio of two is taken within each round, so
that a drift of the machine cancels. Ratios stand as natural logarithms here, so that they can be
added, subtracted and averaged.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats
from statsmodels.stats.robust_compare import TrimmedMean

from dlas.analysis import statistics
from dlas.analysis.columns import CONFIGURATION, MEASURED, MODEL

# Share of the rounds that is left out at either end: interrupted samples.
TRIMMED = 0.2
# A single round has no error.
FEWEST_ROUNDS = 2


class Limits(NamedTuple):
    """Ratios and the limits of their intervals: arrays of one shape."""

    estimate: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class Effect:
    """Logarithms of ratios with their standard errors and degrees of freedom: arrays of one shape."""

    log: np.ndarray
    error: np.ndarray
    freedom: np.ndarray

    def interval(self, comparisons: int = 1) -> Limits:
        """Return the ratios with Student's t limits: 95 % for all of so many comparisons at once (Bonferroni)."""
        level = statistics.ERROR_RATE / 2 / max(1, comparisons)
        reach = stats.t.isf(level, self.freedom) * self.error
        return Limits(np.exp(self.log), np.exp(self.log - reach), np.exp(self.log + reach))

    def orders(self, floor: float, comparisons: int) -> np.ndarray:
        """Return 1 for a ratio clearly above the noise floor, -1 for one clearly below its inverse, else 0."""
        _, low, high = self.interval(comparisons)
        return (low > floor).astype(int) - (high < 1 / floor)

    def times(self, factor: float) -> "Effect":
        """Return these logarithms times a factor: -1 for the inverse of each ratio."""
        return Effect(factor * self.log, abs(factor) * self.error, self.freedom)


@dataclass(frozen=True, eq=False)
class Rounds:
    """The samples of the rows of a study.

    Parameters
    ----------
    log : np.ndarray
        float64 [rows, rounds]: the logarithm of each latency, NaN where there is no sample.
    job : np.ndarray
        int64 [rows]: the timing job of each row. Samples of one job and round are a pair.
    """

    log: np.ndarray
    job: np.ndarray

    def ratios(self, over: npt.ArrayLike, under: npt.ArrayLike) -> np.ndarray:
        """Return the logarithm of each ratio of two rows' latencies in each round: float64 [pairs, rounds].

        `over` and `under` are positions of rows. Rows of different jobs have no ratio: NaN.
        """
        first, second = (np.asarray(rows, int) for rows in (over, under))
        ratios = self.log[first] - self.log[second]
        ratios[self.job[first] != self.job[second]] = np.nan
        return ratios


def rounds_of(study: pd.DataFrame, samples: pd.DataFrame) -> Rounds:
    """Return the rounds of the rows of study.csv from the table of all samples, see `dlas.analysis.rows`."""
    keys = pd.MultiIndex.from_frame(study[CONFIGURATION])
    own = samples[samples["role"] == MEASURED]
    wide = own.pivot_table(index=CONFIGURATION, columns="round", values="latency_ms")
    machines = own.drop_duplicates(CONFIGURATION).set_index(CONFIGURATION)["machine"].reindex(keys)
    jobs = study[MODEL].assign(machine=machines.to_numpy())
    latencies = wide.reindex(keys).to_numpy(float).reshape(len(study), -1)
    return Rounds(
        np.log(np.where(latencies > 0, latencies, np.nan)),
        jobs.groupby([*MODEL, "machine"], dropna=False).ngroup().to_numpy(),
    )


def effects(series: np.ndarray) -> Effect:
    """Return the trimmed mean over the rounds of each series [series, rounds] (Wilcox 2012, section 3.3).

    Rounds in which a series has no value are left out of it. NaN for a series of fewer than
    `FEWEST_ROUNDS`.
    """
    log, error, freedom = (np.full(len(series), np.nan) for _ in range(3))
    there = np.isfinite(series)
    patterns, which = np.unique(there, axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        if pattern.sum() >= FEWEST_ROUNDS:
            own = np.flatnonzero(which.ravel() == number)
            mean = TrimmedMean(series[own][:, pattern].T, TRIMMED)
            log[own], error[own] = mean.mean_trimmed, mean.std_mean_trimmed
            freedom[own] = mean.nobs_reduced - 1
    return Effect(log, error, freedom)


def combined(series: np.ndarray, jobs: npt.ArrayLike, weights: npt.ArrayLike) -> Effect:
    """Return the weighted sum of series [series, rounds]: an effect of single numbers.

    Those of one job are added round by round. Jobs are independent of each other.
    """
    names, by = np.asarray(jobs), np.asarray(weights, float)
    sums = np.array([by[names == job] @ series[names == job] for job in np.unique(names)])
    return _sum(effects(sums.reshape(-1, series.shape[1])))


def by_group(
    series: np.ndarray, jobs: npt.ArrayLike, groups: Sequence[object]
) -> tuple[list, Effect]:
    """Return the names of the groups, in order, and the mean of the series of each."""
    names, jobs = pd.Series(list(groups)), np.asarray(jobs)
    found = {}
    for name, own in names.groupby(names, sort=True).indices.items():
        found[name] = combined(series[own], jobs[own], np.full(len(own), 1 / len(own)))
    return list(found), stacked(list(found.values()))


def stacked(found: Sequence[Effect]) -> Effect:
    """Return effects of single numbers as one of arrays."""
    values = [[getattr(one, name) for one in found] for name in ("log", "error", "freedom")]
    return Effect(*(np.array(value, float) for value in values))


def of_networks(networks: Sequence[Effect]) -> tuple[Limits, Limits]:
    """Return the mean of each of several groups of networks: on the grid, and with the networks as a sample.

    On the study's fixed grid the only error is that of the measurements. As a random sample of
    others, the error is that of drawing them, and the limits are at least as wide. All groups'
    limits hold at once (Bonferroni).
    """
    grid, sample = (
        stacked([make(one) for one in networks]).interval(len(networks))
        for make in (_grid_mean, _sample_mean)
    )
    wider = np.fmin(sample.low, grid.low), np.fmax(sample.high, grid.high)
    known = np.isfinite(sample.low)
    return grid, Limits(grid.estimate, *(np.where(known, limit, np.nan) for limit in wider))


def _grid_mean(found: Effect) -> Effect:
    weights = np.full(len(found.log), 1 / len(found.log))
    return _sum(Effect(weights * found.log, weights * found.error, found.freedom))


def _sample_mean(found: Effect) -> Effect:
    count = len(found.log)
    error = stats.sem(found.log) if count > 1 else np.nan
    return Effect(found.log.mean(), np.asarray(error), np.asarray(count - 1 or np.nan))


def _sum(found: Effect) -> Effect:
    """Return the sum of independent effects, with the degrees of freedom of Welch and Satterthwaite."""
    variance = found.error**2
    total = variance.sum()
    freedom = found.freedom.min()
    if total > 0:
        freedom = total**2 / (variance**2 / found.freedom).sum()
    return Effect(found.log.sum(), np.sqrt(total), freedom)
