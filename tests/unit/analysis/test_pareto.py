"""The Pareto front: as it is defined, and as it is drawn."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlas.analysis import pareto
from dlas.analysis.columns import DEPLOYED
from tests.unit.analysis import synthetic
from tests.unit.analysis.drawings import (
    FULL,
    LOOKS,
    axis_labels_overlap,
    markers,
    nothing_is_clipped,
    texts,
)

VALUES = st.integers(0, 4)  # few, so that there are ties
POINTS = st.lists(st.tuples(VALUES, VALUES, VALUES), min_size=1, max_size=12)
SOME = FULL[(FULL.platform == "local_cpu") | (FULL.dataset == "digits")]
STUDIES = {
    "full": FULL,
    "one platform": FULL[FULL.platform == "local_cpu"],
    "a data set on one platform": SOME,
    "uncompressed": FULL[FULL.compression == "none"],
    "nothing measured": FULL.assign(status="unavailable"),
}


def dominates(one, other):
    return all(a <= b for a, b in zip(one, other, strict=True)) and one != other


@settings(deadline=None, derandomize=True)
@given(POINTS)
def test_the_front_is_what_nothing_dominates(points):
    expected = [not any(dominates(other, point) for other in points) for point in points]
    found = pareto.front(*(pd.Series(quantity) for quantity in zip(*points, strict=True)))
    assert found.tolist() == expected


def test_the_front_is_the_one_that_was_put_in():
    """Of equally accurate networks the smallest and the fastest are on it; float16 is beaten by
    int8 in both.
    """
    models = {"digits": {"resnet18": (0.7, 35, 98.9)}}
    latency = {
        "none": 4.0,
        "weight_pruning": 5.0,
        "channel_pruning": 1.0,
        "float16": 3.0,
        "int8": 2.0,
    }
    study = synthetic.study(
        lambda platform, dataset, model, compression, *_: latency[compression],
        models=models,
        compressions=synthetic.COMPRESSIONS,
        noise=1e-4,
    )
    found = pareto.networks(study)
    best = found[found["front"]].groupby("platform")["compression"].agg(set)
    assert best.to_list() == [{"int8", "channel_pruning"}] * 2
    more = study.assign(
        top1_compiled=study["top1_compiled"] + 0.25 * (study["compression"] == "none")
    )
    found = pareto.networks(more)
    best = found[found["front"]].groupby("platform")["compression"].agg(set)
    assert best.to_list() == [{"none", "int8", "channel_pruning"}] * 2


def test_a_network_is_in_its_fastest_configuration():
    found = pareto.networks(FULL)
    usable = FULL[(FULL["level"] != 0)]
    lowest = usable.groupby(DEPLOYED)["latency_ms"].min()
    assert len(found) == len(lowest) == 2 * (8 * 5) - 2
    own = found.set_index(DEPLOYED)["latency_ms"]
    assert np.allclose(own, lowest[own.index])
    images = synthetic.IMAGES
    share = found["accuracy"] / 100
    assert np.allclose(found["error"], 100 * np.sqrt(share * (1 - share) / images))


@pytest.mark.parametrize("name", STUDIES)
def test_every_network_has_a_mark_and_those_on_the_front_a_ring_and_a_name(name):
    study = STUDIES[name]
    found = pareto.networks(study)
    figure = pareto.draw(study, LOOKS)
    assert nothing_is_clipped(figure) and not axis_labels_overlap(figure)
    platforms, datasets = (
        LOOKS.ordered("platform", study.platform),
        LOOKS.ordered("dataset", study.dataset),
    )
    panels = [(dataset, platform) for dataset in datasets for platform in platforms]
    assert len(figure.axes) == len(panels)
    for axis, (dataset, platform) in zip(figure.axes, panels, strict=True):
        assert axis.get_title() == f"{LOOKS.label(platform)}, {LOOKS.label(dataset)}"
        here = found[(found["dataset"] == dataset) & (found["platform"] == platform)]
        if here.empty:
            assert axis.texts[0].get_text() == "not measured"
            continue
        assert axis.get_xscale() == "log" and "ms" in axis.get_xlabel()
        rings = [line for line in axis.lines if line.get_zorder() == pareto.RING_ORDER]
        marks = [line for line in markers(axis) if line not in rings]
        at = sorted(zip(here["latency_ms"], here["accuracy"], strict=True))
        assert np.allclose(sorted((*line.get_xdata(), *line.get_ydata()) for line in marks), at)
        best = here[here["front"]]
        assert len(rings) == len(axis.texts) == len(best) > 0
        named = sorted(text.get_text().split("\n")[0] for text in axis.texts)
        assert named == sorted(map(LOOKS.label, best["model"]))
    if len(found):
        assert figure.axes[0].get_ylabel() == "top-1 (%)"
        entries = {text.get_text() for text in figure.legends[0].get_texts()}
        assert {"Pareto front", *map(LOOKS.label, found["compression"])} <= entries
        assert ("auto-tuned" in entries) == (found["tuning"] == "autotuned").any()
        assert ("widened arithmetic" in entries) == (found["status"] == "widened").any()


def test_the_area_of_a_mark_is_the_size_of_the_model():
    found = pareto.networks(FULL).set_index(DEPLOYED)
    figure = pareto.draw(FULL, LOOKS)
    sizes = {}
    for axis in figure.axes:
        for line in markers(axis):
            if line.get_zorder() != pareto.RING_ORDER:
                sizes[float(line.get_xdata()[0])] = line.get_markersize()
    across = found["latency_ms"].map(sizes)
    large = across > pareto.SMALLEST_MARK
    ratio = across[large] ** 2 / found["model_bytes"][large]
    assert large.sum() > len(found) / 2 and np.allclose(ratio, ratio.iloc[0])


def test_sizes_are_told_in_a_unit_of_their_own():
    figure = pareto.draw(FULL, LOOKS)
    units = {text.get_text().split()[-1] for text in texts(figure) if "\n" in text.get_text()}
    assert units and units <= {"kB", "MB"}
