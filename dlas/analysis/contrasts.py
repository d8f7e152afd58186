"""The contrasts that observations on tuning compare: two ways to schedule each, without a search and with one.

A search without a template starts from the bare loops of the computation, as the scheduler does of
which the paper's abstract speaks. A search with a template sets the knobs of a hand-written
schedule. Each contrast is judged by itself. The first one decides a claim, the other is reported
beside it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pandas as pd

from dlas.analysis.columns import LATENCY, SCHEDULED
from dlas.analysis.observation import Observation, distinct


@dataclass(frozen=True)
class Contrast:
    """Two ways to schedule, `after` the search and `before` it."""

    before: str
    after: str

    def __str__(self) -> str:
        """Return it in words, with the names of the ways in backquotes."""
        return f"`{self.before}` to `{self.after}`"

    @property
    def ways(self) -> tuple[str, str]:
        """The two ways to schedule."""
        return self.before, self.after


WITHOUT_TEMPLATE = Contrast("unscheduled", "auto_scheduled")
WITH_TEMPLATE = Contrast("untuned", "autotuned")
CONTRASTS = (WITHOUT_TEMPLATE, WITH_TEMPLATE)


def retimed(rows: pd.DataFrame, contrast: Contrast) -> pd.DataFrame:
    """Return one row for each configuration among `timed` rows that was measured with both ways of a contrast.

    Its columns are SCHEDULED, LATENCY, row and status. Those of the second way have the suffix
    "_after"; the status is its own.
    """
    rows = distinct(rows)
    before = rows.loc[rows["tuning"] == contrast.before, [*SCHEDULED, *LATENCY, "row"]]
    after = rows.loc[rows["tuning"] == contrast.after, [*SCHEDULED, *LATENCY, "row", "status"]]
    return before.merge(after, on=SCHEDULED, suffixes=("", "_after"))


def judged(judge: Callable[[Contrast], Observation]) -> Observation:
    """Return the verdict on the first contrast, with those on all of them in its reason and evidence.

    Parameters
    ----------
    judge : callable
        Returns what is observed on one contrast.
    """
    found = {contrast: judge(contrast) for contrast in CONTRASTS}
    main, *_ = found.values()
    evidence = [
        one.evidence.assign(contrast=str(contrast))
        for contrast, one in found.items()
        if len(one.evidence)
    ]
    texts = [f"{contrast}: {_in_words(one)}" for contrast, one in found.items()]
    if main.reason.startswith("needs"):
        texts[0] = main.reason
    return replace(
        main,
        reason=". Beside it, ".join(texts),
        evidence=pd.concat(evidence, ignore_index=True) if evidence else pd.DataFrame(),
    )


def _in_words(found: Observation) -> str:
    """Return a verdict with its effect size and its reason."""
    if found.reason.startswith("needs"):
        return found.headline
    size = f"{found.estimate:.2f} [{found.ci_low:.2f}, {found.ci_high:.2f}]"
    return f"{found.verdict}, {size}: {found.reason}"
