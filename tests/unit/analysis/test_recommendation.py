"""The recommendation: known answers, contributions that multiply out, and what happens where there
is none.
"""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlas.analysis import choices, pages, recommendation
from dlas.analysis.observation import floors
from tests.unit.analysis import synthetic

MODELS = {"digits": {"resnet18": (0.7, 35, 99.0), "mobilenet_v1": (0.22, 3.1, 97.0)}}
TOP1 = {
    ("resnet18", "none"): 99.0,
    ("resnet18", "int8"): 98.5,
    ("mobilenet_v1", "none"): 97.0,
    ("mobilenet_v1", "int8"): 95.0,
}
COST = {"resnet18": 4.0, "mobilenet_v1": 1.0, "none": 1.0, "int8": 0.5}
COST |= {"direct": 1.0, "gemm": 1.5, "spatial_pack": 1.2}
COST |= {"untuned": 1.0, "autotuned": 0.8}
FLOOR = synthetic.noise_floor(models=MODELS)


def apart(platform, dataset, model, compression, primitive, tuning):
    """Each layer changes the latency by a factor of its own."""
    return COST[model] * COST[compression] * COST[primitive] * COST[tuning]


def together(platform, dataset, model, compression, primitive, tuning):
    """Integers are fast in GEMM alone, where all else is slow."""
    if compression == "int8":
        return COST[model] * {"direct": 1.1, "gemm": 0.25, "spatial_pack": 1.1}[primitive]
    return COST[model] * COST[primitive]


def study(latency=apart, tunings=("untuned", "autotuned"), noise=1e-3, top1=TOP1):
    table = synthetic.study(
        latency, models=MODELS, compressions=("none", "int8"), tunings=tunings, noise=noise
    )
    pairs = zip(table["model"], table["compression"], strict=True)
    return table.assign(top1_compiled=[top1[pair] for pair in pairs])


APART, TOGETHER = study(), study(together, tunings=("untuned",))


def recommend(floor, table=APART):
    return recommendation.recommend(synthetic.tables(table, FLOOR), {"digits": floor})


@pytest.mark.parametrize(
    ("floor", "model", "compression", "candidates"),
    [
        (94.0, "mobilenet_v1", "int8", 4 * 3 * 2),
        (95.0, "mobilenet_v1", "int8", 4 * 3 * 2),  # the floor itself is enough
        (96.0, "mobilenet_v1", "none", 3 * 3 * 2),
        (98.0, "resnet18", "int8", 2 * 3 * 2),
        (99.0, "resnet18", "none", 1 * 3 * 2),
    ],
)
def test_the_fastest_that_is_accurate_enough_is_recommended(floor, model, compression, candidates):
    table = recommend(floor)
    assert list(table.columns) == recommendation.COLUMNS and len(table) == 2
    for row in table.itertuples():
        assert (row.model, row.compression) == (model, compression)
        assert (row.primitive, row.tuning) == ("direct", "autotuned")
        assert row.candidates == candidates and pd.isna(row.reason)
        assert row.top1_compiled == TOP1[model, compression] >= row.top1_floor == floor
        assert row.latency_ms == pytest.approx(COST[model] * COST[compression] * 0.8, rel=0.01)


def test_contributions_are_the_factors_that_were_put_in():
    for row in recommend(94.0).itertuples():
        found = [getattr(row, name) for name in recommendation.CONTRIBUTIONS]
        assert found == pytest.approx([4.0, 2.0, 1.0, 1 / 0.8], rel=0.01)
        # layer by layer is as good where each layer has a factor of its own
        assert row.layer_by_layer == "`mobilenet_v1`, `int8`, `direct`, `autotuned`"
        assert row.layer_by_layer_status == "ok"
        assert row.layer_by_layer_ms == row.latency_ms
        assert row.joint_speedup == 1 and row.joint_speedup_low == 1


def test_the_joint_optimum_beats_what_is_chosen_layer_by_layer():
    """Layer by layer nobody takes integers or GEMM, each of which is slow alone."""
    for row in recommend(94.0, TOGETHER).itertuples():
        assert (row.model, row.compression, row.primitive) == ("mobilenet_v1", "int8", "gemm")
        assert row.layer_by_layer == "`mobilenet_v1`, `none`, `direct`, `untuned`"
        assert row.joint_speedup == pytest.approx(1 / 0.25, rel=0.01)
        assert row.joint_speedup_low < row.joint_speedup < row.joint_speedup_high
        assert row.contribution_compression == pytest.approx(1.5 / 0.25, rel=0.01)
        assert row.contribution_primitive == pytest.approx(1.1 / 0.25, rel=0.01)
        assert row.contribution_tuning == 1 and row.contribution_model == pytest.approx(4, rel=0.01)


def test_what_is_chosen_layer_by_layer_may_miss_the_floor():
    """MobileNetV1 and integers are each accurate enough, but not together."""
    for row in recommend(96.0).itertuples():
        assert row.layer_by_layer.startswith("`mobilenet_v1`, `int8`")
        assert row.layer_by_layer_status == recommendation.BELOW
        assert row.layer_by_layer_ms < row.latency_ms and np.isnan(row.joint_speedup)


