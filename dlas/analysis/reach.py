"""Compression at equal accuracy: how far each network can be compressed."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import pandas as pd

from dlas.analysis import statistics
from dlas.analysis.answers import Answers, level_name
from dlas.analysis.columns import NETWORK

# Percentage points of test top-1 that a network of equal accuracy may lose.
LOSS = 1.0
# Stands in the rules.
ALLOWED = f"top-1 on the test split at most {LOSS:g} point below the uncompressed network's"
# A smaller ratio of two compressions may come from the spacing of the levels.
FURTHER = 1.25
RESAMPLES = 999


@dataclass(frozen=True, eq=False)
class Reaches:
    """Compressions at equal accuracy of some ladders.

    A ladder has the levels of one compression on one network.

    Attributes
    ----------
    table : DataFrame
        NETWORK, factor, low, high and bound. `factor` is the parameters of the uncompressed network
        over the non-zero ones that are left, see `reach`, with the limits of its 95 % bootstrap
        interval. `bound` is true if the strongest level still holds: the factor is a lower bound.
    factors, bounds : np.ndarray
        float64 and bool [ladders, RESAMPLES]: the same on resampled test images.
    """

    table: pd.DataFrame
    factors: np.ndarray
    bounds: np.ndarray

    def of(self, chosen: npt.ArrayLike) -> "Reaches":
        """Return the ladders at some positions, or where a mask is true."""
        rows = np.asarray(chosen)
        return Reaches(self.table.iloc[rows], self.factors[rows], self.bounds[rows])

    def counted(self) -> "Counted":
        """Return the compressions that can be compared, see `Counted`."""
        factor, bound = (self.table[[name]].to_numpy() for name in ("factor", "bound"))
        factors = np.column_stack([factor.astype(float), self.factors])
        bounds = np.column_stack([bound.astype(bool), self.bounds])
        limit = np.where(bounds, factors, np.inf).min(axis=0, initial=np.inf)
        return Counted(
            np.log(np.minimum(factors, limit)),
            np.log(factors),
            np.where(bounds, np.inf, np.log(factors)),
        )


@dataclass(frozen=True, eq=False)
class Counted:
    """Compressions of some ladders that can be compared.

    All arrays are float64 [ladders, 1 + RESAMPLES], natural logarithms, the first column as
    measured.

    Attributes
    ----------
    log : np.ndarray
        The compressions, cut at the smallest lower bound of the ladders. Up to there each one is
        known. Differences beyond it are unknown and count as none.
    least, most : np.ndarray
        The smallest and the largest possible compression; `most` is infinite for a lower bound.
    """

    log: np.ndarray
    least: np.ndarray
    most: np.ndarray


def reaches(curves: pd.DataFrame, answers: Answers) -> Reaches:
    """Return how far each ladder compresses at equal accuracy.

    Parameters
    ----------
    curves : DataFrame
        Rows of accuracy_curves.csv, with level 0 of each ladder.
    answers : Answers
        Predictions of the networks on the test images.

    Returns
    -------
    Reaches
        Without levels that could not be made, and without ladders of unknown answers.

    Notes
    -----
    The test images of a data set are drawn with replacement, the same ones for all of its networks
    and levels: a bootstrap of pairs (Efron and Tibshirani 1993). Images that all networks classify
    correctly drop out of their differences.
    """
    curves = curves.dropna(subset=["top1"])
    draws = {name: _draws(len(labels)) for name, labels in answers.labels.items()}
    rows, factors, bounds = [], [], []
    for name, curve in curves.groupby(NETWORK):
        ladder = curve.sort_values("level")
        correct = [_correct(answers, name, level) for level in ladder["level"]]
        if len(ladder) < 2 or any(one is None for one in correct):
            continue
        compressed = ladder["params"].iloc[0] / ladder["nonzero_params"].to_numpy(float)
        again = 100 * (draws[name[0]] @ np.array(correct, float).T)
        factor, bound = reach(compressed, ladder["top1"].to_numpy(float))
        drawn, ended = reach(compressed, again)
        low, high = np.quantile(drawn, [statistics.ERROR_RATE / 2, 1 - statistics.ERROR_RATE / 2])
        rows.append((*name, float(factor), float(low), float(high), bool(bound)))
        factors.append(drawn)
        bounds.append(ended)
    table = pd.DataFrame(rows, columns=[*NETWORK, "factor", "low", "high", "bound"])
    shape = (len(rows), RESAMPLES)
    return Reaches(
        table.astype({"bound": bool}),
        np.reshape(factors, shape),
        np.reshape(bounds, shape).astype(bool),
    )


@cache
def _draws(images: int) -> np.ndarray:
    """Return the share of each image in each resample, float64 [RESAMPLES, images]."""
    return (
        np.random.default_rng(0).multinomial(images, np.full(images, 1 / images), RESAMPLES)
        / images
    )


def _correct(answers: Answers, name: tuple[str, ...], level: float) -> np.ndarray | None:
    """Return which images a level classifies correctly; level 0 is the uncompressed network."""
    dataset, model, compression = name
    if level == 0:
        return answers.correct(dataset, model, "none", level_name(None))
    return answers.correct(dataset, model, compression, level_name(level))


def reach(factors: npt.ArrayLike, top1: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest compression at equal accuracy, and whether it is only a lower bound.

    Parameters
    ----------
    factors : array-like
        float [levels]: the compressions of the levels, from the uncompressed network on.
    top1 : array-like
        float [..., levels]: the top-1 of the levels in percent.

    Returns
    -------
    factor : np.ndarray
        float64 [...].
    bound : np.ndarray
        bool [...]: whether the strongest level still holds.

    Notes
    -----
    The last level that loses at most `LOSS` counts. Between it and the next level, top-1 is
    interpolated over the logarithm of the compression.
    """
    steps, accuracy = np.log(np.asarray(factors, float)), np.asarray(top1, float)
    # Positive where a level loses too much.
    beyond = accuracy[..., :1] - accuracy - LOSS
    strongest = len(steps) - 1
    last = strongest - np.argmax(beyond[..., ::-1] <= 1e-9, axis=-1)
    following = np.minimum(last + 1, strongest)
    here, there = (
        np.take_along_axis(beyond, level[..., None], -1)[..., 0] for level in (last, following)
    )
    share = np.where(last < strongest, -here / np.where(there > here, there - here, 1), 0)
    return np.exp(steps[last] + share * (steps[following] - steps[last])), last == strongest


def interval(logs: np.ndarray) -> statistics.Interval:
    """Return a ratio with its 95 % bootstrap percentile interval.

    Parameters
    ----------
    logs : np.ndarray
        float64 [1 + resamples]: logarithms of the ratio, first as measured.
    """
    levels = [statistics.ERROR_RATE / 2, 1 - statistics.ERROR_RATE / 2]
    # One of two neighbours may be infinite, so the larger one is taken instead of their mean.
    limits = np.quantile(logs[1:], levels, method="higher")
    return statistics.Interval(*(float(np.exp(value)) for value in (logs[0], *limits)))
