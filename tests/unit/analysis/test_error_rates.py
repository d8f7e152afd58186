"""How often a claim is declared supported by chance, on tables in which it does not hold or just not yet.

The noise floor is switched off throughout, so that the intervals and corrections alone hold the error rate.
"""

from pathlib import Path

import numpy as np
import pytest

from dlas.analysis import observation
from dlas.analysis.observations import joint_choice, sparsity_promise
from tests.unit.analysis import synthetic
from tests.unit.analysis.verdicts import (
    COMPRESSED,
    PRUNED,
    both_tunings,
    channel_share,
    everything,
    gaining,
    joint,
    pruned,
    quantized,
    rank,
    tuned,
    twice,
)

DRAWS = 1000
FEW = 100  # of them, in every run of the tests
FLOOR = synthetic.noise_floor(1.0)
FOUR_MODELS = {dataset: dict(list(nets.items())[:2]) for dataset, nets in synthetic.MODELS.items()}
ONE_MODEL = {
    dataset: {"mobilenet_v2": nets["mobilenet_v2"]} for dataset, nets in synthetic.MODELS.items()
}


def all_alike(*_):
    return 1.0


def random_curves(seed, weight, channel, compact):
    """Each network has a spread of its own around these reaches of weight and channel pruning."""
    draw = np.random.default_rng(20_000 + seed)

    def holds(dataset, model, technique):
        reach = weight if technique == "weight_pruning" else channel
        reach *= compact if model in synthetic.COMPACT else 1
        return reach * np.exp(0.2 * draw.standard_normal()) * (1.3 if dataset == "digits" else 1)

    return {"curves": synthetic.curves(holds, compressions=PRUNED, images=400, seed=seed)}


def what_searches_find(seed):
    """Around the same speedup everywhere."""
    draw = np.random.default_rng(30_000 + seed)
    found = tuned(lambda *_: 2 * np.exp(0.1 * draw.standard_normal()))
    return both_tunings(found, seed=seed, models=FOUR_MODELS)


def random_speedup(seed):
    """The speedups of the platforms differ by model at random, around the threshold itself and less."""
    draw = np.random.default_rng(10_000 + seed)
    factors = {}

    def latency(platform, dataset, model, compression, primitive, tuning):
        if compression == "none":
            return 4.0
        key = (platform, dataset, model, compression)
        if key not in factors:
            factors[key] = np.exp(0.1 * draw.standard_normal())
        return factors[key] * (2.0 if platform == "local_cpu" else 2.0 * 1.25)

    return latency


def break_even_at_the_threshold(seed):
    """Primitives break even far from one another, platforms as far as does not count yet; networks lie off the line."""
    draw = np.random.default_rng(40_000 + seed)
    off = {}

    def latency(platform, dataset, model, compression, primitive, tuning):
        if compression == "none":
            return 1.0
        at = {"direct": 0.3, "gemm": 0.5, "spatial_pack": 0.7}[primitive]
        at += sparsity_promise.APART if platform == "local_cpu" else 0
        own, alone = (
            off.setdefault(key, draw.standard_normal())
            for key in ((dataset, model), (dataset, model, platform, primitive))
        )
        relative = 0.2 + 0.8 / at * synthetic.left(dataset, model, compression)
        return 2 * relative * np.exp(0.05 * own + 0.02 * alone)  # CSR takes half of it

    return latency


def equal_shares(seed):
    """Channel pruning reaches more of its promise than weight pruning on some networks, less on others."""
    draw = np.random.default_rng(50_000 + seed)
    off = {}

    def latency(platform, dataset, model, compression, primitive, tuning):
        key = (dataset, model, compression)
        shift = off.setdefault(key, 0.2 * draw.standard_normal())
        before = channel_share(0.5)(platform, dataset, model, compression, primitive, tuning)
        return before * (np.exp(shift) if compression != "none" else 1)

    return latency


def at_the_worth(platform, dataset, model, compression, primitive, tuning):
    """The joint optimum is faster by what is not worth it yet, among many that are equally fast."""
    return 1 / joint_choice.WORTH if (compression, primitive) == ("int8", "gemm") else 1.0


