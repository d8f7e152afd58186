"""What became of a configuration: the values of the column `status`, and the reasons behind them.

A status is data. What is true of one configuration only ends no job: its record carries the status,
and the table has its row. A fault of the project or of the machine (a bug, no disk, no compiler) is
an exception and fails its job.
"""

from collections.abc import Iterable, Mapping
from typing import Any

OK = "ok"
# Float16 without float16 arithmetic: numbers are widened to float32.
WIDENED = "widened"
# Timed under an emulator: the latency says nothing of the processor.
SIMULATED = "simulated"
# A measurement that verdicts may use.
MEASURED = (OK, WIDENED)
RAN = (*MEASURED, SIMULATED)

# Kinds of reasons against a measurement; a status is "<kind>: <reason>".
# A method or a platform cannot express or run it.
UNSUPPORTED = "unsupported"
# It computes something else than the framework.
WRONG = "wrong"
# The device was not there, or vanished.
UNREACHABLE = "unreachable"
# It crashed, hung or could not be made.
FAILED = "failed"
KINDS = (UNSUPPORTED, WRONG, UNREACHABLE, FAILED)


def because(kind: str, reason: object) -> str:
    """Return the status of a kind with its reason in one line, e.g. "wrong: 0.03 > 0.001"."""
    return f"{kind}: {' '.join(str(reason).split())}"


def kind(status: str) -> str:
    """Return a status without its reason."""
    return status.partition(":")[0]


def ran(status: str) -> bool:
    """Return whether a configuration got this far: nothing speaks against running it."""
    return status in RAN


def combined(statuses: Iterable[str]) -> str:
    """Return the status that several stages give together.

    The first reason against a measurement wins, then `simulated`, then `widened`.
    """
    found = list(statuses)
    reasons = [status for status in found if not ran(status)]
    return reasons[0] if reasons else max(found, key=RAN.index, default=OK)


def of(record: Mapping[str, Any] | None) -> str:
    """Return the status in a record; a record that is missing stands for a stage that did not run."""
    return because(FAILED, "no record") if record is None else str(record.get("status", OK))
