"""The methods of the layers by their names: a method is a file in its layer's folder with the layer's function."""

import ast
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from dlas.errors import unknown

# The folder of each kind, and the function that makes a file there one of it.
METHODS = {
    "dataset": ("datasets", "prepare"),
    "model": ("models", "build"),
    "compression": ("compression", "compress"),
    "primitive": ("primitives", "convolve"),
    "format": ("primitives", "kernel"),
    "connection": ("hardware/connections", "connect"),
    "observation": ("analysis/observations", "observe"),
}


@cache
def names(kind: str) -> tuple[str, ...]:
    """Return the names of all methods of a kind, sorted, without importing them."""
    _, function = METHODS[kind]
    return tuple(
        sorted(
            file.stem
            for file in _folder(kind).glob("[!_]*.py")
            if any(
                isinstance(node, ast.FunctionDef) and node.name == function
                for node in ast.parse(file.read_text()).body
            )
        )
    )


def load(kind: str, name: str) -> ModuleType:
    """Return the module of a method; StudyError for an unknown one."""
    folder, function = METHODS[kind]
    full = f"dlas.{folder.replace('/', '.')}.{name}"
    module = import_module(full) if name.isidentifier() and find_spec(full) else None
    if module is None or not hasattr(module, function):
        raise unknown(kind, name, names(kind))
    return module


@cache
def constant(kind: str, name: str, key: str, default: Any) -> Any:
    """Return a constant of a method's file, which is read and not imported, or else the default.

    Raises a StudyError for an unknown method.
    """
    if name not in names(kind):
        raise unknown(kind, name, names(kind))
    for node in ast.parse((_folder(kind) / f"{name}.py").read_text()).body:
        match node:
            case ast.Assign(targets=[ast.Name(id=found)], value=value) if found == key:
                return ast.literal_eval(value)
    return default


def _folder(kind: str) -> Path:
    return Path(__file__).parent / METHODS[kind][0]
