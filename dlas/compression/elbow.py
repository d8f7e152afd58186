"""The elbow: the strongest level of a compression that keeps the accuracy.

This module does not import torch.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from dlas import status
from dlas.compression.measures import MEASURES

Record = Mapping[str, Any]
CURVE_COLUMNS = ("level", *MEASURES, "chosen", "status")


def curve(baseline: Record, points: Sequence[Record], tolerance: float) -> list[dict[str, Any]]:
    """Choose a level of one compression on one network.

    Parameters
    ----------
    baseline : record
        The uncompressed network.
    points : sequence of records
        The levels in any order. They include level 0, or a single level None for a technique
        without a ladder. A record has level, MEASURES and status.
    tolerance : float
        Percentage points of validation top-1 that the chosen level may lose against the baseline.

    Returns
    -------
    list of dict
        Rows with the keys CURVE_COLUMNS, in ascending order of level. `chosen` marks the strongest
        level within the tolerance, or the first level if there is none. The test split is not used.
        A level whose status is an error has no accuracy and is never chosen.
    """
    rows = sorted(points, key=lambda point: float(point["level"] or 0))
    lowest = baseline["validation_top1"] - tolerance
    chosen = max(
        number
        for number, row in enumerate(rows)
        if number == 0 or (status.ran(status.of(row)) and row["validation_top1"] >= lowest)
    )
    return [
        {name: row[name] for name in ("level", *MEASURES)}
        | {"chosen": number == chosen, "status": status.of(row)}
        for number, row in enumerate(rows)
    ]
