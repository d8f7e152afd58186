"""The linter of prose finds what it should, and nothing in code."""

import pytest
from proselint.checks import __register__
from proselint.registry import CheckRegistry

from documentation.prose import findings

LONG = " ".join(f"word{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")


@pytest.fixture(autouse=True, scope="module")
def rules():
    CheckRegistry().register_many(__register__)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("A\n\nThe job is told so.", 3, "'is told'"),
        ("- a\n- those that ran", 2, "'those that'"),
        (f"# A\n\n{LONG}.", 3, "a sentence of 26 words"),
        ("A\n\nIt runs on on a board.", 3, "on on"),
        ("| a |\n|---|\n| b b |", 3, "b b"),
    ],
)
def test_a_finding_has_its_line(text, line, message):
    ((found, why),) = findings(text)
    assert found == line
    assert message in why


@pytest.mark.parametrize(
    "text",
    [
        "```\nthe the job is told\n```",
        "Set `told` to `those that`.",
        f"{LONG[:-6]}. {LONG[:-6]}.",
        f"| a |\n|---|\n| {LONG} |",
        "The board\n\nThe board is small.",
    ],
)
def test_code_cells_and_other_paragraphs_are_no_findings(text):
    assert not [*findings(text)]
