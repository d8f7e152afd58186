"""Check a config and report an error in one line: the key, its value and the allowed values."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from dlas.config.sections import Config
from dlas.errors import StudyError

# Renamed keys; * stands for any one key.
MOVED = {
    "compression.techniques.weight_pruning.spared": "compression.techniques.weight_pruning.exclude",
    "datasets.photos.minimum_deviation": "datasets.photos.minimum_std",
    "platforms.*.emulated": "platforms.*.simulated",
    "tuning.trials.layer": "tuning.trials.autotuned.layer",
    "tuning.trials.network": "tuning.trials.autotuned.network",
}

# The allowed values by pydantic's error type, with the fields of its context.
ALLOWED = {
    "bool_type": "must be true or false",
    "dict_type": "must be a section with keys",
    "finite_number": "must be a finite number",
    "float_type": "must be a number",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "int_type": "must be an integer",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "list_type": "must be a list",
    "literal_error": "allowed: {expected}",
    "model_type": "must be a section with keys",
    "string_too_short": "must not be empty",
    "string_type": "must be text",
    "too_short": "must name at least {min_length}",
    "value_error": "{error}",
}
TEXT = {"string_type", "literal_error", "allowed"}
NUMBERS = {"int_type", "float_type"}


def typed(config: Mapping[str, Any]) -> Config:
    """Return a merged config as an object.

    Parameters
    ----------
    config : mapping
        The content of config.yaml with overlays, see `files.read`.

    Raises
    ------
    StudyError
        For an unknown or missing key, and for a value of the wrong type or out of bounds.
    """
    _check_yaml(config, "")
    try:
        return Config.model_validate(config)
    except ValidationError as error:
        raise StudyError(f"config: {_explain(error.errors(include_url=False)[0])}") from None


def _check_yaml(value: Any, place: str) -> None:
    """Check that YAML read each key as text, and no value as a date or null."""
    name = place or "the top level"
    if value is None:
        raise StudyError(
            f"config: {name} is null: YAML reads an empty value and an unquoted null as nothing; "
            "allowed: a value, text in quotes, or no such key"
        )
    if isinstance(value, date):
        raise StudyError(
            f"config: {name} is {value}, which YAML reads as a date; allowed: text in quotes"
        )
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise StudyError(
                    f"config: {name} has the key {key}, which YAML reads as {_kind(key)}; "
                    "allowed: keys in quotes"
                )
            _check_yaml(inner, f"{place}.{key}" if place else key)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            _check_yaml(inner, f"{place}.{number}")


def _kind(value: Any) -> str:
    """Return the type that YAML gives a value, in words."""
    kinds = {bool: "yes or no", int: "a number", float: "a number", date: "a date"}
    return next((name for kind, name in kinds.items() if isinstance(value, kind)), "nothing")


def _explain(error: ErrorDetails) -> str:
    """Return a pydantic error in one line."""
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    # Pydantic adds the tag of the union member that it tried, which is in angle brackets here.
    parts = [str(part) for part in error["loc"] if not re.fullmatch("<.*>", str(part))]
    if parts[-1:] == ["[key]"]:
        parts, value = parts[:-2], parts[-2]
        return _moved([*parts, value]) or (
            f"{_name(parts)} has the key {value!r}; {context['error']}"
        )
    name = _name(parts)
    if kind == "unknown_keys":
        return _moved([*parts, context["keys"][0]]) or (
            f"unknown key {', '.join(context['keys'])} in {name}; "
            f"allowed: {', '.join(context['allowed'])}"
        )
    if kind == "missing_keys":
        return f"{name} lacks {', '.join(context['keys'])}"
    if kind == "literal_error":
        names = re.findall("'(.*?)'", context["expected"])
        context = {"expected": ", ".join(names)}
    allowed = ALLOWED[kind].format(**context) if kind in ALLOWED else error["msg"]
    if isinstance(value, Mapping) and kind in ("value_error", "allowed"):
        return f"{name}: {allowed}"
    return f"{name} is {value!r}; {allowed}{_hint(kind, value)}"


def _name(parts: list[str]) -> str:
    return ".".join(parts) or "the top level"


def _moved(parts: list[str]) -> str | None:
    """Return a message with the new name of a renamed key, or None."""
    for before, after in MOVED.items():
        if re.fullmatch(re.escape(before).replace(r"\*", "[^.]+"), ".".join(parts)):
            names = iter(
                part for part, was in zip(parts, before.split("."), strict=True) if was == "*"
            )
            now = ".".join(next(names) if part == "*" else part for part in after.split("."))
            return f"{'.'.join(parts)} has another name now: {now}"
    return None


def _hint(kind: str, value: Any) -> str:
    """Return a hint on quoting a value that YAML reads as another type."""
    if kind in TEXT and isinstance(value, bool | int | float):
        return f"; YAML reads it as {_kind(value)} unless it is in quotes"
    if (
        kind in NUMBERS
        and isinstance(value, str)
        and re.fullmatch(r"[-+]?[0-9.]+(e[-+]?[0-9]+)?", value)
    ):
        return "; YAML reads it as text: write it without quotes and with a point, as in 1.0e-3"
    return ""
