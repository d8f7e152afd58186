"""The elbow: the strongest level of a technique that keeps the accuracy. Knows no torch."""

from collections.abc import Mapping, Sequence
from typing import Any

from dlas import status
from dlas.compression.measures import MEASURES

Record = Mapping[str, Any]
CURVE_COLUMNS = ("level", *MEASURES, "chosen", "status")


def curve(baseline: Record, points: Sequence[Record], tolerance: float) -> list[dict[str, Any]]:
    """Return the accuracy curve of one technique on one network, with the chosen level marked.

    `baseline` is the record of the uncompressed network, `points` are those of the levels in any
    order; a record has level, MEASURES and status. The rows, with the keys CURVE_COLUMNS, are the
    baseline as level 0 and the levels ascending. `chosen` marks the strongest level whose
    validation top-1 is at most `tolerance` percentage points below the baseline's, or level 0 where
    there is none; the test split has no part in it. A level whose status is a reason against it has
    no accuracy and is never chosen. A technique without a ladder has one point with level None: its
    one row is always chosen.
    """
    if [point["level"] for point in points] == [None]:
        rows, chosen = [dict(points[0])], 0
    else:
        ladder = sorted(points, key=lambda point: float(point["level"]))
        rows = [{**baseline, "level": 0.0}, *map(dict, ladder)]
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
