"""Verdicts from intervals, on the study's own grid and for other networks.

Each claim says that an effect is beyond a threshold, the smallest effect that counts.

- Supported: the whole interval is beyond the threshold and beyond the noise floor.
- Contradicted: the whole interval is short of the threshold, and so is the noise floor.
- Inconclusive: otherwise.

The same rule decides two questions. On the grid the interval has the error of the measurements
alone. For other networks it has the error of taking the study's networks as a random sample.
"""

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from dlas.analysis import statistics

Verdict = Literal["supported", "contradicted", "inconclusive"]
Generalizes = Literal["yes", "no", "open"]
# An effect is one of other networks if more than this share of them has it.
COMMON = 0.25
_ANSWERS: dict[Verdict, Generalizes] = {
    "supported": "yes",
    "contradicted": "no",
    "inconclusive": "open",
}


# Stands on figures and pages.
EXPLAINED = (
    "The verdict says what holds on this study's own networks and platforms: its only uncertainty "
    "is that of the measurements. For other networks the study's networks count as a random "
    "sample, whose interval is wider."
)


class Generalization(NamedTuple):
    """Whether a claim holds for other networks.

    Attributes
    ----------
    generalizes : {"yes", "no", "open"}
        The answer.
    low, high : float
        The 95 % interval of the effect with the networks as a sample; NaN if it is unknown.
    """

    generalizes: Generalizes = "open"
    low: float = float("nan")
    high: float = float("nan")

    def __str__(self) -> str:
        """Return the answer with its interval, e.g. "open [0.74, 4.49]"."""
        known = not (np.isnan(self.low) or np.isnan(self.high))
        # The interval of a sample of two networks can have many digits.
        high = f"{self.high:.2f}" if self.high < 1e4 else f"{self.high:.0e}"
        return self.generalizes + f" [{self.low:.2f}, {high}]" * known


def any_beyond(
    low: npt.ArrayLike,
    high: npt.ArrayLike,
    smallest: float,
    floor: npt.ArrayLike = 0.0,
) -> Verdict:
    """Decide whether some effect is beyond its threshold.

    Parameters
    ----------
    low, high : array-like
        float [effects]: limits that hold at once.
    smallest : float
        The threshold, the smallest effect that counts.
    floor : array-like
        The noise floor of each effect. A floor above `smallest` takes its place. Then no effect is
        contradicted, as one that small cannot be seen.

    Returns
    -------
    Verdict
        Supported if some interval is beyond its threshold, contradicted if all effects are `short`.
    """
    low, high = np.asarray(low, float), np.asarray(high, float)
    if (low > np.maximum(smallest, floor)).any():
        return "supported"
    return "contradicted" if low.size and short(high, smallest, floor).all() else "inconclusive"


def all_beyond(
    low: npt.ArrayLike,
    high: npt.ArrayLike,
    smallest: float,
    floor: npt.ArrayLike = 0.0,
) -> Verdict:
    """Decide whether every effect is beyond its threshold.

    Parameters
    ----------
    low, high : array-like
        float [effects]: limits that hold at once.
    smallest, floor : float, array-like
        See `any_beyond`.

    Returns
    -------
    Verdict
        Supported if all intervals are beyond their threshold, contradicted if some effect is
        `short`.
    """
    low, high = np.asarray(low, float), np.asarray(high, float)
    if short(high, smallest, floor).any():
        return "contradicted"
    beyond = low > np.maximum(smallest, floor)
    return "supported" if low.size and beyond.all() else "inconclusive"


def short(high: npt.ArrayLike, smallest: float, floor: npt.ArrayLike) -> np.ndarray:
    """Return which effects are clearly below the smallest one that counts.

    Parameters
    ----------
    high : array-like
        float [effects]: upper limits.
    smallest, floor : float, array-like
        The threshold and the noise floors; an effect is not short if its noise floor is not.

    Returns
    -------
    np.ndarray
        bool [effects].
    """
    return np.maximum(high, floor) < smallest


def every(verdicts: npt.ArrayLike) -> Verdict:
    """Decide a claim that holds if all of its parts hold, from their verdicts."""
    parts = np.asarray(verdicts)
    if (parts == "contradicted").any():
        return "contradicted"
    return "supported" if parts.size and (parts == "supported").all() else "inconclusive"


def for_others(verdict: Verdict, low: float, high: float) -> Generalization:
    """Return the answer for other networks.

    Parameters
    ----------
    verdict : Verdict
        The verdict on intervals with the networks as a sample.
    low, high : float
        The interval of the reported effect.
    """
    return Generalization(_ANSWERS[verdict], float(low), float(high))


def for_others_by_share(count: int, total: int) -> Generalization:
    """Return whether more than `COMMON` of other networks show an effect.

    The exact interval of the share decides (Clopper and Pearson 1934).

    Parameters
    ----------
    count, total : int
        The networks of the study that show the effect, and all of them.
    """
    share = statistics.proportion(count, total)
    return for_others(any_beyond(share.low, share.high, COMMON), share.low, share.high)
