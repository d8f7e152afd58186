"""What the report says: text that reads as it was written, and the four parts of a caption."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from docutils import nodes
from docutils.core import publish_doctree
from hypothesis import given, settings
from hypothesis import strategies as st

from dlas import registry
from dlas.analysis import captions, observation, style, table
from dlas.analysis.observation import Observation
from tests.unit.analysis import synthetic

ROOT = Path(__file__).parents[3]
LOOKS = synthetic.LOOKS
NAMES = registry.names("observation")
PARTS = ["How to read it", "Decision rule", "Data"]


def claim(module):
    return {"claim": module.PLUGIN.label, "origin": module.PLUGIN.origin}


def parsed(text):
    """Return a text's tree; whatever is wrong with it is an error."""
    return publish_doctree(text, settings_overrides={"halt_level": 1, "report_level": 1})


def plain(text):
    return " ".join(text.split())


@settings(deadline=None)
@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), max_size=60))
def test_an_escaped_text_reads_as_it_was_written(text):
    assert parsed(captions.escaped(text)).astext() == plain(text)


@pytest.mark.parametrize("name", NAMES)
def test_a_caption_has_the_claim_the_verdict_and_the_four_parts(name):
    module = observation.load(name)
    found = Observation(
        "contradicted", "it_is 2*3 [a, b], with `gemm`", "a share", 0.25, 0.125, 0.5, n=7
    )
    document = parsed(captions.caption(module, found, claim(module), LOOKS))
    paragraphs = [node.astext() for node in document.children if isinstance(node, nodes.paragraph)]
    assert paragraphs[0].lower().startswith(module.PLUGIN.label.lower())
    assert paragraphs[1] == "Contradicted: it_is 2*3 [a, b], with GEMM."
    assert paragraphs[2] == "Effect size [95 % interval]: 0.25 [0.12, 0.50], n = 7. A share."
    verdict = next(node for node in document.findall(nodes.strong) if node["classes"])
    assert verdict["classes"] == ["contradicted"]
    items = {
        item[0].astext(): item[1].astext() for item in document.findall(nodes.definition_list_item)
    }
    assert list(items) == PARTS
    written = (module.READING, module.RULE, module.DATA)
    assert list(items.values()) == [plain(text) for text in written]


@pytest.mark.parametrize("name", NAMES)
def test_an_observation_says_how_it_is_read_and_what_it_takes(name):
    module = observation.load(name)
    assert 2 <= len(re.findall(r"\.\s", module.READING)) <= 4  # sentences
    named = set(re.findall(r"results/(\w+)\.csv", module.DATA))
    assert named and named <= {"study", "noise_floor", "accuracy_curves"}


def test_missing_data_has_no_effect_size():
    module = observation.load(NAMES[0])
    text = captions.caption(
        module, observation.needs("a second platform", module.STATISTIC), claim(module), LOOKS
    )
    message = parsed(text).astext()
    assert "Inconclusive: needs a second platform." in message
    assert "Effect size [95 % interval]: none, n = 0." in message


@pytest.mark.parametrize(
    ("size", "text"),
    [
        ((1.747, 0.961, 3.176), "1.75 [0.96, 3.18]"),
        ((0.5, np.nan, np.nan), "0.50"),
        ((np.nan, np.nan, np.nan), "none"),
        ((np.nan, 0.0, 0.8), "none"),
    ],
)
def test_an_effect_size_in_words(size, text):
    assert captions.effect(*size) == text


def verdicts():
    """Observations.csv with every verdict, and one for which data is missing."""
    found = [
        Observation("supported", "so it is", "a ratio", 2.0, 1.5, 2.5, n=8),
        Observation("contradicted", "it is not", "a share", 0.25, 0.1, 0.5, n=3),
        observation.needs("a second platform", "a ratio"),
    ]
    rows = [
        table.observation_row(
            table.observation_record(f"{number:02d}", observation.load(name), one),
            claim(observation.load(name)),
        )
        for number, (name, one) in enumerate(zip(NAMES[:3], found, strict=True), 1)
    ]
    return table.observations_table(rows)


def test_the_table_has_a_row_for_each_verdict_and_links_its_figure():
    targets = "\n".join(f".. _observation 0{number}: javascript:{number}" for number in (1, 2, 3))
    document = parsed(f"{captions.table(verdicts(), LOOKS)}\n{targets}")
    assert document[0].astext() == (
        "Verdicts on 3 observations: 1 supported, 1 contradicted, 1 inconclusive."
    )
    (body,) = document.findall(nodes.tbody)
    cells = [[cell.astext() for cell in row] for row in body]
    assert [row[0] for row in cells] == ["01", "02", "03"]
    assert [row[3] for row in cells] == ["supported", "contradicted", "inconclusive"]
    assert [row[4] for row in cells] == [
        "2.00 [1.50, 2.50]\n\na ratio",
        "0.25 [0.10, 0.50]\n\na share",
        "needs a second platform",
    ]
    assert [row[5] for row in cells] == ["8", "3", "0"]
    links = [link["refuri"] for link in body.findall(nodes.reference)]
    assert links == ["javascript:1", "javascript:2", "javascript:3"]


def test_the_table_is_the_same_from_the_file(tmp_path):
    table.write_table(tmp_path / "observations.csv", verdicts())
    back = table.read_table(tmp_path / "observations.csv")
    pd.testing.assert_series_equal(back["n"], verdicts()["n"])
    assert captions.table(back, LOOKS) == captions.table(verdicts(), LOOKS)


def test_verdicts_have_the_colours_of_the_figures():
    sheet = (ROOT / "report/report.css").read_text()
    colours = dict(re.findall(r"^#app \.(\w+) \{ color: (#\w+); \}$", sheet, re.MULTILINE))
    assert colours == style.VERDICT_COLOURS
    assert set(captions.VERDICTS) == set(colours)
