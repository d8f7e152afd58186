"""Pairs of techniques and structured sparsity: verdicts on tables with a known answer."""

from dataclasses import replace

import numpy as np
import pytest

from dlas.analysis import observation
from dlas.analysis.observation import assess
from dlas.analysis.observations import gains_multiply, structured_sparsity
from tests.unit.analysis import synthetic
from tests.unit.analysis.drawings import each_mark, markers
from tests.unit.analysis.verdicts import (
    AVX512,
    FLOOR,
    WIDENED,
    check,
    check_drift,
    check_missing,
    check_unpaired,
    unmeasured,
)

LOOKS = synthetic.LOOKS
NAMES = {"14": "gains_multiply", "15": "structured_sparsity"}
SHAPES = synthetic.STRUCTURED
ZEROS = ("none", "weight_pruning", *SHAPES)
ALONE = {"none": 1, "weight_pruning": 2.0, "channel_pruning": 1.5, "float16": 1.2, "int8": 3.0}


def observe(number, study, floor=FLOOR, **changes):
    tables = replace(synthetic.tables(study, floor), **changes)
    return assess(observation.load(NAMES[number]), tables)


def pairs(share, *, shares=None, **options):
    """Return a study in which pairs gain this share of the product, or one of their own in
    `shares`.
    """

    def latency(platform, dataset, model, compression, primitive, tuning):
        steps = synthetic.STEPS[compression]
        gain = np.prod([ALONE[step] for step in steps])
        if len(steps) > 1:
            own = share(dataset, model, primitive) if callable(share) else share
            gain *= (shares or {}).get(compression, own)
        return 1 / gain

    compressions = (*synthetic.COMPRESSIONS, *synthetic.PIPELINES)
    return synthetic.study(latency, compressions=compressions, **options)


def structured(block, n_m=1.0, **options):
    """Return a study whose networks have these speedups over weight pruning."""

    def latency(platform, dataset, model, compression, primitive, tuning):
        by = block(dataset, model) if callable(block) else block
        gain = {"none": 0.5, "weight_pruning": 1, "block_sparsity": by, "n_m_sparsity": n_m}
        return 1 / gain[compression]

    return synthetic.study(latency, **{"compressions": ZEROS} | options)


def in_turns(dataset, model, *_):
    """On every second network 0.6, on the others 1.3: less than 0.91 on average."""
    return 0.6 if model in synthetic.COMPACT else 1.3


LESS = pairs(0.7)
PRODUCT = pairs(1.0)
FASTER = structured(1.5)


@pytest.mark.parametrize(
    ("number", "study", "floor", "verdict"),
    [
        ("14", PRODUCT, FLOOR, "supported"),
        ("14", pairs(1.4), FLOOR, "supported"),
        ("14", LESS, FLOOR, "contradicted"),
        ("14", pairs(1 / gains_multiply.THRESHOLD), FLOOR, "inconclusive"),
        ("14", pairs(1.0, noise=1.0), FLOOR, "inconclusive"),
        # a noise floor that hides what counts
        ("14", PRODUCT, synthetic.noise_floor(gains_multiply.THRESHOLD**0.5), "inconclusive"),
        ("14", LESS, synthetic.noise_floor(1.15), "contradicted"),
        ("14", LESS, synthetic.noise_floor(1.2), "inconclusive"),
        ("15", FASTER, FLOOR, "supported"),
        ("15", structured(1.0), FLOOR, "contradicted"),
        ("15", structured(0.5), FLOOR, "contradicted"),
        ("15", structured(structured_sparsity.THRESHOLD), FLOOR, "inconclusive"),
        ("15", structured(1.5, noise=2.0), FLOOR, "inconclusive"),
        ("15", FASTER, synthetic.noise_floor(1.5), "inconclusive"),
        # N:M sparsity alone does not decide where there are blocks
        ("15", structured(1.0, n_m=2.0), FLOOR, "contradicted"),
        ("15", structured(1.5, n_m=0.5), FLOOR, "supported"),
        ("15", structured(1.0, n_m=2.0, compressions=ZEROS[:-1]), FLOOR, "supported"),
    ],
)
def test_verdict(number, study, floor, verdict):
    check(observe(number, study, floor), verdict)


