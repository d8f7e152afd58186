"""Lint the prose of Markdown pages: proselint's rules, long sentences and words to avoid.

`python -m documentation.prose FILE_OR_FOLDER ...` (a part of `make lint`) prints one line for each
finding. Code, and names in backticks, are no prose.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token
from proselint.checks import __register__
from proselint.config import DEFAULT
from proselint.registry import CheckRegistry
from proselint.tools import LintFile

MARKDOWN = MarkdownIt("commonmark").enable("table")
WORDS_A_SENTENCE = 25
# In sentences that the project once had; what to write instead is in the message.
AVOID = {
    r"told|is told": "say what is reported",
    r"those that|those which": "name the noun",
    r"what becomes of|so many as|as far as that": "say it directly",
    r"parted|spared|twins?|written out": "use partitioned, excluded, A/A replicate or unrolled",
    r"halves|type of numbers": "use float16 or dtype",
}
CONFIG = {
    "max_errors": 1000,
    "checks": {
        # Their findings were false: "multiply-accumulate", "resume file", a claim of the paper.
        "misc.phrasal_adjectives.ly": False,
        "weasel_words.very": False,
        # Pages are ASCII where a keyboard is.
        "typography": False,
    }
    | {name: value for name, value in DEFAULT["checks"].items() if name != "typography"},
}
SEPARATOR = "\n\n=\n\n"


def findings(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the message of every finding in a page."""
    blocks = list(_blocks(text))
    for line, prose, is_cell in blocks:
        for words, advice in AVOID.items():
            for found in re.finditer(rf"\b({words})\b", prose, re.IGNORECASE):
                yield line, f"{found[0]!r}: {advice}"
        if not is_cell:
            yield from ((line, message) for message in _long_sentences(prose))
    if not blocks:
        return
    page = LintFile("page", SEPARATOR.join(prose for _, prose, _ in blocks))
    starts = [line for line, *_ in blocks]
    for result in page.lint(CONFIG):
        before = page.content[: result.check_result.span[0]]
        yield starts[before.count(SEPARATOR)], result.check_result.message


def _blocks(text: str) -> Iterator[tuple[int, str, bool]]:
    """Yield the line and the text of every paragraph and cell, and whether it is a cell."""
    line, is_cell = 1, False
    for token in MARKDOWN.parse(text):
        line = token.map[0] + 1 if token.map else line
        if token.type.endswith("_open"):
            is_cell = token.type in ("td_open", "th_open")
        if token.type == "inline":
            yield line, "".join(_prose(child) for child in token.children or ()), is_cell


def _prose(token: Token) -> str:
    """Return the text of a part of a paragraph; a piece of code counts as one word."""
    if token.type in ("softbreak", "hardbreak"):
        return " "
    # No word of any rule.
    code = "Q" + re.sub(r"\W", "", token.content)
    return {"text": token.content, "code_inline": code}.get(token.type, "")


def _long_sentences(prose: str) -> Iterator[str]:
    for sentence in re.split(r"(?<=[.!?:;])\s+", prose):
        if (words := len(sentence.split())) > WORDS_A_SENTENCE:
            yield f"a sentence of {words} words, at most {WORDS_A_SENTENCE}: {sentence[:40]}..."


def main(*places: str) -> None:
    """Print the findings in files, and in the pages of folders; exit with 1 if there are any."""
    CheckRegistry().register_many(__register__)
    found = False
    for place in map(Path, places):
        for file in sorted(place.rglob("*.md")) if place.is_dir() else [place]:
            for line, message in sorted(findings(file.read_text())):
                found = True
                print(f"{file}:{line}: {message}")
    sys.exit(found)


if __name__ == "__main__":
    main(*sys.argv[1:])