def same_on_both(seed):
    """The data sets have one order, drawn for each configuration, twice as different as the noise."""
    draw = np.random.default_rng(40_000 + seed)
    factors = np.exp(0.2 * draw.standard_normal(15))
    return lambda *configuration: factors[rank(*configuration[3:5])]


NOISY = {"noise": 0.3, "models": FOUR_MODELS}
# Of each observation the tables of a draw, by its seed; a study where it is not said.
NO_EFFECT = {
    "size_accuracy_latency": lambda seed: synthetic.study(
        all_alike, noise=0.02, seed=seed, top1=lambda *_: 95
    ),
    "pruning_reach": lambda seed: random_curves(seed, 3.75, 3.0, 1.0),  # at the threshold
    "compact_architectures": lambda seed: random_curves(seed, 10.0, 3.0, 0.8),
    "fastest_primitive": lambda seed: synthetic.study(all_alike, noise=0.02, seed=seed),
    "tuning_speedup": lambda seed: both_tunings(tuned(twice), seed=seed, **NOISY),
    "tuning_speedup, by chance in the search": what_searches_find,
    "tuning_changes_primitive": lambda seed: both_tunings(tuned(twice), seed=seed, **NOISY),
    "compression_speedup_by_platform": lambda seed: synthetic.study(
        random_speedup(seed), noise=0.02, seed=seed, compressions=COMPRESSED
    ),
    "sparsity_promise": lambda seed: pruned(
        break_even_at_the_threshold(seed),
        compressions=("none", "weight_pruning"),
        noise=0.01,
        seed=seed,
    ),
    "channel_pruning_promise": lambda seed: pruned(equal_shares(seed), noise=0.02, seed=seed),
    "primitive_by_precision": lambda seed: quantized(all_alike, seed=seed, **NOISY),
    "native_precision, no gain": lambda seed: quantized(gaining(1.0, 0.5), seed=seed, **NOISY),
    "native_precision, gain elsewhere": lambda seed: quantized(
        gaining(4.0, 1.1), seed=seed, **NOISY
    ),
    "datasets_differ": lambda seed: everything(
        same_on_both(seed), noise=0.1, seed=seed, models=ONE_MODEL
    ),
    "joint_choice": lambda seed: joint(at_the_worth, noise=0.02, seed=seed, models=FOUR_MODELS),
}


def observed(case, seed):
    tables = NO_EFFECT[case](seed)
    tables = tables if isinstance(tables, dict) else {"study": tables}
    module = observation.load(case.split(",")[0])
    return module.observe(synthetic.tables(floor=FLOOR, **tables))


def test_every_observation_is_here():
    modules = Path(observation.__file__).parent.glob("observations/[a-z]*.py")
    assert {case.split(",")[0] for case in NO_EFFECT} == {file.stem for file in modules}


@pytest.mark.parametrize("draws", [FEW, pytest.param(DRAWS, marks=pytest.mark.draws)])
@pytest.mark.parametrize("case", NO_EFFECT)
def test_a_claim_is_declared_supported_by_chance_in_at_most_five_percent(case, draws):
    verdicts = [observed(case, seed).verdict for seed in range(draws)]
    assert verdicts.count("supported") <= 0.05 * draws


def test_hardly_a_conclusion_is_reversed_by_chance():
    """In 95 % of the tables none of all the pairs is found reversed."""
    found = [observed("datasets_differ", seed) for seed in range(100)]
    reversed_ones = [(one.evidence["outcome"] == "reversed").any() for one in found]
    assert sum(reversed_ones) <= 0.05 * len(found)
    assert sum(one.n for one in found) > len(found)  # conclusions there were


def test_that_the_lowest_of_many_is_low_by_chance_is_no_gain():
    """All configurations are equally fast, and of so much noise that the fastest one seems far from the others."""
    options = {"compressions": synthetic.COMPRESSIONS, "models": FOUR_MODELS, "noise": 0.2}
    for seed in range(20):
        study = joint(all_alike, seed=seed, **options)
        found = joint_choice.observe(synthetic.tables(study, FLOOR))
        assert found.verdict != "supported" and found.estimate < 1.05
        best = study.groupby(["platform", "dataset", "model"])["latency_ms"].agg(["min", "median"])
        assert (best["median"] / best["min"]).mean() > 1.3
