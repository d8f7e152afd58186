"""What the page to explore embeds: every cell, every sample, and looks that tell all values
apart.
"""

import base64
import json

import numpy as np
import pandas as pd
import pytest

from dlas.analysis.columns import CONFIGURATION
from dlas.analysis.effects import rounds_of
from dlas.analysis.rows import STUDY_COLUMNS
from tests.unit.analysis import exploring, synthetic

STUDY = exploring.study()
SAMPLES = exploring.samples(STUDY)
CONTENT = exploring.content(STUDY, SAMPLES)
LAYERS = {layer["name"]: layer for layer in CONTENT["layers"]}
COLUMNS = {column["name"]: column for column in CONTENT["columns"]}


def unpacked(text, dtype):
    return np.frombuffer(base64.b64decode(text), np.dtype(dtype).newbyteorder("<"))


def cells(column):
    if "numbers" in column:
        return unpacked(column["numbers"], np.float64)
    return [column["names"][code] for code in unpacked(column["codes"], np.int32)]


@pytest.mark.parametrize("name", STUDY_COLUMNS)
def test_every_cell_of_every_column_is_there(name):
    found, expected = cells(COLUMNS[name]), STUDY[name]
    if "numbers" in COLUMNS[name]:
        np.testing.assert_array_equal(found, expected.to_numpy(float))
    else:
        assert found == [str(cell) for cell in expected]


def test_a_missing_text_is_an_empty_one():
    (column,) = (
        one
        for one in exploring.content(STUDY.assign(native=None))["columns"]
        if one["name"] == "native"
    )
    assert column["names"] == [""] and set(cells(column)) == {""}


def test_samples_of_one_job_and_round_are_pairs():
    latencies = unpacked(CONTENT["latencies"], np.float32).reshape(-1, CONTENT["rounds"])
    jobs = unpacked(CONTENT["jobs"], np.int32)
    rounds = rounds_of(STUDY, SAMPLES)
    np.testing.assert_allclose(latencies, np.exp(rounds.log), rtol=1e-6)
    assert np.isnan(latencies).any(axis=1).tolist() == STUDY["latency_ms"].isna().tolist()
    # The two platforms are one machine, so that a model's rows are one job.
    measured = STUDY["latency_ms"].notna()
    for _, rows in STUDY[measured].groupby(["dataset", "model"]):
        assert len(set(jobs[rows.index])) == 1
    assert len(set(jobs[measured])) == STUDY[["dataset", "model"]].drop_duplicates().shape[0]


def test_points_are_what_was_measured():
    table = STUDY.copy()
    table.loc[[0, 1], "status"] = ["widened", "simulated"]
    measured = unpacked(exploring.content(table)["measured"], np.uint8).astype(bool)
    assert measured[0] and not measured[1]
    assert measured[2:].tolist() == table["latency_ms"].notna()[2:].tolist()


def test_a_row_has_the_noise_floor_of_its_platform_and_dataset():
    floors = synthetic.noise_floor(1.05)
    floors = floors[floors["platform"] == "local_cpu"]
    content = exploring.explore_data.content(STUDY, floors, SAMPLES, synthetic.LOOKS)
    found = unpacked(content["floors"], np.float64)
    here = STUDY["platform"] == "local_cpu"
    assert found[here] == pytest.approx(1.05)
    assert np.isnan(found[~here]).all()


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_colour_and_shape_each_tell_the_values_of_a_layer_apart(layer):
    assert len(set(layer["colours"])) == len(set(layer["markers"])) == len(layer["labels"])


def test_compressions_have_the_colours_and_primitives_the_markers_of_the_figures():
    names = COLUMNS["compression"]["names"]
    assert LAYERS["compression"]["colours"] == [synthetic.LOOKS.colour(name) for name in names]
    assert LAYERS["primitive"]["markers"] == ["circle", "square", "triangle"]
    assert COLUMNS["primitive"]["labels"] == ["direct", "GEMM", "spatial pack"]


def test_many_values_have_colours_of_their_own():
    many = exploring.study(tuple(f"machine_{number}" for number in range(24)), models=ONE)
    (layer,) = (one for one in exploring.content(many)["layers"] if one["name"] == "platform")
    assert len(set(layer["colours"])) == len(layer["labels"]) == 24
    assert len(set(zip(layer["colours"], layer["markers"], strict=True))) == 24


ONE = {"digits": {"resnet18": synthetic.MODELS["digits"]["resnet18"]}}


def test_statuses_are_filtered_by_their_kind():
    table = STUDY.copy()
    table.loc[[0, 1], "status"] = ["failed: it crashed", "failed: it hung"]
    layer = exploring.content(table)["layers"][-1]
    assert layer["labels"] == ["ok", "unsupported", "failed"]


@pytest.mark.parametrize("rows", [0, 3])
def test_a_study_without_a_measurement_has_no_points(rows):
    table = STUDY.head(rows).assign(status="failed: the device hung", latency_ms=np.nan)
    floors = synthetic.noise_floor().head(0)
    content = exploring.explore_data.content(
        table, floors, exploring.empty_samples(), synthetic.LOOKS
    )
    assert not unpacked(content["measured"], np.uint8).any()
    assert content["rows"] == rows and content["rounds"] == 0
    json.dumps(content, allow_nan=False)


def test_equal_tables_in_another_order_of_samples_are_equal_content():
    shuffled = SAMPLES.sample(frac=1, random_state=0)
    assert exploring.content(STUDY, shuffled) == CONTENT
    assert pd.MultiIndex.from_frame(STUDY[CONFIGURATION]).is_unique
