"""What the project's Markdown pages contain: links, anchors, code and shell commands."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token
from pymdownx.slugs import slugify

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    file
    for place in ("*.md", "docs/**/*.md", "config/*.md", ".github/**/*.md")
    for file in ROOT.glob(place)
)
MARKDOWN = MarkdownIt("commonmark").enable("table")
NEEDS = re.compile(r"<!-- needs: \S.* -->")
# A block of these is for a shell, whether it says so or not.
PROGRAMS = "make snakemake python pip git ssh scp rsync curl jq sbatch docker export cd .".split()


@dataclass(frozen=True)
class Command:
    """A command of a page: its words, without comments, and its place."""

    page: str
    line: int
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {shlex.join(self.words)}"


def tokens(page: Path) -> Iterator[Token]:
    """Yield the tokens of a page, those of its lines of text in the place of these."""
    for token in MARKDOWN.parse(page.read_text()):
        yield token
        for child in token.children or ():
            child.map = token.map
            yield child


def links(page: Path) -> Iterator[str]:
    """Yield the targets of a page's links and images."""
    for token in tokens(page):
        if target := token.attrs.get("href") or token.attrs.get("src"):
            yield str(target)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as forges and the site make them."""
    parsed = MARKDOWN.parse(page.read_text())
    headings = (after for token, after in pairwise(parsed) if token.type == "heading_open")
    texts = ("".join(child.content for child in one.children or ()) for one in headings)
    return {slugify(case="lower")(text, "-") for text in texts}


def names(page: Path) -> Iterator[str]:
    """Yield what a page has in backticks."""
    for token in tokens(page):
        if token.type == "code_inline":
            yield token.content


def commands(page: Path) -> Iterator[Command]:
    """Yield the shell commands of a page that say nothing of what they need.

    An HTML comment above a block, `<!-- needs: a cluster -->`, says why no test can run it.
    """
    before = ""
    for token in MARKDOWN.parse(page.read_text()):
        if _is_shell(token) and not NEEDS.search(before):
            text = token.content.replace("\\\n", " ")
            for at, line in enumerate(text.splitlines(), token.map[0] + 2):
                words = shlex.split(line, comments=True)
                for chained, part in groupby(words, lambda word: word in ("&&", ";", "|")):
                    if not chained:
                        yield Command(page.relative_to(ROOT).as_posix(), at, tuple(part))
        before = token.content if token.type == "html_block" else ""


def _is_shell(token: Token) -> bool:
    if token.type == "fence" and token.info:
        return token.info in ("sh", "bash", "shell", "console")
    if token.type not in ("fence", "code_block"):
        return False
    first = token.content.split(maxsplit=1)[0] if token.content.strip() else ""
    return first.removeprefix(".venv/bin/") in PROGRAMS
