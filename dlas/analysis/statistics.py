"""Estimates with intervals, and tests of clear differences."""

import math
from fractions import Fraction
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

# It imports scipy.stats when that is first used: most jobs that draw do without.
import scipy

from dlas.errors import StudyError

Samples = npt.ArrayLike

CONFIDENCE = 0.95
# Family-wise, over all comparisons of a verdict.
ERROR_RATE = 1 - CONFIDENCE
# Standard errors from an estimate to a limit of its interval.
REACH = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


class Interval(NamedTuple):
    """An estimate and the limits of its confidence interval."""

    estimate: float
    low: float
    high: float


def finite(samples: Samples, above: float = -np.inf) -> np.ndarray:
    """Return samples as float64.

    Parameters
    ----------
    samples : array-like
        Numbers.
    above : float
        The samples have to be above this limit.

    Raises
    ------
    StudyError
        If a sample is not finite, or not above the limit.
    """
    values = np.asarray(samples, float)
    wrong = values[~(np.isfinite(values) & (values > above))]
    if wrong.size:
        limit = "" if above == -np.inf else f" above {above:g}"
        raise StudyError(f"a sample is {wrong.flat[0]}; allowed: finite numbers{limit}")
    return values


def median(samples: Samples, confidence: float = CONFIDENCE, seed: int = 0) -> Interval:
    """Return the median with its percentile bootstrap interval (Efron and Tibshirani 1993).

    It is not BCa, whose bias correction is not defined for a median.

    Parameters
    ----------
    samples : array-like
        float [samples].
    confidence : float
        Of the interval, between 0 and 1.
    seed : int
        Of the resamples.

    Returns
    -------
    Interval
        Its limits are NaN for a single sample.
    """
    values = finite(samples)
    if len(values) < 2:
        return Interval(float(np.median(values)), np.nan, np.nan)
    result = scipy.stats.bootstrap(
        (values,),
        np.median,
        n_resamples=4999,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    limits = result.confidence_interval
    return Interval(float(np.median(values)), float(limits.low), float(limits.high))


def geometric_mean_ratio(
    numerators: Samples, denominators: Samples, confidence: float = CONFIDENCE
) -> Interval:
    """Return the geometric mean of paired ratios, with Student's t interval of the mean logarithm.

    The interval holds for few pairs, where a bootstrap is too narrow.

    Parameters
    ----------
    numerators, denominators : array-like
        float [pairs], above 0.
    confidence : float
        Of the interval, between 0 and 1.

    Returns
    -------
    Interval
        Its limits are NaN for a single pair.
    """
    logarithms = np.log(finite(numerators, above=0) / finite(denominators, above=0))
    mean = float(logarithms.mean())
    if len(logarithms) < 2:
        return Interval(float(np.exp(mean)), np.nan, np.nan)
    limits = scipy.stats.ttest_1samp(logarithms, 0).confidence_interval(confidence)
    return Interval(*(float(np.exp(value)) for value in (mean, *limits)))


def group_difference(
    values: np.ndarray, first: Samples, blocks: Samples
) -> tuple[np.ndarray, Interval]:
    """Return the difference of two groups' means within blocks.

    Least squares with one constant for each block.

    Parameters
    ----------
    values : np.ndarray
        float64 [members, columns].
    first : array-like
        bool [members]: whether a member is in the group that comes first in the difference.
    blocks : array-like
        [members]: conditions that members share and that change all their values alike, such as the
        data set.

    Returns
    -------
    differences : np.ndarray
        float64 [columns].
    interval : Interval
        That of the first column, with Student's t limits; NaN if the members do not suffice for an
        error.
    """
    design = pd.get_dummies(pd.Series(np.asarray(blocks)), dtype=float).to_numpy()
    design = np.column_stack([np.asarray(first, float), design])
    differences = np.linalg.lstsq(design, values)[0][0]
    if len(design) <= design.shape[1] or np.linalg.matrix_rank(design) < design.shape[1]:
        return differences, Interval(np.nan, np.nan, np.nan)
    from statsmodels.regression.linear_model import OLS  # slow to import

    low, high = OLS(values[:, 0], design).fit().conf_int(ERROR_RATE)[0]
    return differences, Interval(float(differences[0]), float(low), float(high))


def rank_correlation(first: Samples, second: Samples, seed: int = 0) -> Interval:
    """Return Spearman's rho with its percentile bootstrap interval over the pairs.

    Parameters
    ----------
    first, second : array-like
        float [pairs].
    seed : int
        Of the resamples.

    Returns
    -------
    Interval
        NaN if a variable is constant or there are fewer than three pairs. Resamples with a constant
        variable have no rho and are left out.
    """
    x, y = finite(first), finite(second)
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Interval(np.nan, np.nan, np.nan)
    chosen = np.random.default_rng(seed).integers(len(x), size=(2000, len(x)))
    ranks = [scipy.stats.rankdata(values[chosen], axis=1) for values in (x, y)]
    centred = [values - values.mean(axis=1, keepdims=True) for values in ranks]
    scale = np.sqrt((centred[0] ** 2).sum(axis=1) * (centred[1] ** 2).sum(axis=1))
    resampled = (centred[0] * centred[1]).sum(axis=1)[scale > 0] / scale[scale > 0]
    low, high = np.quantile(resampled, [ERROR_RATE / 2, 1 - ERROR_RATE / 2])
    return Interval(float(scipy.stats.spearmanr(x, y).statistic), float(low), float(high))


def proportion(count: int, total: int) -> Interval:
    """Return a share with its exact interval (Clopper and Pearson 1934); NaN if `total` is 0."""
    if total == 0:
        return Interval(np.nan, np.nan, np.nan)
    limits = scipy.stats.binomtest(count, total).proportion_ci(CONFIDENCE, method="exact")
    return Interval(count / total, float(limits.low), float(limits.high))


def accuracy_order(first: np.ndarray | None, second: np.ndarray | None, comparisons: int) -> int:
    """Return which of two networks clearly classifies more images correctly.

    Parameters
    ----------
    first, second : np.ndarray or None
        bool [images]: the correct images of each network; None if they are not known.
    comparisons : int
        The number of tests with a family-wise error of 5 % (Bonferroni).

    Returns
    -------
    int
        1 for the first network, -1 for the second one, 0 if neither is clear or known.

    Notes
    -----
    Exact McNemar test. Under its null hypothesis an image that one network alone classifies
    correctly is as likely one's as the other's.
    """
    if first is None or second is None:
        return 0
    from statsmodels.stats.contingency_tables import mcnemar  # slow to import

    alone = int((first & ~second).sum()), int((second & ~first).sum())
    table = [[0, alone[0]], [alone[1], 0]]
    clear = mcnemar(table, exact=True).pvalue < ERROR_RATE / comparisons
    return int(np.sign(alone[0] - alone[1])) * clear


def fewest_images(percentages: Samples) -> int:
    """Return the fewest test images that explain these top-1 percentages.

    Each share is a whole number of images. Their smallest common denominator divides the true
    number of images, and conclusions from it are never too bold.

    Parameters
    ----------
    percentages : array-like
        Top-1 in percent, not rounded.
    """
    limit = 100_000
    shares = [
        Fraction(float(value) / 100).limit_denominator(limit)
        for value in np.unique(finite(percentages))
    ]
    return min(math.lcm(*(share.denominator for share in shares)), limit)


def noise_floor(ratio: Interval) -> float:
    """Return the factor, at least 1, by which two timings of one library may differ.

    Parameters
    ----------
    ratio : Interval
        The ratio of an A/A pair. Its limit farther from 1 counts.
    """
    return float(np.exp(np.max(np.abs(np.log(ratio)))))
