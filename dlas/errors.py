"""Exceptions for users, each with a message of one line."""

from dlas import status


class StudyError(Exception):
    """Invalid input. The message names the key or file, and the allowed values."""


class RowError(StudyError):
    """An error of one configuration: its row has the `status`, and all others go on."""

    kind = status.FAILED

    @property
    def status(self) -> str:
        """The value of the column `status`."""
        return status.because(self.kind, self)


class UnsupportedError(RowError):
    """A configuration cannot express an operator, layer or type of the network."""

    kind = status.UNSUPPORTED


class WrongError(RowError):
    """A library computes other results than the framework."""

    kind = status.WRONG


class UnreachableError(RowError):
    """A device cannot be reached, or disconnected."""

    kind = status.UNREACHABLE


class FailedError(RowError):
    """A library could not be built, crashed or hung."""


def of_status(text: str) -> RowError:
    """Return the error whose `status` is a text such as "failed: a reason"."""
    kind, _, reason = text.partition(": ")
    kinds: dict[str, type[RowError]] = {
        each.kind: each for each in (UnsupportedError, WrongError, UnreachableError, FailedError)
    }
    return kinds[kind](reason)


class PassedError(UnsupportedError):
    """The network is sparser than a level of its ladder; stronger levels start from it."""


def unknown(kind: str, name: object, allowed: object) -> StudyError:
    """Return the error for a name that is not allowed, e.g. an unknown model.

    Parameters
    ----------
    kind : str
        The named thing in words, e.g. "model".
    name : object
        The given name.
    allowed : iterable
        The allowed names.
    """
    names = ", ".join(sorted(str(item) for item in allowed))  # type: ignore[attr-defined]
    return StudyError(f"unknown {kind} {name!r}; allowed: {names}")
