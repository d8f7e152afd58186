"""Rows of a simulated platform change nothing but the table of the study."""

import math

import pandas as pd
import pytest

from dlas.analysis import observation, pareto, recommendation, roofline, summaries
from dlas.status import SIMULATED
from tests.unit.analysis import synthetic

OBSERVATIONS = (
    "size_accuracy_latency pruning_reach compact_architectures fastest_primitive tuning_speedup "
    "tuning_changes_primitive compression_speedup_by_platform sparsity_promise "
    "channel_pruning_promise primitive_by_precision native_precision datasets_differ joint_choice"
).split()
MEASURED = synthetic.study(
    synthetic.sparse,
    compressions=synthetic.COMPRESSIONS,
    formats=("dense", "csr"),
    tunings=synthetic.WAYS,
    left=synthetic.left,
)


def with_simulated():
    """The same study with a third platform, which would be the fastest of all."""
    rows = MEASURED[MEASURED["platform"] == "local_cpu"].assign(
        platform="simulated_arm", status=SIMULATED, gflops=math.nan, peak_fraction=math.nan
    )
    rows[observation.LATENCY] /= 100
    return pd.concat([MEASURED, rows], ignore_index=True)


def tables(study):
    curves = synthetic.curves(synthetic.holding)
    return synthetic.tables(study, synthetic.noise_floor(), curves)


@pytest.mark.parametrize("name", OBSERVATIONS)
def test_every_verdict_stays(name):
    observe = observation.load(name).observe
    before, after = (observe(tables(study)) for study in (MEASURED, with_simulated()))
    assert after == before
    pd.testing.assert_frame_equal(after.evidence, before.evidence)


@pytest.mark.parametrize("rows", [pareto.networks, roofline.networks])
def test_no_figure_shows_them(rows):
    pd.testing.assert_frame_equal(rows(with_simulated()), rows(MEASURED))


def lines(make, *arguments):
    """The lines of both studies, those of the simulated platform apart."""
    before, after = (make(tables(study), *arguments) for study in (MEASURED, with_simulated()))
    apart = after["platform"] == "simulated_arm"
    pd.testing.assert_frame_equal(after[~apart].reset_index(drop=True), before, check_dtype=False)
    return after[apart]


def test_no_table_ranks_them():
    latencies = lines(summaries.latencies, synthetic.LOOKS)
    assert len(latencies) and latencies["fastest"].isna().all()
    assert (latencies["direct_untuned_status"] == SIMULATED).all()
    best = lines(summaries.best_configurations, synthetic.LOOKS)
    assert (best["status"] == SIMULATED).all() and best["latency_ms"].isna().all()


def test_none_is_recommended():
    floors = {"digits": 90, "photos": 90}
    found = lines(recommendation.recommend, floors)
    assert found["model"].isna().all() and found["reason"].str.contains(SIMULATED).all()
