"""How far a network can be compressed before it loses accuracy."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from dlas.analysis import statistics
from dlas.analysis.columns import NETWORK

# Percentage points of test top-1 that an equally accurate network may lose.
LOSS = 1.0
# For the rules.
ALLOWED = (
    f"top-1 on the test split at most {LOSS:g} point below the uncompressed network's, or one standard error of it "
    "if that is more"
)
# A smaller ratio of two compressions may come from the spacing of the levels.
FURTHER = 1.25
RESAMPLES = 500


def reaches(curves: pd.DataFrame) -> pd.DataFrame:
    """Return how far each ladder compresses at equal accuracy: NETWORK, factor, low, high, bound.

    `factor` is the parameters of the uncompressed network over the non-zero ones that are left, see `reach`. `bound`
    says that the strongest level still holds, so that the factor is a lower bound. `low` and `high` are the limits of
    a 95 % parametric bootstrap interval: the top-1 of each level drawn again from its binomial distribution.
    Levels that could not be made are left out.
    """
    curves = curves.dropna(subset=["top1"])
    images = curves.groupby("dataset")["top1"].agg(statistics.fewest_images)
    rows = []
    for name, curve in curves.groupby(NETWORK):
        if len(curve) < 2:  # no ladder
            continue
        ladder = curve[["params", "nonzero_params", "top1"]].to_numpy(float)
        params, nonzero, top1 = ladder[curve["level"].to_numpy(float).argsort()].T
        factors, tested = params[0] / nonzero, images[name[0]]
        factor, bound = reach(factors, top1, tested)
        shares = (top1 / 100 * tested + 1) / (tested + 2)
        draw = np.random.default_rng(0)
        again = 100 * draw.binomial(tested, shares, (RESAMPLES, len(curve))) / tested
        limits = np.quantile(reach(factors, again, tested)[0], [0.025, 0.975])
        rows.append((*name, float(factor), *limits, bool(bound)))
    return pd.DataFrame(rows, columns=[*NETWORK, "factor", "low", "high", "bound"]).astype(
        {"bound": bool}
    )


def reach(
    factors: npt.ArrayLike, top1: npt.ArrayLike, images: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest compression at equal accuracy, and whether it is only a lower bound.

    `factors` [levels] and `top1` [..., levels], in percent of this number of test images, are those of the levels from
    the uncompressed network on; the results are arrays [...]. The last level that loses no more than allowed counts,
    and what the straight line to the next level's top-1, over the logarithm of the compression, adds to it. If that is
    the strongest level, it is a lower bound.
    """
    steps, accuracy = np.log(np.asarray(factors, float)), np.asarray(top1, float)
    loss = accuracy[..., :1] - accuracy
    error = np.sqrt(accuracy[..., :1] * (100 - accuracy[..., :1]) / images)
    beyond = loss - np.maximum(LOSS, error)  # positive where a level loses too much
    strongest = len(steps) - 1
    last = strongest - np.argmax(beyond[..., ::-1] <= 1e-9, axis=-1)
    following = np.minimum(last + 1, strongest)
    here, there = (
        np.take_along_axis(beyond, level[..., None], -1)[..., 0] for level in (last, following)
    )
    share = np.where(last < strongest, -here / np.where(there > here, there - here, 1), 0)
    return np.exp(steps[last] + share * (steps[following] - steps[last])), last == strongest


def comparable(factors: pd.Series, bounds: pd.Series) -> pd.Series:
    """Return factors that can be compared: none beyond the smallest at which a ladder ended that still held.

    Up to there every factor is known; a difference beyond it is not, and counts as none.
    """
    return np.minimum(factors, factors.to_numpy()[bounds].min(initial=np.inf))
