"""A content hash of a script, or of modules, and of everything they import from this project.

Only what a program does counts: the hash is taken over the syntax trees without comments, docstrings and positions,
so that reformatting or documenting changes nothing, and neither do file times. Imports are followed wherever they
stand, also inside functions; what is imported by name at run time has to be given as an extra module.
"""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path


@cache
def code_hash(root: Path, script: Path | None, modules: tuple[str, ...] = ()) -> str:
    """Return the hash of `script`, of the named `modules` and of all that they import, as 16 hexadecimal digits.

    Modules are looked for beside the script and below `root`; what is found in neither is not of this project. Without
    a script it is the hash of the modules alone.
    """
    scripts = [script] if script else []
    folders = (*(file.parent for file in scripts), root)
    content = {}
    open_files = [*scripts, *(file for name in modules for file in _find(name, folders))]
    while open_files:
        file = open_files.pop()
        if file not in content:
            content[file], imported = _read(file, _package(file, root))
            open_files += [found for name in imported for found in _find(name, folders)]
    digest = hashlib.sha256()
    for file in sorted(content):
        digest.update(f"{file.relative_to(root)}\n{content[file]}\n".encode())
    return digest.hexdigest()[:16]


@cache
def _find(name: str, folders: tuple[Path, ...]) -> tuple[Path, ...]:
    """Return the files that importing `name` executes: its packages' and its own."""
    parts = name.split(".")
    for folder in folders:
        files = []
        for depth in range(1, len(parts) + 1):
            place = folder.joinpath(*parts[:depth])
            candidates = (place / "__init__.py", place.with_suffix(".py"))
            files += [candidate for candidate in candidates if candidate.is_file()]
        if files:
            return tuple(files)
    return ()


@cache
def _read(file: Path, package: str) -> tuple[str, tuple[str, ...]]:
    """Return a file's code without comments and docstrings, and the names of the modules that it may import."""
    tree = ast.parse(file.read_text(), filename=str(file))
    for node in ast.walk(tree):
        match node:
            case ast.Module() | ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                if ast.get_docstring(node, clean=False) is not None:
                    empty: list[ast.stmt] = [] if isinstance(node, ast.Module) else [ast.Pass()]
                    node.body = node.body[1:] or empty
    return ast.unparse(tree), tuple(_imports(tree, package))


def _imports(tree: ast.Module, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = (
                package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            )
            module = ".".join([*parents, *([node.module] if node.module else [])])
            yield module
            yield from (
                f"{module}.{alias.name}" for alias in node.names
            )  # a name may be a submodule


def _package(file: Path, root: Path) -> str:
    return ".".join(file.parent.relative_to(root).parts)
