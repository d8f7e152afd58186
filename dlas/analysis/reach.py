"""How far a network can be compressed before it loses accuracy."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import pandas as pd

from dlas.analysis import statistics
from dlas.analysis.answers import Answers, level_name
from dlas.analysis.columns import NETWORK

# Percentage points of test top-1 that an equally accurate network may lose.
LOSS = 1.0
# For the rules.
ALLOWED = f"top-1 on the test split at most {LOSS:g} point below the uncompressed network's"
# A smaller ratio of two compressions may come from the spacing of the levels.
FURTHER = 1.25
RESAMPLES = 999


@dataclass(frozen=True, eq=False)
class Reaches:
    """How far each ladder compresses at equal accuracy.

    Parameters
    ----------
    table : DataFrame
        NETWORK, factor, low, high and bound. `factor` is the parameters of the uncompressed network
        over the non-zero ones that are left, see `reach`, with the limits of its 95 % bootstrap
        interval. `bound` says that the strongest level still holds, so that the factor is a lower
        bound.
    factors, bounds : np.ndarray
        float64 and bool [ladders, RESAMPLES]: the same with the test images drawn anew.
    """

    table: pd.DataFrame
    factors: np.ndarray
    bounds: np.ndarray

    def of(self, chosen: npt.ArrayLike) -> "Reaches":
        """Return the ladders at these positions, or where a mask says so."""
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
    """Logarithms of the compressions of some ladders: float64 [ladders, 1 + RESAMPLES], first as measured.

    Parameters
    ----------
    log : np.ndarray
        None is beyond the smallest at which one of the ladders ended that still held. Up to there
        every compression is known; a difference beyond it is not, and counts as none.
    least, most : np.ndarray
        What each could be at least and at most: of a ladder that still held at its end, more than
        any number.
    """

    log: np.ndarray
    least: np.ndarray
    most: np.ndarray


def reaches(curves: pd.DataFrame, answers: Answers) -> Reaches:
    """Return how far each ladder compresses, from its levels in accuracy_curves.csv and their answers.

    The test images of a data set are drawn with replacement, the same ones for all of its networks
    and levels: a bootstrap of pairs (Efron and Tibshirani 1993), in which the images that all get
    right drop out. Levels that could not be made are left out, and so are ladders of which the
    answers are not known.
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
    """Return which share of a resample each image is: float64 [RESAMPLES, images]."""
    return (
        np.random.default_rng(0).multinomial(images, np.full(images, 1 / images), RESAMPLES)
        / images
    )


def _correct(answers: Answers, name: tuple[str, ...], level: float) -> np.ndarray | None:
    """Return which images a level gets right; level 0 of a ladder is the uncompressed network."""
    dataset, model, compression = name
    if level == 0:
        return answers.correct(dataset, model, "none", level_name(None))
    return answers.correct(dataset, model, compression, level_name(level))


def reach(factors: npt.ArrayLike, top1: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest compression at equal accuracy, and whether it is only a lower bound.

    `factors` [levels] and `top1` [..., levels], in percent, are those of the levels from the
    uncompressed network on; the results are arrays [...]. The last level that loses no more than
    allowed counts, and what the straight line to the next level's top-1, over the logarithm of the
    compression, adds to it. If that is the strongest level, it is a lower bound.
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
    """Return the ratio of a logarithm, the first of `logs`, with the 95 % percentile interval of the others."""
    levels = [statistics.ERROR_RATE / 2, 1 - statistics.ERROR_RATE / 2]
    # The larger of two neighbours, between which infinity has no mean.
    limits = np.quantile(logs[1:], levels, method="higher")
    return statistics.Interval(*(float(np.exp(value)) for value in (logs[0], *limits)))
