"""Structure of the figures: panels, labels, marks against the data, nothing clipped."""

import re
from itertools import product

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from dlas import registry
from dlas.analysis import curves, overview, panels, style
from dlas.analysis.columns import MODEL
from dlas.analysis.contrasts import CONTRASTS, WITH_TEMPLATE
from dlas.analysis.style import Looks
from dlas.study import descriptions, load
from tests.unit.analysis import synthetic
from tests.unit.analysis.drawings import (
    AUTOTUNED,
    CURVES,
    LADDERS,
    LARGE,
    LOOKS,
    PAIRS,
    PEERS,
    PROMISES,
    SMALL,
    STUDY,
    TABLES,
    TUNED,
    axis_labels_overlap,
    draw,
    drawn,
    each_mark,
    markers,
    nothing_is_clipped,
    overview_of,
    texts,
)

pytestmark = pytest.mark.xdist_group("figures")  # each is drawn once

REASONS = ("not measured", "not searched", "no ")
CASES = [
    *((name, table) for name in STUDY for table in TABLES if "auto-tuned" not in table),
    *((name, f"{which} auto-tuned") for name in TUNED for which in AUTOTUNED),
    *((name, "auto-tuned, of different sparsity") for name in PROMISES),
    *((name, table) for name in CURVES for table in LADDERS),
]


@pytest.mark.parametrize(("name", "table"), CASES)
def test_claim_verdict_and_rule_are_printed_and_nothing_is_clipped(name, table):
    module, found, figure = drawn(name, table)
    printed = " ".join(" ".join(text.get_text() for text in texts(figure)).split())
    assert module.PLUGIN.label[1:] in printed
    assert LOOKS.text(found.headline) in printed
    assert " ".join(module.RULE.split()) in printed
    if name in STUDY:
        platforms = TABLES[table]["platform"].unique()
        assert {LOOKS.label(platform) in printed for platform in platforms} == {True}
    assert nothing_is_clipped(figure) and not axis_labels_overlap(figure)
    for first, second in zip(figure.texts, figure.texts[1:], strict=False):
        assert not first.get_window_extent().overlaps(second.get_window_extent())


@pytest.mark.parametrize(("name", "table"), CASES)
def test_no_panel_is_empty_without_a_reason(name, table):
    for axis in drawn(name, table)[2].axes:
        marks = axis.lines or axis.collections
        reasons = [text for text in axis.texts if text.get_text().startswith(REASONS)]
        assert marks or reasons


def test_one_mark_for_each_primitive_of_each_network():
    figure = draw("fastest_primitive", SMALL)[2]
    counted = {axis.get_title(): len(markers(axis)) for axis in figure.axes}
    expected = SMALL.groupby("platform").size()
    assert counted == {LOOKS.label(platform): count for platform, count in expected.items()}


def test_one_mark_for_each_compressed_network():
    figure = draw("compression_speedup_by_platform", LARGE)[2]
    networks = 8 * 2  # models, compressions; untuned alone
    assert [len(markers(axis)) for axis in figure.axes] == [networks, networks]
    colours = {line.get_color() for axis in figure.axes for line in markers(axis)}
    assert colours == {LOOKS.colour("weight_pruning"), LOOKS.colour("int8")}


def test_overview_has_every_measurement_on_a_log_scale():
    full = TABLES["full"]
    figure = overview_of("full")
    assert nothing_is_clipped(figure) and not axis_labels_overlap(figure)
    assert len(figure.axes) == 2
    for axis, platform in zip(figure.axes, ("local_cpu", "local_cpu_avx2"), strict=True):
        assert axis.get_xscale() == "log" and "ms" in axis.get_xlabel()
        own = full[(full.platform == platform) & (full.level != 0)]
        drawn = sorted(float(at) for line in markers(axis) for at in line.get_xdata())
        assert drawn == pytest.approx(sorted(own["latency_ms"])) and len(drawn) == 8 * 6 * 3 - 6
        crosses = [line for line in axis.lines if line.get_marker() == "x"]
        assert [line.get_color() for line in crosses] == [LOOKS.colour("weight_pruning")] * 2
        black = [line for line in each_mark(axis) if line.get_markeredgecolor() == "#000000"]
        assert len(black) == (own["format"] == "csr").sum() == 21
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names.count("MobileNetV2") == 2 and "VGG-16" in names


