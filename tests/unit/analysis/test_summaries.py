"""The tables that a paper shows: what is in them on studies with a known answer, and how they are
written.
"""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from dlas import study as grid
from dlas.analysis import pages, summaries
from dlas.analysis.effects import Rounds
from dlas.analysis.pages import BEST, QUIET, TIED
from tests.unit.analysis import synthetic

LOOKS = synthetic.LOOKS
FLOOR = synthetic.noise_floor()
TUNINGS = ("untuned", "autotuned")
COST = {"direct": 1.0, "gemm": 2.0, "spatial_pack": 1.002}
UNREACHED = ("photos", "efficientnet_b0", "weight_pruning")


def known(platform, dataset, model, compression, primitive, tuning):
    """Integers are twice as fast, auto-tuned code 1.5 times; direct and spatial pack are about
    equally fast.
    """
    gain = 2 if compression == "int8" else 1
    return COST[primitive] / gain / (1.5 if tuning == "autotuned" else 1)


STUDY = synthetic.study(
    known,
    compressions=synthetic.COMPRESSIONS,
    formats=("dense", "csr"),
    tunings=TUNINGS,
    unreached=[UNREACHED],
    widened=[("float16", "local_cpu_avx2")],
)
GONE = (STUDY["platform"] == "local_cpu_avx2") & (STUDY["dataset"] == "photos")
MEASUREMENTS = ["latency_ms", "latency_ms_low", "latency_ms_high", "top1_compiled"]
PARTLY = STUDY.assign(
    status=STUDY["status"].mask(GONE, "no such CPU"),
    **{name: STUDY[name].mask(GONE) for name in MEASUREMENTS},
)
TABLES = {
    "whole": STUDY,
    "partly measured": PARTLY,
    "shuffled": STUDY.sample(frac=1, random_state=0),
}


def rows(name, study=STUDY):
    return summaries.SUMMARIES[name].rows(synthetic.tables(study, FLOOR), LOOKS)


def page(name, study=STUDY):
    return summaries.SUMMARIES[name].page(rows(name, study), LOOKS)


def test_a_network_that_could_not_be_made_has_its_reason():
    reason, gone = "failed: training diverged", STUDY["compression"] == "int8"
    study = STUDY.assign(
        status=STUDY["status"].mask(gone, reason),
        **{
            name: STUDY[name].mask(gone)
            for name in (*MEASUREMENTS, "top1", "params", "nonzero_params", "macs", "model_bytes")
        },
    )
    found = rows("accuracy_and_compression", study)
    assert set(found[found.compression == "int8"].status) == {reason}
    assert reason not in set(found[found.compression != "int8"].status)
    for name in summaries.SUMMARIES:
        text = pages.html(page(name, study))
        assert reason in text or name in ("best_configurations", "published")
        assert ">nan<" not in text