@pytest.mark.parametrize(
    ("number", "study", "generalizes"),
    [
        ("14", PRODUCT, "yes"),
        ("14", LESS, "no"),
        ("14", pairs(in_turns), "open"),
        ("14", LESS[LESS.model == "vgg16"], "open"),
        ("15", FASTER, "yes"),
        ("15", structured(1.0), "no"),
        ("15", structured(lambda *network: 1.6 * in_turns(*network)), "open"),
        ("15", FASTER[FASTER.model == "vgg16"], "open"),
    ],
)
def test_what_it_says_on_other_networks(number, study, generalizes):
    found = observe(number, study)
    assert found.others.generalizes == generalizes
    assert generalizes == "open" or found.others.low <= found.estimate <= found.others.high


NEEDS = {"14": "a pipeline of two steps", "15": "after weight pruning and after structured"}


@pytest.mark.parametrize(
    ("number", "study"),
    [
        ("14", LESS[~LESS.compression.isin(list(synthetic.PIPELINES))]),
        ("14", LESS[LESS.compression != "none"]),
        ("14", LESS[LESS.compression.isin(["none", "weight_pruning", "pruned_int8"])]),
        ("14", unmeasured(LESS)),
        ("14", LESS.head(0)),
        ("15", FASTER[FASTER.compression != "weight_pruning"]),
        ("15", FASTER[~FASTER.compression.isin(SHAPES)]),
        ("15", unmeasured(FASTER)),
        ("15", FASTER.head(0)),
    ],
)
def test_missing_rows(number, study):
    check_missing(observe(number, study), NEEDS[number])


def test_the_study_of_the_paper_has_neither():
    """As in config.yaml: the figure says why it is empty."""
    study = synthetic.study(synthetic.realistic, compressions=synthetic.COMPRESSIONS)
    alone = {name: (name,) for name in synthetic.COMPRESSIONS}
    for number, name in NAMES.items():
        module, found = observation.load(name), observe(number, study, steps=alone)
        check_missing(found, NEEDS[number])
        for axis in module.draw(found, LOOKS)[0].axes:
            assert axis.texts[0].get_text().startswith("no ")


def test_a_study_without_steps_has_no_pairs():
    check_missing(observe("14", LESS, steps={}), NEEDS["14"])


@pytest.mark.parametrize(("number", "study"), [("14", LESS), ("15", FASTER)])
def test_no_verdict_without_a_noise_floor(number, study):
    assert observe(number, study, FLOOR.head(0)).verdict == "inconclusive"


@pytest.mark.parametrize(("number", "study"), [("14", LESS), ("15", FASTER)])
def test_only_pairs_of_samples_decide(number, study):
    tables = synthetic.tables(study, FLOOR)
    check_unpaired(NAMES[number], tables)
    check_drift(NAMES[number], tables)


def test_ratios_of_pairs_are_the_ones_that_were_put_in():
    shares = {"pruned_int8": 0.6, "slim_float16": 1.0, "slim_pruned": 0.8}
    found = observe("14", pairs(1.0, shares=shares))
    mean = np.prod(list(shares.values())) ** (1 / 3)
    assert found.estimate == pytest.approx(mean, rel=0.01) and found.n == 8
    assert found.evidence["ratio"].to_numpy() == pytest.approx(mean, rel=0.02)
    for name, share in shares.items():
        assert f"{share:.2f} with `{name}`" in found.reason
        own = found.shown["ratios"].set_index("compression").loc[name]
        assert own["ratio"].to_numpy() == pytest.approx(share, rel=0.03)
        assert len(own) == 8 * 2 * 3


def test_means_are_those_of_each_primitive_and_platform():
    shares = {"direct": 0.7, "gemm": 0.9, "spatial_pack": 1.1}
    means = observe("14", pairs(lambda *place: shares[place[-1]])).shown["means"]
    assert len(means) == 2 * 3
    for row in means.itertuples():
        assert row.low < shares[row.primitive] * 1.01 and row.high > shares[row.primitive] * 0.99
        assert row.ratio == pytest.approx(shares[row.primitive], rel=0.01)


