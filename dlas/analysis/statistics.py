"""Estimates with intervals, and when a difference counts as clear."""

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.special import ndtri, stdtrit

from dlas.errors import StudyError

Samples = npt.ArrayLike

CONFIDENCE = 0.95
ERROR_RATE = 1 - CONFIDENCE  # of a verdict, all of its comparisons taken together
REACH = float(
    ndtri((1 + CONFIDENCE) / 2)
)  # standard errors from an estimate to a limit of its interval


class Interval(NamedTuple):
    """An estimate and the limits of its confidence interval."""

    estimate: float
    low: float
    high: float


def finite(samples: Samples, above: float = -np.inf) -> np.ndarray:
    """Return samples as float64; raise a StudyError unless all are finite, and above a limit."""
    values = np.asarray(samples, float)
    wrong = values[~(np.isfinite(values) & (values > above))]
    if wrong.size:
        limit = "" if above == -np.inf else f" above {above:g}"
        raise StudyError(f"a sample is {wrong.flat[0]}; allowed: finite numbers{limit}")
    return values


def median(samples: Samples, confidence: float = CONFIDENCE, seed: int = 0) -> Interval:
    """Return the median with its percentile bootstrap interval (Efron and Tibshirani 1993).

    Percentile, because the bias correction of BCa is not defined for a median. A single sample has no interval: NaN.
    """
    values = finite(samples)
    if len(values) < 2:
        return Interval(float(np.median(values)), np.nan, np.nan)
    result = stats.bootstrap(
        (values,),
        np.median,
        n_resamples=4999,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    limits = result.confidence_interval
    return Interval(float(np.median(values)), float(limits.low), float(limits.high))


def median_ratio(numerators: Samples, denominators: Samples, seed: int = 0) -> Interval:
    """Return the median of paired ratios, such as two libraries' latencies round by round, with its interval."""
    logarithms = np.log(finite(numerators, above=0) / finite(denominators, above=0))
    return Interval(*np.exp(median(logarithms, seed=seed)))


def geometric_mean_ratio(
    numerators: Samples, denominators: Samples, confidence: float = CONFIDENCE
) -> Interval:
    """Return the geometric mean of paired ratios, with Student's t interval of the mean logarithm.

    The interval holds for few pairs, where a bootstrap is too narrow. One pair has none: NaN.
    """
    logarithms = np.log(finite(numerators, above=0) / finite(denominators, above=0))
    mean = float(logarithms.mean())
    if len(logarithms) < 2:
        return Interval(float(np.exp(mean)), np.nan, np.nan)
    spread = float(stats.sem(logarithms)) * stdtrit(len(logarithms) - 1, (1 + confidence) / 2)
    return Interval(*(float(np.exp(value)) for value in (mean, mean - spread, mean + spread)))


def group_ratio(
    values: Samples, first: Samples, blocks: Samples, confidence: float = CONFIDENCE
) -> Interval:
    """Return the ratio of two groups' geometric means with Student's t interval; one value for each member.

    `first` says who is in the numerator's group. `blocks` names conditions that members share and that change all
    values by a common factor, such as the data set: least squares on the logarithms with one constant for each block,
    so that members are compared within their block only. NaN where the members do not suffice for an error.
    """
    logarithms, names = np.log(finite(values, above=0)), np.asarray(blocks)
    design = np.column_stack(
        [np.asarray(first, float), *((names == name).astype(float) for name in np.unique(names))]
    )
    freedom = len(logarithms) - design.shape[1]
    if freedom < 1 or np.linalg.matrix_rank(design) < design.shape[1]:
        return Interval(np.nan, np.nan, np.nan)
    inverse = np.linalg.inv(design.T @ design)
    effects = inverse @ design.T @ logarithms
    variance = float(((logarithms - design @ effects) ** 2).sum()) / freedom
    reach = np.sqrt(variance * inverse[0, 0]) * stdtrit(freedom, (1 + confidence) / 2)
    low, high = np.exp(effects[0] - reach), np.exp(effects[0] + reach)
    return Interval(float(np.exp(effects[0])), float(low), float(high))


def rank_correlation(first: Samples, second: Samples, seed: int = 0) -> Interval:
    """Return Spearman's rho with its percentile bootstrap interval over the pairs.

    NaN where a variable is constant or there are fewer than three pairs. Resamples in which a variable is constant
    have no rho and are left out.
    """
    x, y = finite(first), finite(second)
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Interval(np.nan, np.nan, np.nan)
    chosen = np.random.default_rng(seed).integers(len(x), size=(2000, len(x)))
    ranks = [stats.rankdata(values[chosen], axis=1) for values in (x, y)]
    centred = [values - values.mean(axis=1, keepdims=True) for values in ranks]
    scale = np.sqrt((centred[0] ** 2).sum(axis=1) * (centred[1] ** 2).sum(axis=1))
    resampled = (centred[0] * centred[1]).sum(axis=1)[scale > 0] / scale[scale > 0]
    low, high = np.quantile(resampled, [ERROR_RATE / 2, 1 - ERROR_RATE / 2])
    return Interval(float(stats.spearmanr(x, y).statistic), float(low), float(high))


def proportion(count: int, total: int) -> Interval:
    """Return a share with its exact interval (Clopper and Pearson 1934); NaN of nothing."""
    if total == 0:
        return Interval(np.nan, np.nan, np.nan)
    limits = stats.binomtest(count, total).proportion_ci(CONFIDENCE, method="exact")
    return Interval(count / total, float(limits.low), float(limits.high))


def clearly_above(
    first: Interval,
    second: Interval,
    factor: float,
    comparisons: int,
    confidence: float = CONFIDENCE,
) -> bool:
    """Return whether `first` exceeds `second` by more than `factor`, corrected for the number of comparisons.

    One-sided z-test of the difference of the logarithms at the level (1 - confidence) / comparisons (Bonferroni),
    each standard error taken from the width of the 95 % interval. `factor` is the noise floor, at least 1: the
    intervals describe the spread of the samples only, the floor all that differs between two equal libraries.
    """
    errors = [log_standard_error(value) for value in (first, second)]
    distance = np.log(first.estimate / second.estimate) - np.log(factor)
    threshold = -ndtri((1 - confidence) / comparisons) * math.hypot(*errors)
    return bool(distance > threshold)  # False where an interval is missing


def clear_orders(
    estimates: Samples,
    errors: Samples,
    factor: float,
    comparisons: int,
    confidence: float = CONFIDENCE,
) -> np.ndarray:
    """Return for each two estimates whether the first is clearly above (1) or below (-1) the second, or neither (0).

    The array is [first, second]; `errors` are the standard errors of the estimates' logarithms. See `clearly_above`.
    """
    logarithms, spread = np.log(np.asarray(estimates, float)), np.asarray(errors, float)
    distance = logarithms[:, None] - logarithms
    threshold = -ndtri((1 - confidence) / comparisons) * np.hypot(spread[:, None], spread)
    return np.sign(distance) * (np.abs(distance) - np.log(factor) > threshold)


def log_standard_error(interval: Interval) -> float:
    """Return the standard error of the logarithm of an estimate from its 95 % interval."""
    return float(np.log(interval.high / interval.low) / (2 * REACH))


def accuracy_clearly_above(
    first: float, second: float, images: int, comparisons: int, confidence: float = CONFIDENCE
) -> bool:
    """Return whether one top-1 exceeds another, both in percent of the same number of images.

    One-sided z-test of two proportions with Agresti and Caffo's (2000) added successes and failures, corrected for
    the number of comparisons (Bonferroni). It takes the two as independent; on the same images they mostly agree,
    so it errs on the side of no difference.
    """
    shares = [(value / 100 * images + 1) / (images + 2) for value in (first, second)]
    error = np.sqrt(sum(share * (1 - share) / (images + 2) for share in shares))
    return bool(shares[0] - shares[1] > -ndtri((1 - confidence) / comparisons) * error)


def fewest_images(percentages: Samples) -> int:
    """Return the fewest test images that explain these unrounded top-1 percentages.

    Each is a whole number of images; the smallest common denominator divides the true number, so that what is
    concluded from it is never too bold.
    """
    limit = 100_000
    shares = [
        Fraction(float(value) / 100).limit_denominator(limit)
        for value in np.unique(finite(percentages))
    ]
    return min(math.lcm(*(share.denominator for share in shares)), limit)


def noise_floor(ratio: Interval) -> float:
    """Return the factor, at least 1, by which two runs of one library may differ: the far limit of an A/A ratio."""
    return float(np.exp(np.max(np.abs(np.log(ratio)))))
