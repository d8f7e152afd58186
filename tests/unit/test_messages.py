"""The messages that the docs explain are messages of the code."""

import ast
import re
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = [
    *ROOT.glob("dlas/**/*.py"),
    *ROOT.glob("envs/*.py"),
    *ROOT.glob("benchmarks/**/*.py"),
    *ROOT.glob("rules/*.smk"),
    ROOT / "Snakefile",
    ROOT / "Makefile",
]
# Messages of Snakemake, pip, the system and the shell.
FOREIGN = re.compile(
    "bad interpreter|No such file|FileNotFoundError|File name too long|Read-only file system|"
    "No space left|Write-protected|Failed to setup log|PermissionError|LockException|"
    "Could not find a version"
)


def word_pairs(text: str) -> set[tuple[str, str]]:
    """Return the neighbouring words of a text without a value or a mark between them."""
    words = re.findall(r"[A-Za-z'-]+(?![\w./])|\S+", text)
    return {
        (first, then)
        for first, then in pairwise(words)
        if re.fullmatch("[A-Za-z'-]+", first) and re.fullmatch("(?!(nan|inf)$)[A-Za-z'-]+", then)
    }


def texts(file: Path) -> list[str]:
    """Return the texts in a file of code, `{}` for what is filled in."""
    if file.suffix != ".py":
        # Texts that lie side by side are one.
        return re.findall(r'"([^"\n]*)"', re.sub(r'"\s*f?"', "", file.read_text())) + re.findall(
            r"\$\(error ([^)]*)\)", file.read_text()
        )
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
            found.append("".join(map(str, parts)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
    return found


def messages() -> list[tuple[str, str]]:
    """Return the messages in the first column of each table that begins with `message`."""
    found = []
    for page in sorted(ROOT.glob("docs/**/*.md")):
        inside = False
        for line in page.read_text().splitlines():
            first, *_ = line.strip("|").split("|")
            inside = line.startswith("|") and (inside or first.strip() == "message")
            named = re.findall("`([^`]+)`", first) if inside else []
            found += [(page.name, text) for text in named if word_pairs(text)]
    return [(page, text) for page, text in found if not FOREIGN.search(text)]


@pytest.fixture(scope="module")
def known():
    return set().union(*(word_pairs(text) for file in CODE for text in texts(file)))


@pytest.mark.parametrize(("page", "message"), messages())
def test_a_message_that_the_docs_explain_is_one_of_the_code(known, page, message):
    assert word_pairs(message) <= known
