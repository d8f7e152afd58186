"""What intervals decide, for the study's own grid and for other networks.

Each claim says that an effect is beyond a threshold, the smallest that counts. It is supported
where the whole interval is beyond the threshold and beyond the noise floor. It is contradicted
where the whole interval is short of the threshold, and the noise floor too. It is inconclusive
where the interval contains the threshold. The same rule decides two questions. On the grid the
interval has the error of the measurements alone. For other networks it has the error of taking the
study's networks as a random sample.
"""

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from dlas.analysis import statistics

Verdict = Literal["supported", "contradicted", "inconclusive"]
Generalizes = Literal["yes", "no", "open"]
# Share of networks from which on an effect that some have is one of other networks too.
COMMON = 0.25
_ANSWERS: dict[Verdict, Generalizes] = {
    "supported": "yes",
    "contradicted": "no",
    "inconclusive": "open",
}


# For figures and pages.
EXPLAINED = (
    "The verdict says what holds on this study's own networks and platforms: its only uncertainty "
    "is that of the measurements. For other networks the study's networks count as a random "
    "sample, whose interval is wider."
)


class Generalization(NamedTuple):
    """Whether a claim holds for other networks, by its effect's 95 % interval as a sample's."""

    generalizes: Generalizes = "open"
    low: float = float("nan")
    high: float = float("nan")

    def __str__(self) -> str:
        """Return it in words: "open [0.74, 4.49]"."""
        known = not (np.isnan(self.low) or np.isnan(self.high))
        # Two networks are so small a sample that its interval can have many digits.
        high = f"{self.high:.2f}" if self.high < 1e4 else f"{self.high:.0e}"
        return self.generalizes + f" [{self.low:.2f}, {high}]" * known


def any_beyond(
    low: npt.ArrayLike,
    high: npt.ArrayLike,
    smallest: float,
    floor: npt.ArrayLike = 0.0,
) -> Verdict:
    """Decide whether some effect is beyond its threshold, from intervals that hold at once.

    Parameters
    ----------
    low, high : array-like
        The limits of the effects.
    smallest : float
        The smallest effect that counts.
    floor : array-like
        The noise floor of each ratio. Above `smallest` it takes its place, and then nothing is
        contradicted: what is that small cannot be seen.
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
    """Decide whether every effect is beyond its threshold, see `any_beyond`."""
    low, high = np.asarray(low, float), np.asarray(high, float)
    if short(high, smallest, floor).any():
        return "contradicted"
    beyond = low > np.maximum(smallest, floor)
    return "supported" if low.size and beyond.all() else "inconclusive"


def short(high: npt.ArrayLike, smallest: float, floor: npt.ArrayLike) -> np.ndarray:
    """Return which effects are clearly short of the smallest that counts, where the noise floor is too."""
    return np.maximum(high, floor) < smallest


def every(verdicts: npt.ArrayLike) -> Verdict:
    """Decide a claim that holds where each of its parts does."""
    parts = np.asarray(verdicts)
    if (parts == "contradicted").any():
        return "contradicted"
    return "supported" if parts.size and (parts == "supported").all() else "inconclusive"


def for_others(verdict: Verdict, low: float, high: float) -> Generalization:
    """Return what a verdict on intervals of a sample says, with the interval of the effect that is reported."""
    return Generalization(_ANSWERS[verdict], float(low), float(high))


def for_others_by_share(count: int, total: int) -> Generalization:
    """Return whether more than `COMMON` of other networks show what `count` of `total` of the study's do.

    The exact interval of the share decides (Clopper and Pearson 1934).
    """
    share = statistics.proportion(count, total)
    return for_others(any_beyond(share.low, share.high, COMMON), share.low, share.high)