def test_a_pair_counts_in_its_fastest_format():
    """CSR takes half of the time of dense weights after pruning, alone and in a pair."""
    dense, both = (observe("14", pairs(0.9, formats=one)) for one in (["dense"], ["dense", "csr"]))
    assert both.estimate == pytest.approx(dense.estimate, rel=0.05)
    only = pairs(0.9, formats=["dense", "csr"])
    only = only[(only.format == "dense") | (only.compression != "pruned_int8")]
    ratios = observe("14", only).shown["ratios"].set_index("compression")["ratio"]
    assert ratios["pruned_int8"].to_numpy() == pytest.approx(0.45, rel=0.03)


def test_a_pair_at_another_level_is_reported_and_not_judged():
    study = LESS.copy()
    other = (study["compression"] == "pruned_int8") | (study["model"] == "vgg16")
    study.loc[other & study["compression"].isin(["pruned_int8", "slim_pruned"]), "level"] = 0.8
    found = observe("14", study)
    shown = found.shown["ratios"]
    left_out = (shown["compression"] == "pruned_int8") | (
        (shown["compression"] == "slim_pruned") & (shown["model"] == "vgg16")
    )
    assert (shown["same_level"] == ~left_out).all()
    assert f"left out: {left_out.sum()} of {len(shown)}" in found.reason
    assert "pruned_int8" not in found.reason and found.n == 8


def test_pairs_that_are_all_at_another_level_need_one_that_is_not():
    study = LESS.copy()
    study.loc[study["compression"].isin(list(synthetic.PIPELINES)), "level"] = 0.1
    found = observe("14", study)
    check_missing(found, "pruned to the same level")
    assert len(found.shown["ratios"])
    for axis in gains_multiply.draw(found, LOOKS)[0].axes:
        assert {line.get_fillstyle() for line in markers(axis)} == {"none"}


def test_the_level_of_the_second_step_counts_where_it_has_a_ladder():
    """Channel pruning has the level 0.5, weight pruning 0.9, and so has their pair."""
    shown = observe("14", PRODUCT).shown["ratios"]
    assert shown["same_level"].all() and "slim_pruned" in set(shown["compression"])
    study = PRODUCT.copy()
    study.loc[study["compression"] == "slim_pruned", "level"] = 0.5
    shown = observe("14", study).shown["ratios"]
    assert not shown.loc[shown["compression"] == "slim_pruned", "same_level"].any()


UNREACHED = [
    ("digits", "vgg16", "pruned_int8"),
    ("digits", "resnet18", "weight_pruning"),
    ("photos", "resnet50", "block_sparsity"),
]


def test_a_network_without_a_level_is_no_pair_and_not_structured():
    shown = observe("14", pairs(0.7, unreached=UNREACHED)).shown
    left = set(shown["ratios"][["model", "compression"]].itertuples(index=False, name=None))
    assert ("vgg16", "pruned_int8") not in left and ("vgg16", "slim_pruned") in left
    # of its two steps, weight pruning has no level
    assert ("resnet18", "slim_pruned") not in left and ("resnet18", "slim_float16") in left
    assert set(shown["no_level"]["model"]) == {"vgg16"}
    shown = observe("15", structured(1.5, unreached=UNREACHED)).shown
    left = set(shown["ratios"][["model", "compression"]].itertuples(index=False, name=None))
    assert ("resnet50", "block_sparsity") not in left and ("resnet50", "n_m_sparsity") in left
    assert "resnet18" not in {model for model, _ in left}
    assert set(shown["no_level"]["compression"]) == {"weight_pruning", "block_sparsity"}


def test_a_pipeline_of_three_steps_is_no_pair():
    steps = synthetic.STEPS | {"slim_pruned": ("channel_pruning", "weight_pruning", "int8")}
    assert "slim_pruned" not in set(observe("14", LESS, steps=steps).shown["ratios"]["compression"])


def test_ratios_of_structured_networks_are_the_ones_that_were_put_in():
    found = observe("15", structured(1.5, n_m=0.8))
    assert found.estimate == pytest.approx(1.5, rel=0.01) and found.n == 8
    assert "`block_sparsity` 1.5" in found.reason and "8 of 8" in found.reason
    assert "beside it `n_m_sparsity` 0.80" in found.reason and "0 of 8" in found.reason
    ratios = found.evidence.groupby("compression")["ratio"].mean()
    assert ratios["n_m_sparsity"] == pytest.approx(0.8, rel=0.01)


