"""Hash a script, or modules, together with everything they import from this project.

The hash covers the syntax trees of whole files, without comments, docstrings and positions. So
neither documentation nor layout nor a time stamp changes it. Imports count wherever in a file they
stand, also inside functions. A module that is imported by name at run time must be given
explicitly. A file beside a module, with its name and one of the suffixes in `BESIDE`, is part of
it.

What a plugin says of itself is no code: the assignment `PLUGIN` and the modules that read it do not
count. A job gets what it needs of a description as a parameter of its rule. Neither do imports for
type checkers count.
"""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

DESCRIPTIONS = ("dlas.plugins", "dlas.registry")
# Tables and parts of pages that a module reads.
BESIDE = (".csv", ".html", ".js")


@cache
def code_hash(root: Path, script: Path | None, modules: tuple[str, ...] = ()) -> str:
    """Return the hash of a script, of modules, and of all that they import.

    Parameters
    ----------
    root : Path
        The project's folder. A module that is neither below it nor beside the script is not of this
        project.
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
    """Return the files that importing a module executes: those of its packages and its own."""
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
    """Return a digest of a file's path and syntax tree, and the names of the modules that it imports."""
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
    """Return whether a statement describes a plugin, imports the words for it, or is for type checkers."""
    match node:
        case (
            ast.Assign(targets=[ast.Name(id="PLUGIN")]) | ast.If(test=ast.Name(id="TYPE_CHECKING"))
        ):
            return True
        case ast.ImportFrom(module=module):
            return module in DESCRIPTIONS
    return False


def _imports(tree: ast.AST, package: tuple[str, ...]) -> Iterator[str]:
    """Yield the full name of whatever is imported; an imported name may be a module of its package."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*parents, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)
