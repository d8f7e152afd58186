"""Claims, rules and purity: each observation keeps to the same rules as all others."""

import pandas as pd
import pytest

from dlas import registry
from dlas.analysis import observation
from tests.unit.analysis import synthetic
from tests.unit.analysis.verdicts import AVX512, FLOOR, TUNINGS, WIDENED, observe

NAMES = registry.names("observation")
# On gains from tuning, or from configurations of which tuning is a part.
OF_TUNING = ("tuning_speedup", "tuning_changes_primitive", "sparsity_promise", "joint_choice")
STUDY = synthetic.study(
    synthetic.sparse,
    compressions=synthetic.COMPRESSIONS,
    formats=("dense", "csr"),
    tunings=TUNINGS,
    native=AVX512,
    widened=WIDENED,
    left=synthetic.left,
)
CURVES = synthetic.curves(synthetic.holding)


@pytest.mark.parametrize("name", NAMES)
def test_a_module_says_when_its_claim_holds(name):
    module = observation.load(name)
    assert "Supported:" in module.RULE and "Contradicted:" in module.RULE
    assert "RULE" in module.__doc__


@pytest.mark.parametrize("name", NAMES)
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


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(OF_TUNING)))
def test_tuned_rows_change_no_verdict_on_something_else(name):
    """GEMM alone is auto-scheduled, on one platform alone, and far faster then."""
    tuned = STUDY["tuning"] == "auto_scheduled"
    some = (STUDY["primitive"] == "gemm") & (STUDY["platform"] == "local_cpu")
    mixed = STUDY[~tuned | some].copy()
    times = ["latency_ms", "latency_ms_low", "latency_ms_high"]
    mixed.loc[tuned, times] /= 9
    found = observe(name, STUDY[~tuned], curves=CURVES)
    assert found.n > 0 and observe(name, mixed, curves=CURVES) == found


@pytest.mark.parametrize("name", NAMES)
def test_without_rows_a_verdict_needs_something(name):
    assert observe(name).headline.startswith("inconclusive: needs")