def grey_lines(axis):
    """Return where each stands, and from where to where it reaches."""
    grey = [
        lines for lines in axis.collections if to_hex(lines.get_color()[0]) == style.GREY.lower()
    ]
    return [(x, low, high) for lines in grey for (x, low), (_, high) in lines.get_segments()]


def test_overview_has_a_line_for_each_peer_over_the_rows_of_its_network():
    figure = overview_of("full")
    drawn = [grey_lines(axis) for axis in figure.axes]
    assert [len(lines) for lines in drawn] == [len(PEERS), 0]
    places = LOOKS.sort(PEERS[MODEL].drop_duplicates(), MODEL)
    networks = list(places.itertuples(index=False, name=None))
    heights = dict(zip(networks, figure.axes[0].get_yticks(), strict=True))
    for peer in PEERS.itertuples():
        ((low, high),) = [reach for x, *reach in drawn[0] if x == pytest.approx(peer.latency_ms)]
        assert (low + high) / 2 == pytest.approx(heights[peer.dataset, peer.model])
        assert 0.6 < high - low < 1
    entries = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "PyTorch" in entries and "ONNX Runtime" in entries


def test_overview_without_peers_has_no_entry_of_any():
    figure = overview.draw(TABLES["small"], synthetic.peers(), LOOKS)
    assert nothing_is_clipped(figure)
    entries = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "PyTorch" not in entries and "ONNX Runtime" not in entries


@pytest.mark.parametrize(("table", "opened"), [("some auto-tuned", 2 * 3), ("full", 0)])
def test_overview_has_open_marks_for_what_is_autotuned(table, opened):
    figure = overview_of(table)
    assert nothing_is_clipped(figure) and not axis_labels_overlap(figure)
    entries = [text.get_text() for text in figure.legends[0].get_texts()]
    assert ("auto-tuned" in entries) == ("untuned" in entries) == (opened > 0)
    for axis in figure.axes:
        fills = [line.get_fillstyle() for line in each_mark(axis)]
        assert fills.count("none") == opened and fills.count("full") == 8 * 6 * 3 - 6


def test_overview_tells_all_ways_to_schedule_apart():
    figure = overview_of("all ways")
    assert nothing_is_clipped(figure) and not axis_labels_overlap(figure)
    entries = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {"unscheduled", "untuned", "auto-tuned", "auto-scheduled"} <= set(entries)
    networks = 3  # ResNet18 on one data set, MobileNetV2 on both
    for axis in figure.axes:
        fills = [line.get_fillstyle() for line in each_mark(axis)]
        assert {fills.count(fill) for fill in ("left", "none", "right")} == {3 * networks}
    assert len({LOOKS.line(way) for way in synthetic.WAYS}) == len(synthetic.WAYS)


def test_speedup_of_each_autotuned_configuration_and_none_other():
    figure = drawn("tuning_speedup", "some auto-tuned")[2]
    assert [len(each_mark(axis)) for axis in figure.axes] == [2 * 3, 2 * 3]
    figure = drawn("tuning_speedup", "one platform auto-tuned")[2]
    assert [len(each_mark(axis)) for axis in figure.axes] == [0, 8 * 2 * 3]


def test_speedups_of_all_ways_by_contrast():
    """Upper panels: all ways over unscheduled code; lower panels: auto-tuned over untuned code."""
    figure = drawn("tuning_speedup", "all ways")[2]
    networks = 3  # ResNet18 on one data set, MobileNetV2 on both
    for axis, ways in zip(figure.axes, [3, 3, 1, 1], strict=True):
        assert axis.get_xscale() == "log" and axis.get_xlabel().startswith("speedup over un")
        fills = [line.get_fillstyle() for line in each_mark(axis)]
        assert {fill: fills.count(fill) for fill in fills} == dict.fromkeys(
            ("full", "none", "right") if ways == 3 else ("none",), 3 * networks
        )
    titles = [axis.get_title().splitlines()[1] for axis in figure.axes]
    assert titles[::2] == ["unscheduled to auto-scheduled", "untuned to auto-tuned"]
    low, high = figure.axes[0].get_xlim()
    assert high / low > 10 * np.divide(*figure.axes[2].get_xlim()[::-1])


