"""Ratios of latencies, taken round by round, with their errors.

The libraries of one timing job are sampled in turns. A ratio of two is taken within each round,
which cancels a drift of the machine. Ratios are natural logarithms here, and can be added,
subtracted and averaged.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy

from dlas.analysis import statistics
from dlas.analysis.columns import CONFIGURATION, MEASURED, MODEL

# Share of the rounds that is trimmed at either end: samples may be interrupted.
TRIMMED = 0.2
# A single round has no error.
FEWEST_ROUNDS = 2


class Limits(NamedTuple):
    """Ratios and the limits of their intervals: float64 arrays of one shape."""

    estimate: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class Effect:
    """Logarithms of ratios with their errors.

    Attributes
    ----------
    log, error, freedom : np.ndarray
        Natural logarithms, their standard errors and degrees of freedom: float64 arrays of one
        shape.
    """

    log: np.ndarray
    error: np.ndarray
    freedom: np.ndarray

    def interval(self, comparisons: int = 1) -> Limits:
        """Return the ratios with Student's t limits.

        Parameters
        ----------
        comparisons : int
            The number of comparisons that hold at once with 95 % confidence (Bonferroni).
        """
        level = statistics.ERROR_RATE / 2 / max(1, comparisons)
        reach = scipy.stats.t.isf(level, self.freedom) * self.error
        return Limits(np.exp(self.log), np.exp(self.log - reach), np.exp(self.log + reach))

    def orders(self, floor: float, comparisons: int) -> np.ndarray:
        """Return the clear orders of ratios.

        Parameters
        ----------
        floor : float
            The noise floor, a factor of at least 1.
        comparisons : int
            See `interval`.

        Returns
        -------
        np.ndarray
            int: 1 for a ratio clearly above the noise floor, -1 for one clearly below its inverse,
            else 0.
        """
        _, low, high = self.interval(comparisons)
        return (low > floor).astype(int) - (high < 1 / floor)

    def times(self, factor: float) -> "Effect":
        """Return the logarithms times a factor; -1 inverts each ratio."""
        return Effect(factor * self.log, abs(factor) * self.error, self.freedom)


@dataclass(frozen=True, eq=False)
class Rounds:
    """The samples of the rows of a study.

    Attributes
    ----------
    log : np.ndarray
        float64 [rows, rounds]: the logarithm of each latency in ms, NaN where there is no sample.
    job : np.ndarray
        int64 [rows]: the timing job of each row. Samples of one job and round are a pair.
    """

    log: np.ndarray
    job: np.ndarray

    def ratios(self, over: npt.ArrayLike, under: npt.ArrayLike) -> np.ndarray:
        """Return the logarithm of the ratio of two rows' latencies in each round.

        Parameters
        ----------
        over, under : array-like
            int [pairs]: positions of the rows in the numerator and in the denominator.

        Returns
        -------
        np.ndarray
            float64 [pairs, rounds]; NaN for rows of different jobs, and where a sample is missing.
        """
        first, second = (np.asarray(rows, int) for rows in (over, under))
        ratios = self.log[first] - self.log[second]
        ratios[self.job[first] != self.job[second]] = np.nan
        return ratios


def rounds_of(study: pd.DataFrame, samples: pd.DataFrame) -> Rounds:
    """Return the rounds of the rows of study.csv.

    Parameters
    ----------
    study : DataFrame
        study.csv.
    samples : DataFrame
        samples.csv.gz, the raw samples of all timing jobs.

    Returns
    -------
    Rounds
        In the order of `study`.
    """
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
    """Return the trimmed mean over the rounds of each series (Wilcox 2012, section 3.3).

    Parameters
    ----------
    series : np.ndarray
        float64 [series, rounds]: logarithms of ratios. Rounds with NaN are left out of a series.

    Returns
    -------
    Effect
        Arrays [series]; NaN for a series of fewer than `FEWEST_ROUNDS` rounds.
    """
    from statsmodels.stats.robust_compare import TrimmedMean  # slow to import

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
    """Return the weighted sum of series.

    Series of one job are added round by round. Jobs are independent of each other.

    Parameters
    ----------
    series : np.ndarray
        float64 [series, rounds]: logarithms of ratios.
    jobs : array-like
        int [series]: the timing job of each series.
    weights : array-like
        float [series].

    Returns
    -------
    Effect
        Of scalars.
    """
    names, by = np.asarray(jobs), np.asarray(weights, float)
    sums = np.array([by[names == job] @ series[names == job] for job in np.unique(names)])
    return _sum(effects(sums.reshape(-1, series.shape[1])))


def by_group(
    series: np.ndarray, jobs: npt.ArrayLike, groups: Sequence[object]
) -> tuple[list, Effect]:
    """Return the mean of the series of each group.

    Parameters
    ----------
    series, jobs : array-like
        See `combined`.
    groups : sequence
        [series]: the name of each one's group.

    Returns
    -------
    names : list
        The groups, sorted.
    means : Effect
        Arrays [groups].
    """
    names, jobs = pd.Series(list(groups)), np.asarray(jobs)
    found = {}
    for name, own in names.groupby(names, sort=True).indices.items():
        found[name] = combined(series[own], jobs[own], np.full(len(own), 1 / len(own)))
    return list(found), stacked(list(found.values()))


def stacked(found: Sequence[Effect]) -> Effect:
    """Return effects of scalars as one effect of arrays."""
    values = [[getattr(one, name) for one in found] for name in ("log", "error", "freedom")]
    return Effect(*(np.array(value, float) for value in values))


def of_networks(networks: Sequence[Effect]) -> tuple[Limits, Limits]:
    """Return the mean of each group of networks, on the grid and as a sample.

    On the study's fixed grid the only error is that of the measurements. As a random sample of
    others, the error is that of drawing the networks, and the limits are at least as wide.

    Parameters
    ----------
    networks : sequence of Effect
        One for each group, of arrays [networks].

    Returns
    -------
    grid, others : Limits
        Arrays [groups]. The limits of all groups hold at once (Bonferroni). Those of `others` are
        NaN for a single network.
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
    error = scipy.stats.sem(found.log) if count > 1 else np.nan
    return Effect(found.log.mean(), np.asarray(error), np.asarray(count - 1 or np.nan))


def _sum(found: Effect) -> Effect:
    """Return the sum of independent effects, with Welch-Satterthwaite degrees of freedom."""
    variance = found.error**2
    total = variance.sum()
    freedom = found.freedom.min()
    if total > 0:
        freedom = total**2 / (variance**2 / found.freedom).sum()
    return Effect(found.log.sum(), np.sqrt(total), freedom)
