"""An observation: its rule is stated, its verdict depends on the rows alone, it is drawn."""

import json

import pandas as pd
import pytest

from dlas.analysis import observation, panels
from dlas.analysis.observation import restored
from tests.unit.analysis import synthetic
from tests.unit.analysis.drawings import nothing_is_clipped
from tests.unit.analysis.verdicts import AVX512, FLOOR, WIDENED, observe

KIND = "observation"
# On gains from tuning, or from configurations of which tuning is a part.
OF_TUNING = ("tuning_speedup", "tuning_changes_primitive", "sparsity_promise", "joint_choice")
STUDY = synthetic.study(
    synthetic.sparse,
    compressions=synthetic.EVERY_COMPRESSION,
    formats=("dense", "csr"),
    tunings=synthetic.WAYS,
    native=AVX512,
    widened=WIDENED,
    left=synthetic.left,
)
CURVES = synthetic.curves(synthetic.holding)
EMPTY = pd.DataFrame(columns=STUDY.columns)


def test_a_module_says_when_its_claim_holds(name):
    module = observation.load(name)
    assert "Supported:" in module.RULE and "Contradicted:" in module.RULE
    assert "RULE" in module.__doc__
    assert module.READING.strip() and module.DATA.strip()


def test_a_verdict_is_a_pure_function_of_the_rows_in_any_order(name):
    tables = synthetic.tables(STUDY.copy(), FLOOR.copy(), CURVES.copy())
    module = observation.load(name)
    found = module.observe(tables)
    module.draw(found, synthetic.LOOKS)
    pd.testing.assert_frame_equal(tables.study, STUDY)
    pd.testing.assert_frame_equal(tables.noise_floor, FLOOR)
    pd.testing.assert_frame_equal(tables.curves, CURVES)
    shuffled = (table.sample(frac=1, random_state=0) for table in (STUDY, FLOOR, CURVES))
    other = observe(name, *shuffled)
    assert found.n > 0 and (found.verdict, found.n) == (other.verdict, other.n)
    assert found.estimate == pytest.approx(other.estimate, nan_ok=True)


@pytest.mark.parametrize("rows", [STUDY, STUDY.assign(status="failed: hung"), EMPTY])
def test_what_was_observed_is_drawn_from_its_record(name, rows):
    module = observation.load(name)
    found = observe(name, rows, FLOOR, CURVES if len(rows) else None)
    stored = restored(json.loads(json.dumps(found.record(), allow_nan=False)))
    figure = panels.draw(module, stored, module.PLUGIN.label, synthetic.LOOKS)
    assert nothing_is_clipped(figure)


def test_tuned_rows_change_no_verdict_on_something_else(name):
    """GEMM alone has other ways to schedule, on one platform alone, and is far faster then."""
    if name in OF_TUNING:
        pytest.skip("it is on tuning")
    tuned = STUDY["tuning"] != "untuned"
    some = (STUDY["primitive"] == "gemm") & (STUDY["platform"] == "local_cpu")
    mixed = STUDY[~tuned | some].copy()
    times = ["latency_ms", "latency_ms_low", "latency_ms_high"]
    mixed.loc[tuned, times] /= 9
    found = observe(name, STUDY[~tuned], curves=CURVES)
    assert found.n > 0 and observe(name, mixed, curves=CURVES) == found


def test_without_rows_a_verdict_needs_something(name):
    assert observe(name).headline.startswith("inconclusive: needs")
