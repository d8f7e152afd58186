"""Verdicts on synthetic tables with a known answer, and how often they are wrong."""

import numpy as np
import pandas as pd
import pytest
import synthetic

from dlas.analysis import observation

NAMES = {
    "01": "size_accuracy_latency",
    "04": "fastest_primitive",
    "07": "compression_speedup_by_platform",
}
COMPRESSED = ("none", "channel_pruning", "int8")
FLOOR = synthetic.noise_floor()
LADDER = {  # size, MACs and accuracy in one order
    "digits": {f"net{step}": (2.0**step, 10 * 2.0**step, 60 + 6 * step) for step in range(6)}
}
LADDER_FLOOR = synthetic.noise_floor(models=LADDER)


def observe(name, study, floor=FLOOR):
    return observation.load(name).observe(study, floor)


def by_macs(platform, dataset, model, compression, primitive, tuning):
    """Latency in the order of the networks' sizes, every primitive alike."""
    return LADDER.get(dataset, synthetic.MODELS.get(dataset))[model][1] / 30


def direct_wins(platform, dataset, model, compression, primitive, tuning):
    return 1.0 if primitive == "direct" else 1.3


def same_speedup(platform, dataset, model, compression, primitive, tuning):
    return {"none": 4, "channel_pruning": 2, "int8": 1}[compression] * (
        1.3 if platform == "local_cpu" else 1.7
    )


def hardware_speedup(platform, *rest):
    gain = 2.5 if rest[2] == "int8" and platform == "local_cpu" else 1
    return same_speedup(platform, *rest) / gain


def all_alike(*_):
    return 1.0


def ladder(latency, **options):
    return synthetic.study(latency, models=LADDER, **options)


@pytest.mark.parametrize(
    ("name", "study", "floor", "verdict"),
    [
        ("01", synthetic.study(synthetic.realistic), FLOOR, "supported"),
        ("01", ladder(by_macs), LADDER_FLOOR, "contradicted"),
        ("01", synthetic.study(synthetic.realistic), synthetic.noise_floor(9.0), "inconclusive"),
        ("04", synthetic.study(synthetic.realistic), FLOOR, "supported"),
        ("04", synthetic.study(direct_wins), FLOOR, "contradicted"),
        ("04", synthetic.study(synthetic.realistic), synthetic.noise_floor(4.0), "inconclusive"),
        ("04", synthetic.study(direct_wins, noise=0.3), FLOOR, "inconclusive"),
        ("07", synthetic.study(hardware_speedup, compressions=COMPRESSED), FLOOR, "supported"),
        ("07", synthetic.study(same_speedup, compressions=COMPRESSED), FLOOR, "contradicted"),
        (
            "07",
            synthetic.study(hardware_speedup, compressions=COMPRESSED, noise=1.0),
            FLOOR,
            "inconclusive",
        ),
        (
            "07",
            synthetic.study(hardware_speedup, compressions=COMPRESSED),
            synthetic.noise_floor(2.0),
            "contradicted",
        ),
    ],
)
def test_verdict(name, study, floor, verdict):
    found = observe(NAMES[name], study, floor)
    assert found.verdict == verdict, found
    assert found.n > 0 and found.reason
    if np.isfinite(found.ci_low):
        assert found.ci_low <= found.estimate <= found.ci_high


def unmeasured(study):
    return study.assign(
        status="unavailable: no such board",
        latency_ms=None,
        latency_ms_low=None,
        latency_ms_high=None,
    )


REALISTIC = synthetic.study(synthetic.realistic)
ONE_PLATFORM = synthetic.study(hardware_speedup, compressions=COMPRESSED, platforms=("local_cpu",))


@pytest.mark.parametrize(
    ("name", "study", "needs"),
    [
        ("01", REALISTIC[REALISTIC.model == "vgg16"], "two networks"),
        ("01", unmeasured(REALISTIC), "two networks"),
        ("01", REALISTIC.head(0), "two networks"),
        ("04", REALISTIC[REALISTIC.primitive == "direct"], "two or more primitives"),
        ("04", unmeasured(REALISTIC), "two or more primitives"),
        ("04", REALISTIC.head(0), "two or more primitives"),
        ("07", REALISTIC, "compressed networks"),
        ("07", ONE_PLATFORM, "a second platform"),
        ("07", unmeasured(synthetic.study(same_speedup, compressions=COMPRESSED)), "two networks"),
        ("07", REALISTIC.head(0), "compressed networks"),
    ],
)
def test_missing_rows(name, study, needs):
    found = observe(NAMES[name], study)
    assert found.verdict == "inconclusive"
    assert found.headline.startswith("inconclusive: needs") and needs in found.headline
    assert np.isnan(found.estimate)