def test_what_was_not_measured_has_no_contribution():
    """Auto-tuned is the recommended configuration alone."""
    tuned = APART["tuning"] == "autotuned"
    best = (APART["model"] == "mobilenet_v1") & (APART["compression"] == "int8")
    table = recommend(94.0, APART[~tuned | (best & (APART["primitive"] == "direct"))])
    for row in table.itertuples():
        assert row.tuning == "autotuned" and row.contribution_tuning > 1.2
        assert np.isnan(row.contribution_model) and np.isnan(row.contribution_compression)
        assert row.layer_by_layer == "`mobilenet_v1`, `int8`, `direct`, `untuned`"
        assert row.joint_speedup == pytest.approx(1 / 0.8, rel=0.02)


def test_a_combination_that_was_not_measured_is_told_in_words():
    """ResNet18 is auto-tuned uncompressed alone, so nobody knows MobileNetV1 in that."""
    tuned = (APART["tuning"] == "autotuned") & (
        (APART["model"] == "mobilenet_v1") | (APART["compression"] == "int8")
    )
    for row in recommend(94.0, APART[~tuned]).itertuples():
        assert row.layer_by_layer == "`mobilenet_v1`, `int8`, `direct`, `autotuned`"
        assert row.layer_by_layer_status == recommendation.UNMEASURED
        assert np.isnan(row.layer_by_layer_ms) and np.isnan(row.joint_speedup)


def test_where_nothing_reaches_the_floor_it_says_how_far_it_is():
    table = recommend(99.5)
    assert set(table["candidates"]) == {0} and table["model"].isna().all()
    assert set(table["reason"]) == {"none reaches the floor; the highest top-1 is 99.0 %"}


def test_where_nothing_was_measured_it_says_why():
    gone = APART["platform"] == "local_cpu_avx2"
    table = recommend(94.0, APART.assign(status=APART["status"].mask(gone, "no such CPU")))
    reasons = table.set_index("platform")["reason"]
    assert reasons["local_cpu_avx2"] == "not measured: no such CPU"
    assert pd.isna(reasons["local_cpu"])


def test_without_an_uncompressed_candidate_there_is_no_default_model():
    table = recommend(98.0, study(top1=TOP1 | {("resnet18", "none"): 97.5}))
    for row in table.itertuples():
        assert (row.model, row.compression) == ("resnet18", "int8")
        assert np.isnan(row.contribution_model) and pd.isna(row.layer_by_layer)
        assert row.contribution_compression == pytest.approx(2, rel=0.01)


def test_the_default_model_is_the_faster_one_of_equally_accurate_ones():
    table = recommend(90.0, study(top1=dict.fromkeys(TOP1, 98.0)))
    assert set(table["contribution_model"]) == {1.0}


def test_a_level_that_was_not_reached_is_no_candidate_of_its_own():
    table = APART.assign(level=np.where(APART["compression"] == "int8", 0.0, np.nan))
    found = recommend(94.0, table)
    assert set(found["compression"]) == {"none"} and set(found["candidates"]) == {2 * 3 * 2}


@settings(deadline=None, derandomize=True, max_examples=25)
@given(st.floats(90, 100), st.integers(0, 20))
def test_no_candidate_is_faster_than_the_recommended_one(floor, seed):
    table = APART.sample(frac=0.6, random_state=seed)
    for row in recommend(floor, table).itertuples():
        here = table[table["platform"] == row.platform]
        accurate = here[here["top1_compiled"] >= floor]
        assert row.candidates == len(accurate)
        assert row.candidates == 0 or row.latency_ms == accurate["latency_ms"].min()
        assert (row.candidates == 0) == isinstance(row.reason, str)


def test_the_joint_speedup_is_that_of_observation_13_where_there_is_one_model():
    one = TOGETHER[TOGETHER["model"] == "mobilenet_v1"]
    row = recommend(0.0, one).iloc[0]
    tables = synthetic.tables(one.assign(top1_compiled=97.0), FLOOR)
    found = choices.by_network(tables.rows)
    gain = choices.gains(found, floors(FLOOR), tables.rounds)
    expected = gain["local_cpu", "digits", "mobilenet_v1"]
    assert (row.joint_speedup, row.joint_speedup_low) == pytest.approx(expected[:2], rel=1e-6)


@pytest.mark.parametrize("floor", [94.0, 96.0, 99.5])
def test_the_page_has_a_column_for_each_place_and_what_is_in_the_table(floor):
    table = recommend(floor)
    shown = recommendation.page(table, synthetic.LOOKS)
    assert shown.table.shape[1] == 2
    assert list(shown.table.columns) == [
        (platform, "MNIST digits") for platform in ("this CPU", "this CPU, AVX2")
    ]
    text = pages.html(shown)
    assert f"{floor:g}" in text and "nan" not in text
    words = " ".join(text.split())
    for name in ("layer_by_layer", "reason"):
        for value in table[name].dropna():
            assert synthetic.LOOKS.text(value) in words
