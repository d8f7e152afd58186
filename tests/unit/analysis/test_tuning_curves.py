"""The tuning curves and layers: one table of each, and what the figure makes of the curves."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from dlas.analysis import table, tuning_curves
from dlas.analysis.columns import CONFIGURATION, PLACE
from tests.unit.analysis import synthetic
from tests.unit.analysis.drawings import LOOKS, axis_labels_overlap, markers, nothing_is_clipped


def choices(
    models,
    platforms=synthetic.PLATFORMS,
    compressions=("none",),
    formats=("dense",),
    tunings=("autotuned",),
):
    return [
        {
            "dataset": dataset,
            "model": model,
            "compression": compression,
            "primitive": primitive,
            "format": weight_format,
            "tuning": tuning,
            "platform": platform,
        }
        for (dataset, model), compression, primitive, weight_format, tuning, platform in product(
            models, compressions, synthetic.PRIMITIVES, formats, tunings, platforms
        )
        if weight_format == "dense" or compression == "weight_pruning"
    ]


def tabulated(configurations, **options):
    """Curves of searches with a template begin with the default schedules, the others far from
    them.
    """
    curves = [
        synthetic.tuning_curve(
            1.2 + 0.15 * number,
            start=0.2 if choice["tuning"] == "auto_scheduled" else 1,
            seed=number,
            **options,
        )
        for number, choice in enumerate(configurations)
    ]
    return table.tuning_curves_table(configurations, curves)


TWO = choices([("digits", "resnet18"), ("photos", "mobilenet_v2")])
MANY = choices(
    [(dataset, model) for dataset, nets in synthetic.MODELS.items() for model in nets],
    compressions=synthetic.COMPRESSIONS,
    formats=("dense", "csr"),
)
TABLES = {
    "two networks": tabulated(TWO),
    "both searches": tabulated(
        choices([("digits", "resnet18"), ("photos", "resnet50")], tunings=synthetic.SEARCHES)
    ),
    "one network": tabulated(choices([("digits", "vgg16")], ("local_cpu",))),
    "the whole study": tabulated(MANY, trials=12),
    "one trial": tabulated(TWO, layers=1, trials=1),
    "unfinished": tabulated(TWO, unfinished=True),
    "nothing": tabulated([]),
}


def test_the_table_has_every_trial_with_its_configuration():
    curves = TABLES["two networks"]
    assert ",".join(curves.columns) == (
        "dataset,model,compression,primitive,format,tuning,platform,trial,layer,latency_ms,best_layer_ms,"
        "default_layer_ms,network_ms,default_network_ms"
    )
    assert len(curves) == 12 * 40
    for choice, (_, group) in zip(
        TWO, curves.groupby(np.repeat(np.arange(12), 40), sort=False), strict=True
    ):
        assert (group[list(choice)] == pd.Series(choice)).all(axis=None)
        assert list(group["trial"]) == list(range(1, 41))


def test_the_table_survives_the_file(tmp_path):
    for name in ("two networks", "nothing"):
        table.write_table(tmp_path / "curves.csv", TABLES[name])
        back = table.read_table(tmp_path / "curves.csv")
        pd.testing.assert_frame_equal(back, TABLES[name], check_dtype=False)
    assert (tmp_path / "curves.csv").read_text().startswith("dataset,model,")


def test_a_search_without_a_trial_adds_no_row():
    empty = pd.DataFrame(columns=table.TUNING_CURVE)
    curves = table.tuning_curves_table(TWO[:2], [empty, synthetic.tuning_curve(2)])
    assert len(curves) == 40 and set(curves["platform"]) == {TWO[1]["platform"]}
    assert table.tuning_curves_table(TWO[:1], [empty]).empty


@pytest.mark.parametrize(("way", "start"), [("autotuned", 1), ("auto_scheduled", 0.2)])
def test_speed_is_over_the_default_schedules_and_never_falls(way, start):
    curves = TABLES["both searches"]
    curves = curves[curves["tuning"] == way]
    speeds = tuning_curves.relative(curves.sample(frac=1, random_state=0))
    for _, curve in speeds.groupby(CONFIGURATION):
        assert curve["trial"].iloc[0] == 5  # one of each layer
        assert curve["speed"].iloc[0] == pytest.approx(start)
        assert (curve["speed"].diff().dropna() >= 0).all() and curve["speed"].iloc[-1] > 1


def test_a_network_whose_default_has_no_time_has_no_speed():
    curves = TABLES["two networks"].assign(default_network_ms=np.nan)
    assert tuning_curves.relative(curves).empty


def test_the_layers_of_each_search_are_rows_and_what_is_missing_is_empty(tmp_path):
    layer = {"layer": "conv1", "calls": 2, "trials": 16, "default_ms": 0.5, "latency_ms": 0.25}
    records = [
        {"status": "ok", "layers": {"a": layer | {"ratio": 0.75, "point": [1]}, "b": {}}},
        {"status": "unreachable: no board", "layers": {}},
        {"status": "ok", "layers": {"a": layer | {"latency_ms": None, "ratio": None}}},
    ]
    found = table.tuning_layers_table(TWO[:3], records)
    assert ",".join(found.columns) == (
        "dataset,model,compression,primitive,format,tuning,platform,layer,calls,trials,default_ms,latency_ms,ratio"
    )
    table.write_table(tmp_path / "layers.csv", found)
    lines = (tmp_path / "layers.csv").read_text().splitlines()[1:]
    assert [line.split(",", 7)[7] for line in lines] == [
        "conv1,2,16,0.5,0.25,0.75",
        ",,,,,",
        "conv1,2,16,0.5,,",
    ]
    assert [line.split(",")[6] for line in lines] == [TWO[at]["platform"] for at in (0, 0, 2)]


def test_layers_of_nothing_are_a_header():
    assert table.tuning_layers_table([], []).empty


@pytest.mark.parametrize("name", TABLES)
def test_a_line_for_each_configuration_ends_with_the_mark_of_its_primitive(name):
    curves = TABLES[name]
    figure = tuning_curves.draw(curves, LOOKS)
    assert nothing_is_clipped(figure) and not axis_labels_overlap(figure)
    shown = [axis for axis in figure.axes if axis.axison]
    panels = curves[PLACE].drop_duplicates()
    assert len(shown) == max(1, len(panels))
    if name in ("unfinished", "nothing"):
        assert all(axis.texts and not markers(axis) for axis in shown)
        return
    for axis, (_, panel) in zip(shown, LOOKS.sort(panels, PLACE).iterrows(), strict=True):
        here = (curves[list(panels)] == panel).all(axis=1)
        ends = tuning_curves.relative(curves[here]).groupby(CONFIGURATION).tail(1)
        marks = markers(axis)
        drawn = sorted((line.get_ydata()[0], line.get_marker()) for line in marks)
        assert drawn == sorted(
            zip(ends["speed"], map(LOOKS.marker, ends["primitive"]), strict=True)
        )
        assert {line.get_color() for line in marks} == set(map(LOOKS.colour, ends["compression"]))
        black = [line for line in marks if line.get_markeredgecolor() == "#000000"]
        assert len(black) == (ends["format"] == "csr").sum()
        steps = [line for line in axis.lines if line.get_drawstyle() == "steps-post"]
        styles = sorted(str(line.get_linestyle()) for line in steps)
        assert styles == sorted(str(LOOKS.line(way)) for way in ends["tuning"])


def test_both_searches_of_a_network_stand_in_one_panel_and_in_the_legend():
    figure = tuning_curves.draw(TABLES["both searches"], LOOKS)
    for axis in figure.axes:
        steps = [line for line in axis.lines if line.get_drawstyle() == "steps-post"]
        for way, first in (("autotuned", 1), ("auto_scheduled", 0.2)):
            own = [line for line in steps if line.get_linestyle() == LOOKS.line(way)]
            assert [line.get_ydata()[0] for line in own] == pytest.approx([first] * 3)
    entries = {text.get_text() for text in figure.legends[0].get_texts()}
    assert {"auto-tuned", "auto-scheduled"} <= entries


def test_a_figure_of_nothing_says_so():
    texts = [text.get_text() for text in tuning_curves.draw(TABLES["nothing"], LOOKS).axes[0].texts]
    assert " ".join(texts[0].split()) == "no configuration was searched"