@pytest.mark.parametrize("name", NAMES.values())
def test_no_verdict_without_a_noise_floor(name):
    study = synthetic.study(hardware_speedup, compressions=COMPRESSED)
    assert observe(name, study, FLOOR.head(0)).verdict in ("inconclusive", "contradicted")
    assert observe(name, study, FLOOR.head(0)).verdict != "supported"


NO_EFFECT = {
    # every network equally fast and accurate, sizes differ: any order in the data is noise
    "01": lambda seed: synthetic.study(all_alike, noise=0.02, seed=seed, top1=lambda *_: 95),
    # all primitives equally fast
    "04": lambda seed: synthetic.study(all_alike, noise=0.02, seed=seed),
    # the speedups of the two platforms differ by model at random, around none and around the threshold itself
    "07": lambda seed: synthetic.study(
        _random_speedup(seed), noise=0.02, seed=seed, compressions=COMPRESSED
    ),
}


def _random_speedup(seed):
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


@pytest.mark.parametrize("name", NAMES)
def test_a_claim_is_declared_supported_by_chance_in_at_most_five_percent(name):
    """The noise floor is switched off, so that the intervals and corrections alone hold the error rate."""
    draws = 120
    floor = synthetic.noise_floor(1.0)
    wrong = sum(
        observe(NAMES[name], NO_EFFECT[name](seed), floor).verdict == "supported"
        for seed in range(draws)
    )
    assert wrong <= 0.05 * draws


def test_one_clear_counterexample_is_enough():
    study = ladder(by_macs)
    largest = study["model"] == "net5"
    for column in ("latency_ms", "latency_ms_low", "latency_ms_high"):
        study.loc[largest, column] /= 40
    found = observe(NAMES["01"], study, LADDER_FLOOR)
    assert found.verdict == "supported"
    discordant = found.evidence[found.evidence["discordant"]]
    assert set(discordant["relation"]) == {"size-latency", "accuracy-latency"}
    assert all("net5" in (pair.first[0], pair.second[0]) for pair in discordant.itertuples())


def test_accuracy_against_size_is_counted_once_for_all_platforms():
    turned = {"digits": {"small": (1, 10, 99), "large": (4, 40, 60)}}
    study = synthetic.study(
        lambda platform, dataset, model, *_: turned[dataset][model][1] / 30, models=turned
    )
    evidence = observe(NAMES["01"], study, synthetic.noise_floor(models=turned)).evidence
    counted = evidence[evidence["relation"] == "size-accuracy"]
    assert len(counted) == 1 and counted["discordant"].all()
    assert len(evidence[evidence["relation"] == "size-latency"]) == 2


def test_winners_and_the_cost_of_one_primitive_for_all():
    found = observe(NAMES["04"], REALISTIC)
    winners = found.evidence.set_index(["dataset", "model", "platform"])["winner"]
    assert winners["digits", "mobilenet_v1", "local_cpu"] == "direct"
    assert winners["digits", "resnet18", "local_cpu"] == "spatial_pack"
    latency = REALISTIC.pivot(
        index=["dataset", "model", "platform"], columns="primitive", values="latency_ms"
    )
    cost = np.exp(np.log(latency.div(latency.min(axis=1), axis=0)).mean()).min()
    assert found.estimate == pytest.approx(cost)


def test_a_network_without_one_of_the_primitives_is_left_out():
    study = REALISTIC[~((REALISTIC.model == "vgg16") & (REALISTIC.primitive == "gemm"))]
    found = observe(NAMES["04"], study)
    assert "vgg16" not in set(found.evidence["model"]) and found.n == 14


def test_speedup_ratio_is_the_one_that_was_put_in():
    found = observe(NAMES["07"], synthetic.study(hardware_speedup, compressions=COMPRESSED))
    assert found.estimate == pytest.approx(2.5, rel=0.02)
    assert found.n == 8 and "int8" in found.reason
    ratios = found.evidence.set_index("compression")["ratio"]
    assert ratios["channel_pruning"] == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("name", NAMES.values())
def test_modules_say_what_they_are(name):
    module = observation.load(name)
    assert module.ORIGIN in ("abstract", "formulated")
    assert module.CLAIM and "Supported:" in module.RULE and "Contradicted:" in module.RULE
    assert "RULE" in module.__doc__


def test_order_of_the_rows_does_not_matter():
    study = synthetic.study(hardware_speedup, compressions=COMPRESSED)
    shuffled = study.sample(frac=1, random_state=0)
    for name in NAMES.values():
        first, second = observe(name, study), observe(name, shuffled)
        assert first.verdict == second.verdict and first.estimate == pytest.approx(second.estimate)


def test_observation_is_a_pure_function_of_the_tables():
    study, floor = REALISTIC.copy(), FLOOR.copy()
    for name in NAMES.values():
        observe(name, study, floor)
    pd.testing.assert_frame_equal(study, REALISTIC)
    pd.testing.assert_frame_equal(floor, FLOOR)
