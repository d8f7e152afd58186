"""Counts of the rows without a measurement, by reason."""

import re

import pandas as pd

from dlas import status
from dlas.status import MEASURED

# Tables give this status to a compression without a level, instead of its rows' own.
UNREACHED = "no level within the tolerance"


def summary(study: pd.DataFrame) -> list[str]:
    """Return lines that count the rows of study.csv that are not ok, by reason.

    Widened rows are measurements and count as ok. Reasons that differ only in numbers are one,
    named by the first of them.

    Parameters
    ----------
    study : DataFrame
        study.csv.

    Returns
    -------
    list of str
        A line for all rows, one for each reason, and one on devices to probe again; none if all
        rows are ok.
    """
    wrong = study.loc[~study["status"].isin(MEASURED), "status"].astype(str)
    if wrong.empty:
        return []
    kinds = wrong.map(lambda text: re.sub(r"\d[\d.e+-]*", "0", text))
    reasons = sorted(
        ((len(alike), alike.iloc[0], alike.nunique() > 1) for _, alike in wrong.groupby(kinds)),
        key=lambda reason: (-reason[0], reason[1]),
    )
    again = "Once the device is back: snakemake --forcerun probe_platform_remotely -- all"
    # A new probe adds nothing to a bundle.
    gone = wrong.str.match(rf"{status.UNREACHABLE}: (?!(in )?the bundle )").any()
    return [
        f"{len(wrong)} of {len(study)} rows are not ok:",
        *(f"  {count} {text}{' and the like' * several}" for count, text, several in reasons),
        *([again] if gone else []),
    ]


def counted(study: pd.DataFrame) -> str:
    """Return the counts by kind in one line, such as "not measured: 9 unsupported, 3 wrong"."""
    kinds = study.loc[~study["status"].isin(MEASURED), "status"].map(status.kind)
    counts = [f"{count} {kind}" for kind, count in kinds.value_counts().items()]
    return f"not measured: {', '.join(counts)}" if counts else ""
