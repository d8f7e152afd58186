"""Hash a script, or modules, together with everything that they import from this project.

The hash covers the syntax trees of whole files, without comments, docstrings and positions, so
neither documentation nor layout nor time stamps change it. Imports count anywhere in a file,
also inside functions. A module that is imported by name at run time must be given explicitly. A
data file beside a module, with its name and a suffix in `BESIDE`, is part of the module.

A plugin's description is not code: the assignment `PLUGIN` and the modules that read it do not
count. Jobs receive the parts of a description that they need as parameters of their rules.
Imports for type checkers do not count either.
"""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

DESCRIPTIONS = ("dlas.plugins", "dlas.registry")
# Data tables and page parts that a module reads.
BESIDE = (".csv", ".html", ".js")


@cache
def code_hash(root: Path, script: Path | None, modules: tuple[str, ...] = ()) -> str:
    """Return the hash of a script, of modules, and of everything that they import.

    Parameters
    ----------
    root : Path
        The project's folder. Modules outside it and not beside the script are ignored.
    script : Path or None
        The script; None hashes the modules alone.
    modules : tuple of str
        Full names of further modules, for example "dlas.models.resnet18".

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    folders = (*([script.parent] if script else []), root)
    ahead = [script] if script else []
    ahead += [file for module in modules for file in _files(module, folders)]
    digests: dict[Path, str] = {}
    while ahead:
        if (file := ahead.pop()) not in digests:
            digests[file], imports = _read(file, root)
            ahead += [found for module in imports for found in _files(module, folders)]
    return hashlib.sha256("".join(sorted(digests.values())).encode()).hexdigest()[:16]


@cache
def _files(module: str, folders: tuple[Path, ...]) -> tuple[Path, ...]:
    """Return the files that importing a module executes: its own and those of its packages."""
    if module.startswith(DESCRIPTIONS):
        return ()
    parts = module.split(".")
    for folder in folders:
        places = [folder.joinpath(*parts[:depth]) for depth in range(1, len(parts) + 1)]
        candidates = [(place / "__init__.py", place.with_suffix(".py")) for place in places]
        if found := [file for pair in candidates for file in pair if file.is_file()]:
            return tuple(found)
    return ()


@cache
def _read(file: Path, root: Path) -> tuple[str, frozenset[str]]:
    """Return a digest of a file's path and syntax tree, and the names that it imports."""
    path = file.relative_to(root)
    tree = ast.parse(file.read_text(), filename=str(file))
    tree.body = [node for node in tree.body if not _ignored(node)]
    imports = frozenset(_imports(tree, path.parent.parts))
    for node in ast.walk(tree):
        match node:
            case ast.Module() | ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                if ast.get_docstring(node, clean=False) is not None:
                    node.body = node.body[1:]
    beside = [one for one in map(file.with_suffix, BESIDE) if one.is_file()]
    content = f"{path}\n{ast.dump(tree)}" + "".join(one.read_text() for one in beside)
    return hashlib.sha256(content.encode()).hexdigest(), imports


def _ignored(node: ast.stmt) -> bool:
    """Return whether a statement describes a plugin or is for type checkers."""
    match node:
        case (
            ast.Assign(targets=[ast.Name(id="PLUGIN")]) | ast.If(test=ast.Name(id="TYPE_CHECKING"))
        ):
            return True
        case ast.ImportFrom(module=module):
            return module in DESCRIPTIONS
    return False


def _imports(tree: ast.AST, package: tuple[str, ...]) -> Iterator[str]:
    """Yield the full names of all imports; an imported name may be a module of its package."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*parents, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)
