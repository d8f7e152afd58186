"""Whatever becomes of rows, everything that is made of the study comes out."""

import json

import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from dlas import registry, status
from dlas.analysis import (
    captions,
    observation,
    overview,
    panels,
    pareto,
    recommendation,
    roofline,
    statuses,
    tuning_curves,
)
from dlas.analysis.columns import LATENCY
from dlas.analysis.pages import html
from dlas.analysis.summaries import SUMMARIES
from tests.unit.analysis import synthetic

LOOKS = synthetic.LOOKS
STATUSES = (
    status.OK,
    status.WIDENED,
    status.SIMULATED,
    *(status.because(kind, "0.031 > 0.001") for kind in status.KINDS),
)
FULL = synthetic.study(
    synthetic.sparse,
    models={
        "digits": {name: synthetic.MODELS["digits"][name] for name in ("resnet18", "vgg16")},
        "photos": {name: synthetic.MODELS["photos"][name] for name in ("resnet50",)},
    },
    compressions=synthetic.COMPRESSIONS,
    formats=("dense", "csr"),
    tunings=("untuned", "autotuned"),
    unreached=[("photos", "resnet50", "channel_pruning")],
    left=synthetic.left,
)
MEASUREMENTS = [*LATENCY, "repeats", "gflops", "peak_fraction"]
FLOOR = synthetic.noise_floor()
LADDERS = synthetic.curves(synthetic.holding)
PEERS = synthetic.peers({"pytorch": 2.5})
PEAKS = {"float32": 300.0, "float16": 300.0, "int8": 1200.0}
MEASURED = {"status": status.OK, "peak_gflops": PEAKS, "bandwidth_gbs": 30.0}
GONE = {"status": "unreachable: gone", "peak_gflops": None, "bandwidth_gbs": None}
NAMES = registry.names("observation")


def turned(study, given):
    """Return a study in which the statuses of rows are these; only what ran keeps its
    measurements.
    """
    found = study.assign(status=given)
    lost = ~found["status"].isin(status.RAN)
    simulated = found["status"] == status.SIMULATED
    found[MEASUREMENTS] = found[MEASUREMENTS].astype(float).mask(lost)
    found["top1_compiled"] = found["top1_compiled"].mask(lost)
    found.loc[simulated, ["gflops", "peak_fraction"]] = float("nan")
    return found


def drawn(name, study, floor=FLOOR, ladders=LADDERS):
    """Observe and draw, as the two jobs do; return the verdict."""
    module = observation.load(name)
    claim = {"claim": module.PLUGIN.label, "origin": module.PLUGIN.origin}
    found = module.observe(synthetic.tables(study, floor, ladders))
    stored = observation.restored(json.loads(json.dumps(found.record(), allow_nan=False)))
    assert stored.record() == found.record()
    panels.draw(module, stored, claim["claim"], LOOKS)
    assert captions.caption(module, stored, claim, LOOKS)
    return found


def everything_else(study, floor, platforms):
    overview.draw(study, PEERS, LOOKS)
    pareto.draw(study, LOOKS)
    roofline.draw(study, platforms, LOOKS)
    tables = synthetic.tables(study, floor)
    for summary in SUMMARIES.values():
        assert html(summary.page(summary.rows(tables, LOOKS), LOOKS))
    floors = {"digits": 90.0, "photos": 90.0}
    assert html(recommendation.page(recommendation.recommend(tables, floors), LOOKS))
    statuses.summary(study)


def some_statuses(share):
    """Return for each row of FULL a status: with this share ok, else any."""
    return st.randoms(use_true_random=False).map(
        lambda random: [
            status.OK if random.random() < share else random.choice(STATUSES) for _ in FULL.index
        ]
    )


SLOW = settings(
    deadline=None,
    derandomize=True,
    max_examples=5,
    # A failing example is not made smaller: that would take minutes.
    phases=[Phase.generate],
)


@pytest.mark.parametrize("name", NAMES)
@SLOW
@given(st.sampled_from([0.0, 0.5, 0.9]).flatmap(some_statuses))
def test_an_observation_copes_with_any_statuses(name, given):
    assert drawn(name, turned(FULL, given)).verdict in captions.VERDICTS


@SLOW
@given(st.sampled_from([0.0, 0.5, 0.9]).flatmap(some_statuses))
def test_tables_and_figures_cope_with_any_statuses(given):
    platforms = {"local_cpu": MEASURED, "local_cpu_avx2": MEASURED}
    everything_else(turned(FULL, given), FLOOR, platforms)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("reason", [*STATUSES[2:], None])
def test_without_any_measurement_a_verdict_says_what_it_needs(name, reason):
    """None stands for a study without rows."""
    study = FULL.head(0) if reason is None else turned(FULL, [reason] * len(FULL))
    found = drawn(name, study, FLOOR.head(0), LADDERS.head(0))
    assert found.headline.startswith("inconclusive: needs ")


@pytest.mark.parametrize("study", [FULL.head(0), turned(FULL, [STATUSES[-1]] * len(FULL))])
def test_without_any_measurement_tables_and_figures_come_out(study):
    platforms = {"local_cpu": GONE, "local_cpu_avx2": GONE} if len(study) else {}
    everything_else(study, FLOOR.head(0), platforms)
    tuning_curves.draw(pd.DataFrame(columns=["platform", "dataset", "model"]), LOOKS)


def test_the_summary_counts_each_reason_once():
    reasons = [
        "ok",
        "widened",
        *["wrong: 0.031 > 0.001", "wrong: 2e-3 > 0.001"],
        *["unsupported: groups"] * 3,
        "simulated",
    ]
    study = pd.DataFrame({"status": reasons})
    assert statuses.summary(study) == [
        "6 of 8 rows are not ok:",
        "  3 unsupported: groups",
        "  2 wrong: 0.031 > 0.001 and the like",
        "  1 simulated",
    ]
    assert statuses.counted(study) == "not measured: 3 unsupported, 2 wrong, 1 simulated"
    assert statuses.summary(study.head(2)) == [] and statuses.counted(study.head(2)) == ""
