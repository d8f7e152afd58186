"""What became of the rows of a study, in a few lines."""

import re

import pandas as pd

from dlas import status
from dlas.status import MEASURED

# The status that tables give a compression of a network, instead of its rows' own.
UNREACHED = "no level within the tolerance"


def summary(study: pd.DataFrame) -> list[str]:
    """Return how many rows of study.csv are not ok, and why: a line for all, and one for each reason.

    Widened rows are measurements and count as ok. Reasons that differ in nothing but their numbers
    are one; the first stands for them. Where all rows are ok there is no line.
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
    # No probe makes a bundle complete.
    gone = wrong.str.match(rf"{status.UNREACHABLE}: (?!(in )?the bundle )").any()
    return [
        f"{len(wrong)} of {len(study)} rows are not ok:",
        *(f"  {count} {text}{' and the like' * several}" for count, text, several in reasons),
        *([again] if gone else []),
    ]


def counted(study: pd.DataFrame) -> str:
    """Return the same in one short line for a figure: "not measured: 9 unsupported, 3 wrong"."""
    kinds = study.loc[~study["status"].isin(MEASURED), "status"].map(status.kind)
    counts = [f"{count} {kind}" for kind, count in kinds.value_counts().items()]
    return f"not measured: {', '.join(counts)}" if counts else ""
