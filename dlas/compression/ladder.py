"""The end of a ladder: stop after a level that failed or lost too much accuracy.

This module does not import torch.
"""

from collections.abc import Mapping
from typing import Any

from dlas import status
from dlas.errors import UnsupportedError, of_status


def check_previous(
    baseline: Mapping[str, Any], previous: Mapping[str, Any], give_up: float
) -> None:
    """Check that the next level of a ladder is worth making.

    Parameters
    ----------
    baseline, previous : mapping
        The records of the uncompressed network and of the previous level, each with level, status
        and validation_top1. A previous level marked "passed" never ends the ladder: the network was
        sparser than that level before.
    give_up : float
        Percentage points of validation top-1 that the previous level may have lost.

    Raises
    ------
    RowError
        If the previous level could not be made, with its status, so all further levels have the
        same status. UnsupportedError if it lost too much.
    """
    if previous.get("passed"):
        return
    if not status.ran(status.of(previous)):
        raise of_status(status.of(previous))
    lost = baseline["validation_top1"] - previous["validation_top1"]
    if lost > give_up:
        raise UnsupportedError(
            f"the level {previous['level']:g} before it lost {lost:.1f} points of validation "
            f"top-1, "
            f"more than compression.give_up: {give_up:g}"
        )
