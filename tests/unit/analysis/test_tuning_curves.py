"""The tuning curves: one table of all of them, and what the figure makes of it."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from dlas.analysis import table, tuning_curves
from dlas.analysis.columns import CONFIGURATION, PLACE
from tests.unit.analysis import synthetic
from tests.unit.analysis.drawings import LOOKS, axis_labels_overlap, markers, nothing_is_clipped


def choices(models, platforms=synthetic.PLATFORMS, compressions=("none",), formats=("dense",)):
    return [
        {
            "dataset": dataset,
            "model": model,
            "compression": compression,
            "primitive": primitive,
            "format": format,
            "tuning": "autotuned",
            "platform": platform,
        }
        for (dataset, model), compression, primitive, format, platform in product(
            models, compressions, synthetic.PRIMITIVES, formats, platforms
        )
        if format == "dense" or compression == "weight_pruning"
    ]


def tabulated(configurations, **options):
    curves = [
        synthetic.tuning_curve(1.2 + 0.15 * number, seed=number, **options)
        for number in range(len(configurations))
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
    "one network": tabulated(choices([("digits", "vgg16")], ("local_cpu",))),
    "the whole study": tabulated(MANY, trials=12),
    "one trial": tabulated(TWO, layers=1, trials=1),
    "unfinished": tabulated(TWO, unfinished=True),
    "nothing": tabulated([]),
}


def test_the_table_has_every_trial_with_its_configuration():
    curves = TABLES["two networks"]
    assert ",".join(curves.columns) == (
        "dataset,model,compression,primitive,format,tuning,platform,trial,layer,latency_ms,best_layer_ms,network_ms"
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


def test_shares_start_at_the_default_schedules_and_never_rise():
    curves = TABLES["two networks"]
    shares = tuning_curves.relative(curves.sample(frac=1, random_state=0))
    for _, curve in shares.groupby(CONFIGURATION):
        assert curve["share"].iloc[0] == 1 and curve["trial"].iloc[0] == 5  # one of each layer
        assert (curve["share"].diff().dropna() <= 0).all()


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
            zip(ends["share"], map(LOOKS.marker, ends["primitive"]), strict=True)
        )
        assert {line.get_color() for line in marks} == set(map(LOOKS.colour, ends["compression"]))
        black = [line for line in marks if line.get_markeredgecolor() == "#000000"]
        assert len(black) == (ends["format"] == "csr").sum()
        steps = [line for line in axis.lines if line.get_drawstyle() == "steps-post"]
        assert len(steps) == len(ends) and all(line.get_ydata()[0] == 1 for line in steps)


def test_a_figure_of_nothing_says_so():
    texts = [text.get_text() for text in tuning_curves.draw(TABLES["nothing"], LOOKS).axes[0].texts]
    assert " ".join(texts[0].split()) == "no configuration was auto-tuned"
