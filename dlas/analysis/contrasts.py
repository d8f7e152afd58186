"""Contrasts of two ways to schedule, one before and one after a search.

A search without a template starts from the bare loops of the computation, as does the scheduler in
the paper's abstract. A search with a template sets the knobs of a hand-written schedule. Each
contrast is judged by itself. The first one decides a claim, the other is reported beside it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pandas as pd

from dlas.analysis.columns import LATENCY, SCHEDULED
from dlas.analysis.observation import Observation, distinct


@dataclass(frozen=True)
class Contrast:
    """Two ways to schedule, one `before` and one `after` a search."""

    before: str
    after: str

    def __str__(self) -> str:
        """Return the names of both ways in backquotes."""
        return f"`{self.before}` to `{self.after}`"

    @property
    def ways(self) -> tuple[str, str]:
        """Both ways to schedule, the one before the search first."""
        return self.before, self.after


WITHOUT_TEMPLATE = Contrast("unscheduled", "auto_scheduled")
WITH_TEMPLATE = Contrast("untuned", "autotuned")
CONTRASTS = (WITHOUT_TEMPLATE, WITH_TEMPLATE)


def retimed(rows: pd.DataFrame, contrast: Contrast) -> pd.DataFrame:
    """Return the configurations that were measured with both ways of a contrast.

    Parameters
    ----------
    rows : DataFrame
        Rows of `observation.timed`.
    contrast : Contrast
        The two ways to schedule.

    Returns
    -------
    DataFrame
        SCHEDULED, LATENCY, row and status. LATENCY and row of the second way have the suffix
        "_after"; the status is that of the second way.
    """
    rows = distinct(rows)
    before = rows.loc[rows["tuning"] == contrast.before, [*SCHEDULED, *LATENCY, "row"]]
    after = rows.loc[rows["tuning"] == contrast.after, [*SCHEDULED, *LATENCY, "row", "status"]]
    return before.merge(after, on=SCHEDULED, suffixes=("", "_after"))


def judged(judge: Callable[[Contrast], Observation]) -> Observation:
    """Return the verdict on the first contrast, with both contrasts in its reason and evidence.

    Parameters
    ----------
    judge : callable
        Returns the `Observation` on one contrast.

    Returns
    -------
    Observation
        Its evidence has the column `contrast`.
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
    """Return a verdict with its effect size and reason."""
    if found.reason.startswith("needs"):
        return found.headline
    size = f"{found.estimate:.2f} [{found.ci_low:.2f}, {found.ci_high:.2f}]"
    return f"{found.verdict}, {size}: {found.reason}"
