"""A content hash of a script, or of modules, and of everything they import from this project.

Only what a program does counts: the hash is taken over the syntax trees without comments, docstrings and positions,
so that reformatting or documenting changes nothing, and neither do file times. Imports are followed wherever they
stand, also inside functions; what is imported by name at run time has to be given as an extra module.

Of a module single names can be asked for, `module:name,name`. Then those of its statements count that define them or
define nothing, and what these use, here and in other modules; the rest of the module does not.
"""

import ast
import atexit
import hashlib
import symtable
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dlas.errors import StudyError
from dlas.files import read_json, write_json

ALL = "*"  # names of a module

Part = tuple[Path, str]  # a file, and one of its names or ALL
Use = tuple[
    str, str
]  # the full name of a module or of something in one, and which name of it, or ALL


def remembering(root: Path, file: Path) -> Callable[[Path | None, tuple[str, ...]], str]:
    """Return `code_hash` of a project, which keeps what it finds in a file for the next process.

    That holds as long as no file of the project's code has changed by a byte, nor Python's version.
    """
    digest = hashlib.sha256(sys.version.encode())
    for source in sorted([*root.glob("dlas/**/*.py"), *root.glob("workflow/**/*.py")]):
        digest.update(f"{source.relative_to(root)}\n".encode() + source.read_bytes())
    of = digest.hexdigest()
    hashes: dict[str, str] = {}
    with suppress(OSError, ValueError, KeyError):
        kept = read_json(file)
        hashes = kept["hashes"] if kept["of"] == of else {}
    before = len(hashes)

    def remembered(script: Path | None, modules: tuple[str, ...]) -> str:
        key = " ".join([str(script and script.relative_to(root)), *modules])
        if key not in hashes:
            hashes[key] = code_hash(root, script, modules)
        return hashes[key]

    def keep() -> None:
        if len(hashes) > before:
            with suppress(StudyError):  # what cannot be kept is found again
                write_json(file, {"of": of, "hashes": hashes})

    atexit.register(keep)
    return remembered


@cache
def code_hash(root: Path, script: Path | None, modules: tuple[str, ...] = ()) -> str:
    """Return the hash of `script`, of the named `modules` and of all that they import, as 16 hexadecimal digits.

    Modules are looked for beside the script and below `root`; what is found in neither is not of this project. Without
    a script it is the hash of the modules alone. A module with a colon and names counts as far as these need it; a name
    that it does not define stands for all of it.
    """
    folders = (*([script.parent] if script else []), root)
    parts: list[Part] = [(script, ALL)] if script else []
    for module in modules:
        path, _, names = module.partition(":")
        parts += [
            found for name in (names or ALL).split(",") for found in _find(path, name, folders)
        ]
    content: dict[Path, dict[int, str]] = {}
    seen: set[Part] = set()
    while parts:
        part = parts.pop()
        if part in seen:
            continue
        seen.add(part)
        file, name = part
        source = _read(file, ".".join(file.parent.relative_to(root).parts))
        statements, own, uses = source.part(name)
        content.setdefault(file, {}).update({at: source.code[at] for at in statements})
        parts += [(file, used) for used in own]
        parts += [found for use in uses for found in _find(*use, folders)]
    digest = hashlib.sha256()
    for file, code in sorted(content.items()):
        text = "\n".join(code[at] for at in sorted(code))
        digest.update(f"{file.relative_to(root)}\n{text}\n".encode())
    return digest.hexdigest()[:16]


@cache
def _find(name: str, wanted: str, folders: tuple[Path, ...]) -> tuple[Part, ...]:
    """Return what using `wanted` of `name` executes: the packages on the way as a whole, and what is used itself."""
    parts = name.split(".")
    for folder in folders:
        files = [_file(folder.joinpath(*parts[:depth])) for depth in range(1, len(parts) + 1)]
        found = [(file, depth) for depth, file in enumerate(files) if file]
        if found:
            *packages, (own, depth) = found
            name = wanted if depth + 1 == len(parts) else parts[depth + 1]
            inner = _file(folder.joinpath(*parts, wanted)) if wanted != ALL else None
            modules = [file for file, _ in packages] + ([inner] if inner else [])
            return ((own, name), *((file, ALL) for file in modules))
    return ()


def _file(place: Path) -> Path | None:
    candidates = (place / "__init__.py", place.with_suffix(".py"))
    return next((file for file in candidates if file.is_file()), None)