@pytest.mark.parametrize(
    ("table", "contrasts", "networks"),
    [("some auto-tuned", [WITH_TEMPLATE], 2), ("all ways", CONTRASTS, 3)],
)
def test_the_fastest_primitive_of_each_way_is_at_one_and_named(table, contrasts, networks):
    _, found, figure = drawn("tuning_changes_primitive", table)
    places = product(contrasts, ("local_cpu", "local_cpu_avx2"))
    for axis, (contrast, platform) in zip(figure.axes, places, strict=True):
        own = found.evidence[found.evidence["platform"] == platform]
        own = own[own["contrast"] == str(contrast)]
        marks = [line for line in markers(axis) if line.get_linestyle() == "None"]
        assert len(marks) == networks * 3 * 2  # primitives, ways
        at_one = [line for line in marks if line.get_xdata()[0] == pytest.approx(1)]
        for fill, name in zip(map(LOOKS.fill, contrast.ways), ("first", "last"), strict=True):
            shown = [line.get_marker() for line in at_one if line.get_fillstyle() == fill]
            assert sorted(shown) == sorted(LOOKS.marker(winner) for winner in own[name])
        names = [text.get_text() for text in axis.texts if text.get_fontsize() < 6]
        winners = [LOOKS.label(winner) for name in ("first", "last") for winner in own[name]]
        assert sorted(names) == sorted(winners)


def test_widened_arithmetic_has_pale_marks():
    for axis in overview_of("full").axes:
        half = [line for line in each_mark(axis) if line.get_color() == LOOKS.colour("float16")]
        pale = [line for line in half if line.get_markerfacecolor() != line.get_color()]
        assert len(half) == 24
        assert len(pale) == (24 if axis.get_title() == LOOKS.label("local_cpu_avx2") else 0)


def in_order(points):
    return np.array(sorted(map(tuple, points))).reshape(-1)


@pytest.mark.parametrize("table", LADDERS)
def test_curves_show_every_level_and_the_chosen_one(table):
    ladders = curves.relative(LADDERS[table])
    figure = curves.draw(LADDERS[table], 1.0, LOOKS)
    assert nothing_is_clipped(figure) and not axis_labels_overlap(figure)
    assert len(figure.axes) == 8
    titles = [axis.get_title() for axis in figure.axes]
    networks = LOOKS.sort(ladders, MODEL).groupby(MODEL, sort=False)
    for axis, (_, network) in zip(figure.axes, networks, strict=True):
        points = network[network["level"] != 0]
        drawn = [
            pair
            for line in markers(axis)
            if line.get_fillstyle() == "full"
            for pair in line.get_xydata()
        ]
        assert in_order(drawn) == pytest.approx(in_order(points[["factor", "change"]].to_numpy()))
        rings = [line.get_xydata()[0] for line in markers(axis) if line.get_fillstyle() == "none"]
        chosen = network[network["chosen"] & network["level"].notna()]
        assert in_order(rings) == pytest.approx(in_order(chosen[["factor", "change"]].to_numpy()))
    assert titles[0].startswith("ResNet18, 9")


