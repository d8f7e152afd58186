"""When a ladder ends: a level is not made where the one before it could not be, or lost too much. Knows no torch."""

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
        The records of the uncompressed network and of the level before, each with level, status and
        validation_top1. One that the network had passed already, "passed", says nothing of the
        next.
    give_up : float
        Points of validation top-1 that the level before may have lost.

    Raises
    ------
    RowError
        With the status of the level before, if it could not be made, so that all further levels
        have the same; UnsupportedError if it lost too much.
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
