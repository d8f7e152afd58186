"""How often a claim is decided by chance, on tables whose true effect is the claim's threshold
itself.

The noise floor is switched off throughout, so that the intervals and corrections alone hold the
error rate.
"""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from dlas.analysis import judging, observation
from dlas.analysis.observations import joint_choice
from tests.unit.analysis import synthetic
from tests.unit.analysis.thresholds import (
    DRAWS,
    EFFECTS,
    FOUR_MODELS,
    ONE_MODEL,
    alike,
    networks,
    observed,
    orders,
)
from tests.unit.analysis.verdicts import COMPRESSED, everything, joint, rank

QUICK_DRAWS = 20  # of them, in every run of the tests
# How many may be wrong: 5 %, and of few draws as many as that gives in 98 % of runs.
MAX_DECIDED = {QUICK_DRAWS: 3, DRAWS: 50}
NOISE = 0.02
NO_FLOOR = 1.0
# A quarter of the pairs are reversed; others have no order on photos, and noise could give them
# one.
A_QUARTER = orders((2, 1, 3, 4, 4, 4, 4, 4, 0))


def all_alike(*_):
    return 1.0


def same_on_both(seed):
    """The data sets have one order, drawn for each configuration, twice as different as the
    noise.
    """
    draw = np.random.default_rng(40_000 + seed)
    factors = np.exp(0.2 * draw.standard_normal(15))
    return lambda *configuration: factors[rank(*configuration[3:5])]


def worth_it_on_average(seed):
    """A joint choice is worth a network's own factor, at random; nowhere is it worse."""
    draw = np.random.default_rng(60_000 + seed)
    reach = np.log(joint_choice.THRESHOLD)
    own = {
        name: np.exp(draw.uniform(-reach, reach)) for nets in FOUR_MODELS.values() for name in nets
    }
    return lambda dataset, model: own[model]


# The claims on means: the mean of the networks that are here is the threshold, wherever they are
# themselves.
MEANS = (
    "compression_speedup_by_platform",
    "sparsity_promise",
    "channel_pruning_promise",
    "native_precision, native",
    "native_precision, elsewhere",
    "gains_multiply",
    "structured_sparsity",
)
# Of each part of each claim the tables of a draw, by its seed.
NO_EFFECT = {
    **{
        case: lambda seed, case=case: EFFECTS[case](
            1.0,
            networks(seed, 0.1, FOUR_MODELS, centred=True) if case in MEANS else alike,
            seed=seed,
            noise=NOISE,
        )
        for case in EFFECTS
    },
    "size_accuracy_latency": lambda seed: synthetic.study(
        all_alike,
        noise=NOISE,
        seed=seed,
        models=FOUR_MODELS,
        compressions=COMPRESSED,
        top1=lambda *_: 95,
    ),
    "datasets_differ": lambda seed: A_QUARTER(1.3, alike, noise=NOISE, seed=seed),
    "datasets_differ, not at all": lambda seed: everything(
        same_on_both(seed), noise=0.1, seed=seed, models=ONE_MODEL
    ),
}
# Other networks have the threshold on average.
GENERALIZING = {
    **{
        case: lambda seed, case=case: EFFECTS[case](
            1.0, networks(seed, 0.2), seed=seed, noise=0.004
        )
        for case in (
            "pruning_reach",
            "compact_architectures",
            "tuning_speedup, primitives",
            *MEANS,
        )
    },
    "joint_choice": lambda seed: EFFECTS["joint_choice"](
        1.0, worth_it_on_average(seed), seed=seed, noise=0.004
    ),
}
DRAWN = pytest.mark.parametrize(
    "draws", [QUICK_DRAWS, pytest.param(DRAWS, marks=pytest.mark.draws)]
)


def test_every_observation_is_here():
    modules = Path(observation.__file__).parent.glob("observations/[a-z]*.py")
    assert {case.split(",")[0] for case in NO_EFFECT} == {file.stem for file in modules}


@DRAWN
@pytest.mark.parametrize("case", NO_EFFECT)
def test_a_claim_is_declared_supported_by_chance_in_at_most_five_percent(case, draws):
    verdicts = [observed(case, NO_EFFECT[case](seed), NO_FLOOR).verdict for seed in range(draws)]
    assert verdicts.count("supported") <= MAX_DECIDED[draws]
    if case in EFFECTS:
        assert verdicts.count("contradicted") <= MAX_DECIDED[draws]


@DRAWN
@pytest.mark.parametrize("case", GENERALIZING)
def test_a_claim_is_said_to_generalize_by_chance_in_at_most_five_percent(case, draws):
    found = [observed(case, GENERALIZING[case](seed), NO_FLOOR).others for seed in range(draws)]
    assert [one.generalizes for one in found].count("yes") <= MAX_DECIDED[draws]


@pytest.mark.parametrize("total", range(1, 17))
def test_an_effect_of_no_more_than_a_share_of_networks_is_said_to_be_common_in_at_most_five_percent(
    total,
):
    counts = np.arange(total + 1)
    chances = stats.binom.pmf(counts, total, judging.COMMON)
    common = [judging.for_others_by_share(count, total).generalizes == "yes" for count in counts]
    assert chances[common].sum() <= 0.05 and common[-1] == (total > 2)


def test_hardly_a_conclusion_is_reversed_by_chance():
    """In 95 % of the tables none of all the pairs is found reversed."""
    case = "datasets_differ, not at all"
    found = [observed(case, NO_EFFECT[case](seed), NO_FLOOR) for seed in range(100)]
    reversed_ones = [(one.evidence["outcome"] == "reversed").any() for one in found]
    assert sum(reversed_ones) <= 0.05 * len(found)
    assert sum(one.n for one in found) > len(found)  # conclusions there were


def test_that_the_lowest_of_many_is_low_by_chance_is_no_gain():
    """All configurations are equally fast, and of so much noise that the fastest one seems far from
    the others.
    """
    options = {"compressions": synthetic.COMPRESSIONS, "models": FOUR_MODELS, "noise": 0.2}
    for seed in range(20):
        study = joint(all_alike, seed=seed, **options)
        found = observed("joint_choice", study, NO_FLOOR)
        assert found.verdict != "supported" and found.estimate < 1.05
        best = study.groupby(["platform", "dataset", "model"])["latency_ms"].agg(["min", "median"])
        assert (best["median"] / best["min"]).mean() > 1.3