def test_a_pipeline_has_the_colour_of_its_first_step_and_dashes_of_its_own():
    figure = curves.draw(PAIRS, 1.0, LOOKS)
    assert nothing_is_clipped(figure) and not axis_labels_overlap(figure)
    ladders = curves.relative(PAIRS)
    networks = LOOKS.sort(ladders, MODEL).groupby(MODEL, sort=False)
    pipelines = {"pruned_int8": "weight_pruning"}
    pipelines |= dict.fromkeys(("slim_float16", "slim_pruned"), "channel_pruning")
    for axis, (_, network) in zip(figure.axes, networks, strict=True):
        found = {}
        for line in axis.lines:
            points = sorted(map(tuple, np.round(line.get_xydata(), 9)))
            found.setdefault(str(points), []).append(line)
        for name, first in pipelines.items():
            curve = network[network["compression"] == name]
            points = sorted(map(tuple, np.round(curve[["factor", "change"]].to_numpy(), 9)))
            (line,) = found[str(points)]
            assert line.get_color() == LOOKS.colour(first)
            assert line.get_linestyle() == {"slim_pruned": "-."}.get(name, "--")
            chosen = curve.loc[curve["chosen"], ["factor", "change"]].to_numpy()
            rings = [
                line.get_xydata()[0]
                for line in axis.lines
                if line.get_fillstyle() == "none" and line.get_color() == LOOKS.colour(first)
            ]
            assert any(ring == pytest.approx(chosen[0]) for ring in rings)
        dotted = [line for line in axis.lines if line.get_linestyle() == ":"]
        assert len(dotted) == 2  # of the techniques alone
    (legend,) = figure.legends
    texts = {text.get_text() for text in legend.get_texts()}
    assert {LOOKS.label(name) for name in (*pipelines, "weight_pruning")} <= texts


def test_pipelines_without_a_technique_of_their_own_are_drawn():
    """As where a study names the pipeline and not its steps."""
    alone = PAIRS[PAIRS["compression"].isin(["none", "pruned_int8"])]
    alone.attrs.update(PAIRS.attrs)
    assert nothing_is_clipped(curves.draw(alone, 1.0, LOOKS))


def test_the_legend_of_many_compressions_fits():
    names = [
        *registry.names("compression"),
        *("pruned_int8", "slim_int8", "slim_float16", "pruned_float16", "slim_pruned"),
    ]
    words = descriptions.words(load({"study": {"compression": names}}))
    like = {name: "pruned_int8" if "pruned" in name else "slim_float16" for name in names[-5:]}
    like |= dict.fromkeys(registry.names("compression"), "weight_pruning") | {"none": "none"}
    every = [PAIRS[PAIRS["compression"] == like[name]].assign(compression=name) for name in names]
    figure = curves.draw(pd.concat(every), 1.0, Looks(words))
    assert nothing_is_clipped(figure) and not axis_labels_overlap(figure)


def test_curves_of_a_few_networks_leave_no_empty_panel_behind():
    some = LADDERS["exact"][LADDERS["exact"].model.isin(["resnet18", "resnet50", "densenet161"])]
    shown = [axis for axis in curves.draw(some, 2.0, LOOKS).axes if axis.axison]
    assert len(shown) == 3 and sum(bool(axis.get_xlabel()) for axis in shown) == 2


def test_the_same_figure_gives_the_same_bytes(tmp_path):
    for run in ("first", "second"):
        figure = draw("fastest_primitive", SMALL)[2]
        panels.save(figure, [tmp_path / run / f"plot.{suffix}" for suffix in ("pdf", "svg", "png")])
    for suffix in ("pdf", "svg", "png"):
        first, second = (
            (tmp_path / run / f"plot.{suffix}").read_bytes() for run in ("first", "second")
        )
        assert first == second and len(first) > 5000
    assert (tmp_path / "first/plot.pdf").read_bytes().startswith(b"%PDF")


def test_an_svg_names_fonts_for_a_browser_that_lacks_the_first(tmp_path):
    panels.save(draw("fastest_primitive", SMALL)[2], [tmp_path / "plot.svg"])
    families = set(re.findall(r"font-family: ([^;\"]+)", (tmp_path / "plot.svg").read_text()))
    assert families == {"'DejaVu Sans', 'Verdana', 'Arial', 'Helvetica', sans-serif"}


@pytest.mark.parametrize("count", [2, 4, 10])
def test_titles_and_labels_of_many_panels_do_not_overlap(count, tmp_path):
    platforms = [f"machine number {number}, AVX2" for number in range(count)]
    with style.style():
        figure, axes = panels.columns(LOOKS, platforms, width=panels.PAGE_INCHES)
        for axis in axes.flat:
            axis.set_xlabel("latency / fastest of the same way")
    panels.save(figure, [tmp_path / "figure.png"])
    figure.draw_without_rendering()
    assert not axis_labels_overlap(figure)
