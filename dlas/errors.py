"""The exceptions of the study that a user is meant to read, each in one line."""

from dlas import status


class StudyError(Exception):
    """Bad input. The message names the thing and what is allowed."""


class RowError(StudyError):
    """What is true of one configuration only: its row carries the `status`, and all others go on."""

    kind = status.FAILED

    @property
    def status(self) -> str:
        """The value of the column `status`."""
        return status.because(self.kind, self)


class UnsupportedError(RowError):
    """A network that a configuration cannot express: an operator, a layer, a type."""

    kind = status.UNSUPPORTED


class WrongError(RowError):
    """A library that computes something else than the framework."""

    kind = status.WRONG


class UnreachableError(RowError):
    """A device that is not there, or vanished."""

    kind = status.UNREACHABLE


class FailedError(RowError):
    """A library that could not be made, crashed or hung."""


def of_status(text: str) -> RowError:
    """Return the error whose `status` is a text such as "failed: a reason"."""
    kind, _, reason = text.partition(": ")
    kinds: dict[str, type[RowError]] = {
        each.kind: each for each in (UnsupportedError, WrongError, UnreachableError, FailedError)
    }
    return kinds[kind](reason)


class PassedError(UnsupportedError):
    """A level of a ladder that the network it starts from has passed already; stronger levels go on with that."""


def unknown(kind: str, name: object, allowed: object) -> StudyError:
    """Return the error for a name that is not among the allowed ones, e.g. an unknown model."""
    names = ", ".join(sorted(str(item) for item in allowed))  # type: ignore[attr-defined]
    return StudyError(f"unknown {kind} {name!r}; allowed: {names}")