def test_weight_pruning_counts_in_its_fastest_format():
    """CSR takes half of the time of dense weights, of which block sparsity has none here."""
    study = structured(1.5, formats=("dense", "csr"))
    study = study[(study.format == "dense") | (study.compression == "weight_pruning")]
    found = observe("15", study)
    assert found.estimate == pytest.approx(0.75, rel=0.01) and found.verdict == "contradicted"


def axes_of(number, study):
    module = observation.load(NAMES[number])
    return module.draw(observe(number, study), LOOKS)[0].axes


def test_each_pair_and_primitive_has_a_mark_and_each_primitive_its_mean():
    study = LESS.copy()
    study.loc[study["compression"] == "slim_float16", "level"] = 0.3
    for axis in axes_of("14", study):
        fills = [line.get_fillstyle() for line in markers(axis)]
        assert fills.count("full") == 8 * 2 * 3 and fills.count("none") == 8 * 3
        head, *means = axis.get_xlabel().splitlines()
        assert head == "speedup / product"
        assert [text.rsplit(" ", 3)[0] for text in means] == ["direct", "GEMM", "spatial pack"]
        assert all(" 0.70 [0." in text or " 0.69 [0." in text for text in means)


def test_each_structured_network_has_a_mark_with_the_edge_of_its_format():
    for axis in axes_of("15", structured(1.5, formats=("dense", "csr"))):
        colours = [line.get_color() for line in each_mark(axis)]
        assert {colours.count(LOOKS.colour(name)) for name in SHAPES} == {8 * 3}
        edges = {line.get_markeredgecolor() for line in each_mark(axis)}
        assert edges == {LOOKS.edge("csr")["markeredgecolor"]}


@pytest.mark.parametrize(
    "name",
    [
        "fastest_primitive",
        "sparsity_promise",
        "channel_pruning_promise",
        "primitive_by_precision",
        "native_precision",
    ],
)
def test_observations_that_name_their_techniques_know_no_others(name):
    """Pairs and structured networks in the table change nothing of them."""
    study = synthetic.study(
        synthetic.realistic,
        compressions=synthetic.EVERY_COMPRESSION,
        formats=("dense", "csr"),
        native=AVX512,
        widened=WIDENED,
        left=synthetic.left,
    )
    paper = study[study["compression"].isin(synthetic.COMPRESSIONS)]
    found, expected = (
        observation.load(name).observe(synthetic.tables(rows, FLOOR)) for rows in (study, paper)
    )
    assert found == expected and found.n > 0


@pytest.mark.parametrize("name", ["pruning_reach", "compact_architectures"])
def test_curves_of_pairs_change_no_reach(name):
    curves = synthetic.curves(synthetic.holding)
    found, expected = (
        observation.load(name).observe(synthetic.tables(curves=own))
        for own in (synthetic.with_pairs(curves), curves)
    )
    assert found == expected and found.n > 0


def test_pairs_are_compressions_like_others_where_all_are_compared():
    """On platforms, and as configurations to choose from."""
    study = pairs(1.0)
    tables = synthetic.tables(study, FLOOR)
    by_platform = observation.load("compression_speedup_by_platform").observe(tables)
    assert set(by_platform.evidence["compression"]) == set(study["compression"]) - {"none"}
    joint = observation.load("joint_choice").observe(tables)
    assert joint.evidence["joint"].str.startswith("`pruned_int8`").all()


def test_a_pair_without_a_level_is_no_compressed_network():
    """Its network is that of the other step alone, which counts once."""
    unreached = [
        (data, name, "pruned_int8") for data, nets in synthetic.MODELS.items() for name in nets
    ]
    study = pairs(1.0, unreached=unreached)
    tables = synthetic.tables(study, FLOOR)
    for name in ("compression_speedup_by_platform", "joint_choice", "datasets_differ"):
        without = synthetic.tables(study[study["compression"] != "pruned_int8"], FLOOR)
        found, expected = (observation.load(name).observe(one) for one in (tables, without))
        assert found.reason == expected.reason and found.n == expected.n
