"""The values of the column `status`, and their reasons.

A status is data. An error of a single configuration does not fail a job: its record carries the
status, and the table has its row. An error of the project or of the machine (a bug, a full disk, no
compiler) is an exception and fails its job.
"""

from collections.abc import Iterable, Mapping
from typing import Any

OK = "ok"
# float16 without float16 arithmetic: values are widened to float32.
WIDENED = "widened"
# Timed under an emulator: the latency says nothing about the processor.
SIMULATED = "simulated"
# Measurements that verdicts may use.
MEASURED = (OK, WIDENED)
RAN = (*MEASURED, SIMULATED)

# Kinds of errors; such a status is "<kind>: <reason>".
# A technique, primitive or platform cannot express or run the configuration.
UNSUPPORTED = "unsupported"
# The library computes other results than the framework.
WRONG = "wrong"
# The device cannot be reached, or disconnected.
UNREACHABLE = "unreachable"
# The library crashed, hung or could not be built.
FAILED = "failed"
KINDS = (UNSUPPORTED, WRONG, UNREACHABLE, FAILED)


def because(kind: str, reason: object) -> str:
    """Return the status of a kind with its reason in one line, e.g. "wrong: 0.03 > 0.001"."""
    return f"{kind}: {' '.join(str(reason).split())}"


def kind(status: str) -> str:
    """Return a status without its reason."""
    return status.partition(":")[0]


def ran(status: str) -> bool:
    """Return whether the status is not an error."""
    return status in RAN


def combined(statuses: Iterable[str]) -> str:
    """Return the status that several stages give together.

    The first error wins, then `simulated`, then `widened`.
    """
    found = list(statuses)
    reasons = [status for status in found if not ran(status)]
    return reasons[0] if reasons else max(found, key=RAN.index, default=OK)


def of(record: Mapping[str, Any] | None) -> str:
    """Return the status in a record; a missing record stands for a stage that did not run."""
    return because(FAILED, "no record") if record is None else str(record.get("status", OK))