@dataclass(frozen=True, eq=False)
class _Source:
    """A module without comments and docstrings: its statements, by position.

    `binds` are the names that each defines, `aliases` those that stand for imports. `imports` is what all import
    statements bring, wherever in the module they stand.
    """

    statements: tuple[ast.stmt, ...]
    code: tuple[str, ...]
    binds: tuple[frozenset[str], ...]
    aliases: dict[str, str]
    imports: frozenset[Use]
    package: str

    def part(self, name: str) -> tuple[list[int], set[str], set[Use]]:
        """Return the statements that a name stands for, the module's other names that they use, and what of others."""
        every = list(range(len(self.code)))
        if name in self.aliases:
            return [], set(), {(self.aliases[name], ALL)}
        if not any(name in bound for bound in self.binds):
            return every, set(), set(self.imports)
        chosen = [at for at in every if name in self.binds[at] or not self.binds[at]]
        needed = [self.needs(at) for at in chosen]
        return (
            chosen,
            set().union(*(own for own, _ in needed)),
            set().union(*(use for _, use in needed)),
        )

    @cache  # noqa: B019 (the modules of a project are few)
    def needs(self, at: int) -> tuple[set[str], set[Use]]:
        """Return what a statement uses: names of the module itself, and what of other modules."""
        statement, names = self.statements[at], _names(self.code[at])
        aliases = {alias: name for alias, name in self.aliases.items() if alias in names}
        if isinstance(statement, ast.Import | ast.ImportFrom):
            return set(), set()
        own = set().union(*self.binds).intersection(names).difference(aliases)
        return own, {*_imports(statement, self.package), *_uses(statement, aliases)}


@cache
def _read(file: Path, package: str) -> _Source:
    tree = ast.parse(file.read_text(), filename=str(file))
    for node in ast.walk(tree):
        match node:
            case ast.Module() | ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                if ast.get_docstring(node, clean=False) is not None:
                    empty: list[ast.stmt] = [] if isinstance(node, ast.Module) else [ast.Pass()]
                    node.body = node.body[1:] or empty
    return _Source(
        tuple(tree.body),
        tuple(map(ast.unparse, tree.body)),
        tuple(frozenset(_bound(one)) for one in tree.body),
        {alias: name for one in tree.body for alias, name in _aliases(one, package)},
        frozenset(_imports(tree, package)),
        package,
    )


def _imports(tree: ast.AST, package: str) -> Iterator[Use]:
    """Yield what the import statements in a tree bring: a name may be a module of its package."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield _module(node, package), ALL
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((name, ALL) for _, name in _aliases(node, package))


def _aliases(node: ast.stmt, package: str) -> Iterator[tuple[str, str]]:
    """Yield each name that an import statement binds, and the full name of what it stands for."""
    if isinstance(node, ast.Import):
        yield from ((alias.asname or alias.name.split(".")[0], alias.name) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        module = _module(node, package)
        yield from ((alias.asname or alias.name, f"{module}.{alias.name}") for alias in node.names)


def _module(node: ast.ImportFrom, package: str) -> str:
    parts = package.split(".")
    parents = parts[: len(parts) - node.level + 1] if node.level else []
    return ".".join([*parents, *([node.module] if node.module else [])])


def _bound(statement: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement of a module defines; an import defines its aliases."""
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield statement.name
        case ast.Import() | ast.ImportFrom():
            yield from (alias for alias, _ in _aliases(statement, ""))
        case _:
            for node in ast.walk(statement):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    yield node.id


def _names(code: str) -> set[str]:
    """Return the names of its module that a statement refers to, local variables of the same name left out."""
    tables = [symtable.symtable(code, "", "exec")]
    names = set()
    for table in tables:
        tables += table.get_children()
        top = table.get_type() == "module"
        names |= {one.get_name() for one in table.get_symbols() if top or one.is_global()}
    return names


def _uses(statement: ast.stmt, aliases: dict[str, str]) -> Iterator[Use]:
    """Yield what a statement needs of the imports that it uses: the attributes that it reads, or all that there is."""
    whole = {id(node): node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
    for node in ast.walk(statement):
        if isinstance(node, ast.Attribute) and whole.get(id(node.value)) in aliases:
            yield aliases[whole.pop(id(node.value))], node.attr
    yield from ((aliases[name], ALL) for name in whole.values() if name in aliases)
