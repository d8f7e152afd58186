"""The one exception of the study that a user is meant to read."""


class StudyError(Exception):
    """Bad input, told in one line that names the thing and what is allowed."""


class UnsupportedError(StudyError):
    """A network that a configuration cannot express: an operator, a layer, a type."""


def unknown(kind: str, name: object, allowed: object) -> StudyError:
    """Return the error for a name that is not among the allowed ones, e.g. an unknown model."""
    names = ", ".join(sorted(str(item) for item in allowed))  # type: ignore[attr-defined]
    return StudyError(f"unknown {kind} {name!r}; allowed: {names}")
