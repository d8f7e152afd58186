"""How often a claim is decided rightly whose true effect is beyond its threshold by twice the noise
floor.

In logarithms: the effect is the threshold times the square of the noise floor, or over it.
"""

import numpy as np
import pytest

from dlas import registry
from tests.unit.analysis import synthetic
from tests.unit.analysis.thresholds import DRAWS, EFFECTS, alike, in_order, observed, orders

# Of latencies, with the noise of a study that has such a noise floor.
FLOOR, NOISE = 1.02, 0.004
# Of the compressions at equal accuracy: how far an interval from the test images reaches about.
FLOORS = {"pruning_reach": 1.22, "compact_architectures": 1.65}
REACHED = 0.8
QUICK_DRAWS = 10  # draws, in every run of the tests
SUPPORTED = EFFECTS | {
    # The larger of two networks is the faster one.
    "size_accuracy_latency": in_order(lambda factor, size: size if size < 16 else 8 / factor),
    "datasets_differ": orders(range(8, -1, -1)),
}
CONTRADICTED = EFFECTS | {
    # Each network is slower than the next smaller one by the factor.
    "size_accuracy_latency": in_order(lambda factor, size: factor ** np.log2(size)),
    "datasets_differ": orders(range(9)),
}
# Whose threshold is the noise floor itself.
RELATIVE_TO_NOISE = ("size_accuracy_latency", "datasets_differ")


def decided(case, verdict, seed):
    """Return whether a claim gets this verdict, which is true, in a draw."""
    factor = FLOORS.get(case, FLOOR) ** 2
    if case in RELATIVE_TO_NOISE:
        factor *= FLOOR
    elif verdict == "contradicted":
        factor = 1 / factor
    tables = (SUPPORTED if verdict == "supported" else CONTRADICTED)[case]
    return observed(case, tables(factor, alike, seed=seed, noise=NOISE), FLOOR).verdict == verdict


def test_every_claim_is_here():
    assert set(SUPPORTED) == set(CONTRADICTED)
    named = {case.split(",")[0] for case in SUPPORTED}
    assert named == set(registry.names("observation"))


@pytest.mark.parametrize("draws", [QUICK_DRAWS, pytest.param(DRAWS, marks=pytest.mark.draws)])
@pytest.mark.parametrize("verdict", ["supported", "contradicted"])
@pytest.mark.parametrize("case", SUPPORTED)
def test_a_true_verdict_is_reached_in_at_least_eighty_percent(case, verdict, draws):
    assert sum(decided(case, verdict, seed) for seed in range(draws)) >= REACHED * draws


@pytest.mark.parametrize("case", FLOORS)
def test_ladders_that_all_hold_to_their_end_decide_nothing(case):
    curves = synthetic.curves(lambda *_: 1000.0)
    found = observed(case, synthetic.tables(curves=curves), FLOOR)
    assert (found.verdict, found.others.generalizes) == ("inconclusive", "open")
