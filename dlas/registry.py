"""Find the plugins of every kind and their descriptions, without importing a plugin."""

import ast
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Literal, get_args, overload

from dlas import plugins
from dlas.errors import StudyError, unknown
from dlas.plugins import (
    LAST,
    ConnectionPlugin,
    DatasetPlugin,
    FormatPlugin,
    Matches,
    ModelPlugin,
    Name,
    ObservationPlugin,
    Plugin,
    PrimitivePlugin,
    RuntimePlugin,
    TechniquePlugin,
    TuningPlugin,
)

Kind = Literal[
    "dataset",
    "model",
    "compression",
    "primitive",
    "format",
    "tuning",
    "runtime",
    "connection",
    "observation",
]
# The folder of each kind, and the class of its descriptions.
KINDS: dict[Kind, tuple[str, type[Plugin]]] = {
    "dataset": ("datasets", DatasetPlugin),
    "model": ("models", ModelPlugin),
    "compression": ("compression", TechniquePlugin),
    "primitive": ("primitives", PrimitivePlugin),
    "format": ("primitives", FormatPlugin),
    "tuning": ("compiler/schedulers", TuningPlugin),
    "runtime": ("runtimes", RuntimePlugin),
    "connection": ("hardware/connections", ConnectionPlugin),
    "observation": ("analysis/observations", ObservationPlugin),
}
DESCRIPTION = "PLUGIN"
NAME: Matches = get_args(Name)[1]

# The names that a description may use.
_VOCABULARY = {name: getattr(plugins, name) for name in plugins.__all__} | {
    "__builtins__": {each.__name__: each for each in (bool, dict, float, int, list, str, tuple)}
}


@cache
def all_of(kind: Kind) -> dict[str, Plugin]:
    """Return the descriptions of all plugins of a kind by name, in their order.

    Raises
    ------
    StudyError
        For a description that cannot be evaluated, a file name that is no valid plugin name, and
        two plugins with the same label.
    """
    folder, expected = KINDS[kind]
    found: dict[str, Plugin] = {}
    for file in (Path(__file__).parent / folder).glob("[!_]*.py"):
        description = _description(file)
        if isinstance(description, expected):
            try:
                found[NAME.check(file.stem)] = description
            except ValueError as error:
                raise StudyError(
                    f"dlas/{folder}/{file.name} cannot be a plugin; {error}"
                ) from error
    for label, number in Counter(each.label for each in found.values()).items():
        if number > 1:
            alike = ", ".join(sorted(name for name in found if found[name].label == label))
            raise StudyError(
                f"the {kind} plugins {alike} have one label, {label!r}; each needs its own"
            )
    return dict(sorted(found.items(), key=lambda item: (item[1].order, item[0])))


def names(kind: Kind) -> tuple[str, ...]:
    """Return the names of all plugins of a kind, in their order."""
    return tuple(all_of(kind))


@overload
def describe(kind: Literal["dataset"], name: str) -> DatasetPlugin: ...
@overload
def describe(kind: Literal["model"], name: str) -> ModelPlugin: ...
@overload
def describe(kind: Literal["compression"], name: str) -> TechniquePlugin: ...
@overload
def describe(kind: Literal["primitive"], name: str) -> PrimitivePlugin: ...
@overload
def describe(kind: Literal["format"], name: str) -> FormatPlugin: ...
@overload
def describe(kind: Literal["tuning"], name: str) -> TuningPlugin: ...
@overload
def describe(kind: Literal["runtime"], name: str) -> RuntimePlugin: ...
@overload
def describe(kind: Literal["connection"], name: str) -> ConnectionPlugin: ...
@overload
def describe(kind: Literal["observation"], name: str) -> ObservationPlugin: ...
def describe(kind: Kind, name: str) -> Any:
    """Return the description of a plugin; raise StudyError for an unknown one."""
    if name not in all_of(kind):
        raise unknown(kind, name, all_of(kind))
    return all_of(kind)[name]


def module_name(kind: Kind, name: str) -> str:
    """Return the full name of a plugin's module, whether it exists or not."""
    return f"dlas.{KINDS[kind][0].replace('/', '.')}.{name}"


def load(kind: Kind, name: str) -> ModuleType:
    """Import a plugin; raise StudyError for an unknown one."""
    describe(kind, name)  # type: ignore[call-overload]
    return import_module(module_name(kind, name))


def ordered(kind: Kind, present: Iterable[str]) -> list[str]:
    """Return distinct names in the order of their plugins.

    Parameters
    ----------
    kind : str
        Kind of plugin.
    present : iterable of str
        The names; a name without a plugin comes last, sorted.
    """
    places = {name: place for place, name in enumerate(all_of(kind))}
    return sorted(set(present), key=lambda name: (places.get(name, LAST), name))


def _description(file: Path) -> Any:
    """Evaluate the description in a file; None without one.

    Only the lines of the description are parsed, which takes a tenth of the time of the whole
    file. Each job of the workflow reads all descriptions.
    """
    lines = file.read_text().splitlines()
    start = next(
        (at for at, line in enumerate(lines) if line.startswith(f"{DESCRIPTION} = ")), None
    )
    if start is None:
        return None
    try:
        return eval(_expression(lines[start:]), _VOCABULARY.copy())
    except Exception as error:
        raise StudyError(
            f"{file.name}: {DESCRIPTION} cannot be evaluated: {error}; "
            "allowed: literals and the names of dlas.plugins"
        ) from error


def _expression(lines: list[str]) -> CodeType:
    """Compile the value of the assignment at the start of these lines."""
    for end in range(1, len(lines) + 1):
        with suppress(SyntaxError):
            (statement,) = ast.parse("\n".join(lines[:end])).body
            return compile(ast.Expression(statement.value), DESCRIPTION, "eval")  # type: ignore[attr-defined]
    raise SyntaxError("the assignment has no end")