class Cells(HTMLParser):
    """Collects the tags with their attributes, and the text of the cells of a page's body."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.cells, self._cell = [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "td":
            self._cell = [dict(attributes)["class"].split(), ""]

    def handle_data(self, data):
        if self._cell:
            self._cell[1] += data.strip()

    def handle_endtag(self, tag):
        if tag == "td":
            self.cells.append(tuple(self._cell))
            self._cell = None


def test_the_workflow_asks_for_every_table():
    assert set(grid.SUMMARY_TABLES) == set(summaries.SUMMARIES)


def test_accuracy_and_compression_are_those_of_each_network():
    table = rows("accuracy_and_compression")
    assert list(table.columns) == summaries.ACCURACY_COLUMNS
    assert len(table) == 8 * 5
    assert list(table["compression"][:5]) == list(synthetic.COMPRESSIONS)
    expected = {name: 1 / share for name, share in synthetic.BYTES.items()}
    none = (table[summaries.NETWORK] == list(UNREACHED)).all(axis=1)
    for row in table[~none].itertuples():
        assert row.factor == pytest.approx(expected[row.compression], rel=1e-4)
        assert row.top1_change == 0 and row.status == "ok"
    (unreached,) = table[none].itertuples()
    assert unreached.factor == 1 and unreached.status == "no level within the tolerance"


def test_a_change_of_top1_is_against_the_uncompressed_network():
    lower = STUDY.assign(top1=STUDY["top1"] - 2.5 * (STUDY["compression"] == "int8"))
    table = rows("accuracy_and_compression", lower)
    assert np.allclose(table["top1_change"], np.where(table["compression"] == "int8", -2.5, 0))


def test_each_latency_is_in_its_column():
    table = rows("latency")
    assert len(table) == len(STUDY) / 6 == 2 * 8 * 6
    keys = ["platform", "dataset", "model", "compression", "format"]
    found = STUDY.set_index([*keys, "primitive", "tuning"])
    for row in table.to_dict("records"):
        for primitive in synthetic.PRIMITIVES:
            for tuning in TUNINGS:
                one = found.loc[(*(row[key] for key in keys), primitive, tuning)]
                for name in ("latency_ms", "latency_ms_low", "latency_ms_high", "status"):
                    assert row[f"{primitive}_{tuning}_{name}"] == one[name]


def test_tied_is_all_that_is_not_clearly_slower_than_the_fastest():
    """Direct and spatial pack differ by less than the noise floor, auto-tuned code from untuned by
    much more.
    """
    equal = rows("latency")[["fastest", "tied"]]
    assert (equal["fastest"] != equal["tied"]).all()
    assert set(equal.to_numpy().ravel()) == {"direct_autotuned", "spatial_pack_autotuned"}
    quiet = synthetic.study(known, compressions=("none",), noise=1e-6)
    table = summaries.latencies(synthetic.tables(quiet, synthetic.noise_floor(1.0)), LOOKS)
    assert set(table["fastest"]) == {"direct_untuned"} and set(table["tied"]) == {""}


def test_a_configuration_that_is_not_asked_for_is_empty_and_one_that_failed_tells_why():
    some = PARTLY[(PARTLY["tuning"] == "untuned") | (PARTLY["model"] == "vgg16")]
    table = rows("latency", some)
    untuned_only = table["model"] != "vgg16"
    assert table.loc[untuned_only, "gemm_autotuned_status"].isna().all()
    assert table.loc[~untuned_only, "gemm_autotuned_latency_ms"].notna().all()
    gone = (table["platform"] == "local_cpu_avx2") & (table["dataset"] == "photos")
    assert set(table.loc[gone, "gemm_untuned_status"]) == {"no such CPU"}
    assert table.loc[gone, "fastest"].isna().all() and set(table.loc[gone, "tied"]) == {""}
    shown = Cells(pages.html(page("latency", some))).cells
    assert len(shown) == table.shape[0] * 6
    texts = [text for _, text in shown]
    assert texts.count("no such CPU") == gone.sum() * 3
    assert texts.count("") == untuned_only.sum() * 3
    assert all(QUIET in look for look, text in shown if text == "no such CPU")


def test_the_best_configuration_and_its_speedup_are_the_ones_that_were_put_in():
    table = rows("best_configurations")
    assert list(table.columns) == summaries.BEST_COLUMNS
    assert len(table) == 2 * 8 * 2
    best = table[table["choice"] == "fastest"]
    assert set(best["tuning"]) == {"autotuned"} and not (best["primitive"] == "gemm").any()
    # CSR and int8 both take half of it: 2 x 1.5, and what noise adds to the lowest of many
    assert np.allclose(best["speedup"], 3, rtol=0.03)
    assert (best["speedup_low"] < best["speedup"]).all()
    assert (best["speedup"] < best["speedup_high"]).all()
    assert (best["speedup_high"] / best["speedup_low"]).max() < 1.05


def test_the_fastest_of_equal_accuracy_leaves_out_what_costs_accuracy():
    inaccurate = STUDY["compression"].isin(["int8", "weight_pruning"])
    table = rows(
        "best_configurations",
        STUDY.assign(top1_compiled=STUDY["top1_compiled"] - 12.0 * inaccurate),
    )
    chosen = table.set_index("choice")["compression"]
    assert set(chosen["fastest"]) <= {"int8", "weight_pruning"}
    assert not set(chosen["fastest_accurate"]) & {"int8", "weight_pruning"}
    assert np.allclose(table.set_index("choice").loc["fastest_accurate", "speedup"], 1.5, rtol=0.03)


def test_the_default_is_one_time_as_fast_as_itself():
    only = synthetic.study(known, primitives=("gemm",))
    table = summaries.best_configurations(synthetic.tables(only, FLOOR), LOOKS)
    assert (table[summaries.OVER_DEFAULT] == 1).all(axis=None)


def test_a_network_that_was_not_measured_says_why():
    table = rows("best_configurations", PARTLY)
    gone = table["latency_ms"].isna()
    assert gone.sum() == 4 * 2
    assert (
        set(table.loc[gone, "status"]) == {"no such CPU"}
        and table.loc[gone, "speedup"].isna().all()
    )


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("name", summaries.SUMMARIES)
def test_a_page_shows_every_row_and_needs_nothing_from_outside(name, table):
    shown = page(name, TABLES[table])
    text = pages.html(shown)
    read = Cells(text)
    assert len(read.cells) == shown.table.size
    assert len(shown.table) == len(rows(name, TABLES[table]))
    for tag, attributes in read.tags:
        assert tag not in ("script", "link", "img") and not {"src", "href"} & set(attributes)
    assert "url(" not in text and "@import" not in text and ">nan<" not in text
    assert text == pages.html(page(name, TABLES[table]))


def test_the_order_of_the_rows_of_the_study_does_not_matter():
    ordered = synthetic.tables(STUDY, FLOOR)
    order = np.random.default_rng(0).permutation(len(STUDY))
    rounds = Rounds(ordered.rounds.log[order], ordered.rounds.job[order])
    shuffled = replace(ordered, study=STUDY.iloc[order].reset_index(drop=True), rounds=rounds)
    for summary in summaries.SUMMARIES.values():
        pd.testing.assert_frame_equal(summary.rows(ordered, LOOKS), summary.rows(shuffled, LOOKS))


def test_the_fastest_are_bold_those_that_are_tied_tinted_and_widened_ones_grey():
    table = rows("latency")
    cells = Cells(pages.html(page("latency"))).cells
    assert sum(BEST in look for look, _ in cells) == len(table)
    assert sum(TIED in look for look, _ in cells) == 2 * len(table)
    widened = (STUDY["status"] == "widened").sum()
    assert sum(QUIET in look for look, _ in cells) == widened > 0


def test_text_is_escaped_and_stands_at_the_left():
    table = pd.DataFrame(
        {"name <b>": ["a < b", "c"], "ms": [1234.5, np.nan], "interval": ["1 [0, 2]", ""]},
        index=pd.Index(["x & y", "z"], name="place"),
    )
    text = pages.html(pages.Page("T < U", "note", table, {"ms": "{:,.1f}"}))
    for written in ("T &lt; U", "a &lt; b", "name &lt;b&gt;", "x &amp; y", "1,234.5"):
        assert written in text
    left = re.findall(r"(t[hd]\.col\d) \{\s+text-align: left", text)
    assert left == ["th.col0", "td.col0"]


@pytest.mark.parametrize(
    ("numbers", "written"),
    [
        ((0.4811, 0.4722, 0.49), "0.481 [0.472, 0.490]"),
        ((12.34, 12.0, 13.0), "12.3 [12.0, 13.0]"),
        ((1234.5, 1200, 1300), "1,234 [1,200, 1,300]"),
        ((2.0, np.nan, np.nan), "2.00"),
        ((np.nan,) * 3, ""),
        ((0.0, 0.0, 1.0), "0 [0, 1]"),
    ],
)
def test_estimates_are_written_in_three_digits(numbers, written):
    assert pages.estimate(*numbers) == written
