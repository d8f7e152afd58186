"""Verdicts on precisions and data sets, on synthetic tables with a known answer."""

from itertools import combinations, product

import numpy as np
import pytest

from tests.unit.analysis import synthetic
from tests.unit.analysis.drawings import draw, markers
from tests.unit.analysis.verdicts import (
    AVX512,
    FLOOR,
    QUANTIZED,
    WIDENED,
    check,
    check_drift,
    check_missing,
    check_unpaired,
    direct_wins,
    everything,
    gaining,
    network_models,
    observe,
    on,
    quantized,
    rank,
    unmeasured,
)

VARIES, NATIVE, DATASETS = "primitive_by_precision", "native_precision", "datasets_differ"
NAMES = (VARIES, NATIVE, DATASETS)
SHARED = "mobilenet_v2"  # the one model of both data sets


def integers_turn(platform, dataset, model, compression, primitive, tuning):
    """GEMM is fastest on 8-bit integers, direct otherwise."""
    winner = "gemm" if compression == "int8" else "direct"
    return 1.0 if primitive == winner else 1.3


def turned(share):
    """Return a latency in whose order on the photos this share of the pairs is reversed, roughly:
    the fastest ones.
    """

    def latency(platform, dataset, model, compression, primitive, tuning):
        place, count = rank(compression, primitive), round(15 * share**0.5)
        if dataset == "photos" and place < count:
            place = count - 1 - place
        return 1.3**place

    return latency


def one_wins_on_one_platform(*configuration):
    return direct_wins(*configuration) if configuration[0] == "local_cpu" else 1.0


@pytest.mark.parametrize(
    ("name", "study", "floor", "verdict"),
    [
        (VARIES, quantized(integers_turn), FLOOR, "supported"),
        (VARIES, quantized(direct_wins), FLOOR, "contradicted"),
        (VARIES, quantized(one_wins_on_one_platform), FLOOR, "inconclusive"),
        (NATIVE, quantized(gaining(2.0, 0.7)), FLOOR, "supported"),
        (NATIVE, quantized(gaining(2.0, 0.7, ["gemm"])), FLOOR, "supported"),
        (NATIVE, quantized(gaining(2.0, 1.5)), FLOOR, "contradicted"),
        (NATIVE, quantized(gaining(1.0, 0.7)), FLOOR, "contradicted"),
        (NATIVE, quantized(gaining(2.0, 0.7, techniques=["int8"])), FLOOR, "contradicted"),
        (NATIVE, quantized(gaining(2.0, 1.1)), FLOOR, "inconclusive"),
        (NATIVE, quantized(gaining(2.0, 0.7), noise=1.5), FLOOR, "inconclusive"),
        (NATIVE, quantized(gaining(2.0, 0.7)), synthetic.noise_floor(2.0), "inconclusive"),
        (NATIVE, quantized(gaining(2.0, 0.7)), synthetic.noise_floor(2.2), "inconclusive"),
        (DATASETS, everything(turned(1.0)), FLOOR, "supported"),
        (DATASETS, everything(turned(0.5)), FLOOR, "supported"),
        (DATASETS, everything(turned(0.0)), FLOOR, "contradicted"),
        (DATASETS, everything(turned(0.1)), FLOOR, "contradicted"),
        (DATASETS, everything(turned(0.0), noise=0.4), FLOOR, "inconclusive"),
        (DATASETS, everything(turned(0.7), noise=0.3), FLOOR, "inconclusive"),
        (DATASETS, everything(turned(1.0)), synthetic.noise_floor(25.0), "inconclusive"),
    ],
)
def test_verdict(name, study, floor, verdict):
    check(observe(name, study, floor), verdict)


def test_primitives_of_too_much_noise_are_in_no_order():
    found = observe(VARIES, quantized(integers_turn, noise=0.5))
    assert found.verdict == "inconclusive" and set(found.evidence["outcome"]) == {"unclear"}
    found = observe(VARIES, quantized(integers_turn), synthetic.noise_floor(1.3))
    assert found.verdict == "inconclusive" and "changes" not in set(found.evidence["outcome"])
    found = observe(VARIES, quantized(integers_turn), synthetic.noise_floor(1.4))
    assert found.verdict == "inconclusive" and set(found.evidence["outcome"]) == {"unclear"}


QUANTIZED_STUDY = quantized(integers_turn)
EVERYTHING = everything(turned(0.0))
NO_INTEGERS = quantized(gaining(2.0, 0.7), compressions=("none", "float16"))


@pytest.mark.parametrize(
    ("name", "study", "needs"),
    [
        (VARIES, synthetic.study(direct_wins), "two precisions"),
        (VARIES, QUANTIZED_STUDY[QUANTIZED_STUDY.primitive == "gemm"], "two precisions"),
        (VARIES, QUANTIZED_STUDY[QUANTIZED_STUDY.compression == "int8"], "two precisions"),
        (VARIES, unmeasured(QUANTIZED_STUDY), "two precisions"),
        (VARIES, QUANTIZED_STUDY.head(0), "two precisions"),
        (NATIVE, synthetic.study(direct_wins), "native arithmetic"),
        (NATIVE, quantized(direct_wins, platforms=("local_cpu",)), "native arithmetic"),
        (NATIVE, quantized(direct_wins, platforms=("local_cpu_avx2",)), "one without"),
        (NATIVE, quantized(direct_wins, native=()), "native arithmetic"),
        (NATIVE, QUANTIZED_STUDY[QUANTIZED_STUDY.compression != "none"], "native arithmetic"),
        (NATIVE, unmeasured(QUANTIZED_STUDY), "native arithmetic"),
        (NATIVE, QUANTIZED_STUDY.head(0), "native arithmetic"),
        (DATASETS, EVERYTHING[EVERYTHING.dataset == "photos"], "two data sets"),
        (DATASETS, EVERYTHING[EVERYTHING.model != SHARED], "two data sets"),
        (DATASETS, EVERYTHING[EVERYTHING.primitive == "gemm"].head(1), "two data sets"),
        (DATASETS, unmeasured(EVERYTHING), "two data sets"),
        (DATASETS, EVERYTHING.head(0), "two data sets"),
    ],
)
def test_missing_rows(name, study, needs):
    check_missing(observe(name, study), needs)


@pytest.mark.parametrize("name", NAMES)
def test_no_verdict_without_a_noise_floor(name):
    study = everything(turned(1.0), native=AVX512, widened=WIDENED)
    check_missing(observe(name, study, FLOOR.head(0)), "needs")


def test_costs_of_varying_networks_are_those_that_were_put_in():
    """Direct loses 1.5 on integers, GEMM 1.2 in the other precisions: less."""

    def latency(platform, dataset, model, compression, primitive, tuning):
        turns = compression == "int8" and model in synthetic.COMPACT
        cost = 1.5 if turns else 1.2
        return 1.0 if primitive == ("gemm" if turns else "direct") else cost

    found = observe(VARIES, quantized(latency))
    assert found.n == 16 and found.estimate == pytest.approx(1.2, rel=0.02)
    varying = found.evidence[found.evidence["outcome"] == "changes"]
    assert set(varying["model"]) == set(synthetic.COMPACT)
    assert set(varying["none"]) == set(varying["float16"]) == {"direct"}
    assert set(varying["int8"]) == {"gemm"} and len(varying) == 8
    assert varying["loss"].to_numpy() == pytest.approx(1.2, rel=0.03)
    stays = found.evidence[found.evidence["outcome"] == "stays"]
    assert stays["loss"].to_numpy() == pytest.approx(1, abs=0.01) and len(stays) == 8
    assert "costs 1.2" in found.reason and "`gemm` in int8" in found.reason


@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [(1.001, 1.5, "stays"), (1.3, 1.001, "stays"), (1.03, 1.5, "unclear"), (1.3, 1.03, "unclear")],
)
def test_a_network_varies_only_where_both_orders_cost_something(before, after, outcome):
    """Direct is fastest in float32 by the first factor, GEMM on 8-bit integers by the second."""

    def latency(platform, dataset, model, compression, primitive, tuning):
        if compression == "int8":
            return 1.0 if primitive == "gemm" else after
        return 1.0 if primitive == "direct" else before

    noise = 0.0001 if outcome == "stays" else 0.02
    found = observe(VARIES, quantized(latency, noise=noise))
    assert outcome in set(found.evidence["outcome"]) <= {"stays", "unclear"}
    assert found.verdict == {"stays": "contradicted", "unclear": "inconclusive"}[outcome]
    assert found.n == 16
    assert found.estimate == pytest.approx(min(before, after), rel=5 * noise)


def test_a_network_is_compared_in_the_precisions_that_have_every_primitive():
    study = QUANTIZED_STUDY
    gone = (study.model == "vgg16") & (study.primitive == "direct")
    found = observe(VARIES, study[~(gone & (study.compression == "float16"))])
    assert found.n == 16
    assert set(found.evidence.loc[found.evidence["model"] == "vgg16", "float16"]) == {""}
    found = observe(VARIES, study[~(gone & (study.compression != "none"))])
    assert found.n == 14 and "vgg16" not in set(found.evidence["model"])


def others_turn(*configuration):
    """GEMM is fastest in pruned networks and in auto-tuned code, direct otherwise."""
    pruned = configuration[3] in ("weight_pruning", "channel_pruning")
    winner = "gemm" if pruned or configuration[5] == "autotuned" else "direct"
    return 1.0 if configuration[4] == winner else 1.3


def test_pruning_and_tuning_are_no_precisions():
    study = everything(others_turn, formats=("dense", "csr"), tunings=("untuned", "autotuned"))
    found = observe(VARIES, study)
    assert found.verdict == "contradicted" and found.n == 16


def test_mean_speedups_are_those_that_were_put_in():
    found = observe(NATIVE, quantized(gaining(2.0, 0.7, ["gemm"])))
    assert found.estimate == pytest.approx(2, rel=0.02) and found.n == 8
    means = found.evidence.set_index(["compression", "platform", "primitive"])
    assert len(means) == 2 * 2 * 3 and set(means["networks"]) == {8}
    for technique in ("float16", "int8"):
        one = means.loc[technique, "local_cpu", "gemm"]
        assert one["native"] and one["speedup"] == pytest.approx(2, rel=0.02)
        one = means.loc[technique, "local_cpu_avx2", "gemm"]
        assert not one["native"] and one["speedup"] == pytest.approx(0.7, rel=0.02)
        one = means.loc[technique, "local_cpu", "direct"]
        assert one["outcome"] == "does not" and one["speedup"] == pytest.approx(0.8, rel=0.02)
    assert "where native (`gemm` on `local_cpu`" in found.reason


def test_what_is_native_everywhere_or_nowhere_is_not_judged():
    """float16 gains nothing; where no platform has it, that says nothing on the claim."""
    study = quantized(
        gaining(2.0, 0.7, techniques=["int8"]),
        native=[("int8", "local_cpu")],
        widened=[("float16", platform) for platform in synthetic.PLATFORMS],
    )
    found = observe(NATIVE, study)
    assert found.verdict == "supported" and set(found.evidence["compression"]) == {"int8"}


@pytest.mark.parametrize("columns", [{"peak_fraction": np.nan}, {"status": "widened"}])
def test_the_study_alone_says_what_is_native(columns):
    """A GPU has no measured peak; float16 may be widened in a platform's status."""
    study = quantized(gaining(2.0, 0.7))
    verdict = observe(NATIVE, study).verdict
    assert observe(NATIVE, study.assign(**columns)).verdict == verdict == "supported"


def test_rows_of_which_nobody_knows_whether_they_are_native_are_left_out():
    study = quantized(gaining(2.0, 0.7)).astype({"native": object})
    widening = (study["platform"] == "local_cpu_avx2") & (study["dtype"] == "float16")
    found = observe(NATIVE, study.assign(native=study["native"].mask(widening)))
    assert found.verdict == "supported" and set(found.evidence["compression"]) == {"int8"}
    check_missing(observe(NATIVE, study.assign(native=np.nan)), "native arithmetic")


def test_every_native_platform_has_to_gain():
    """A third platform has the arithmetic and gains nothing."""
    platforms = (*synthetic.PLATFORMS, "board")
    study = quantized(
        gaining(2.0, 0.7),
        platforms=platforms,
        native=[*AVX512, ("float16", "board"), ("int8", "board")],
    )
    found = observe(NATIVE, study, synthetic.noise_floor(platforms=platforms))
    assert found.verdict == "contradicted"


def test_conclusions_are_counted_in_both_data_sets():
    found = observe(DATASETS, everything(turned(1.0)))
    each = 15 * 14 // 2
    assert found.n == 2 * each and found.estimate == 1 and found.ci_low == found.ci_high == 1
    assert (found.evidence["model"] == SHARED).sum() == found.n == len(found.evidence)
    assert f"takes at most {1.3**14:.1f}"[:-1] in found.reason
    # on one of the data sets all are alike, so that what the other says is neither reversed nor
    # holds
    study = everything(lambda *names: turned(0.0)(*names) if names[1] == "digits" else 1.0)
    found = observe(DATASETS, study)
    assert (found.ci_low, found.ci_high) == (0, 1) and np.isnan(found.estimate)
    assert found.n == 2 * each and found.verdict == "inconclusive"


@pytest.mark.parametrize("share", [0.0, 0.2, 0.4, 1.0])
def test_the_interval_holds_the_share_that_was_put_in(share):
    study = everything(turned(share), noise=0.03)
    found = observe(DATASETS, study)
    variants = list(product(synthetic.COMPRESSIONS, synthetic.PRIMITIVES))
    costs = [
        [turned(share)("", dataset, SHARED, *variant, "untuned") for variant in variants]
        for dataset in synthetic.MODELS
    ]
    signs = [
        [np.sign(side[one] - side[other]) for one, other in combinations(range(len(side)), 2)]
        for side in costs
    ]
    true = np.mean(np.multiply(*signs) < 0)
    assert found.ci_low <= true <= found.ci_high and found.ci_low <= found.estimate


def test_few_conclusions_say_nothing():
    some = EVERYTHING.primitive.isin(["gemm", "direct"]) & (EVERYTHING.compression != "int8")
    some &= EVERYTHING.compression.isin(["none", "float16"])
    found = observe(DATASETS, EVERYTHING[some & (EVERYTHING.platform == "local_cpu")])
    assert found.n == 6 and found.ci_high == 0 and found.verdict == "inconclusive"


def test_the_models_of_one_data_set_alone_are_not_judged():
    """They differ, whatever the data set: in the means every order is reversed, on the shared model
    none.
    """

    def latency(*configuration):
        dataset = "photos" if configuration[2] in synthetic.MODELS["photos"] else "digits"
        dataset = "digits" if configuration[2] == SHARED else dataset
        return turned(1.0)(configuration[0], dataset, *configuration[2:])

    found = observe(DATASETS, everything(latency))
    assert found.verdict == "contradicted" and found.estimate == 0
    assert set(found.evidence["model"]) == {SHARED}
    means = found.shown["latencies"][found.shown["latencies"]["model"] == "all models"]
    orders = means.groupby("platform")[["latency_ms", "latency_ms_other"]].corr("spearman")
    assert len(means) == 2 * 15 and orders.to_numpy().min() < -0.8


def test_a_pruned_network_without_a_level_has_no_place_in_an_order():
    unreached = [("photos", SHARED, "channel_pruning"), ("photos", "resnet50", "weight_pruning")]
    found = observe(DATASETS, everything(turned(0.0), unreached=unreached))
    assert found.n == 2 * (12 * 11 // 2)
    means = found.shown["latencies"][found.shown["latencies"]["model"] == "all models"]
    assert len(means) == 2 * 9


FULL = everything(synthetic.realistic, formats=("dense", "csr"), native=AVX512, widened=WIDENED)


def test_the_fastest_primitive_of_each_precision_is_at_one_and_named():
    _, found, figure = draw(VARIES, FULL)
    for axis, platform in zip(figure.axes, synthetic.PLATFORMS, strict=True):
        own = found.evidence[found.evidence["platform"] == platform]
        marks = [line for line in markers(axis) if line.get_linestyle() == "None"]
        assert len(marks) == 8 * 3 * 3  # networks, precisions, primitives
        at_one = [line for line in marks if line.get_xdata()[0] == pytest.approx(1)]
        for name in QUANTIZED:
            shown = [
                line.get_marker()
                for line in at_one
                if line.get_color() == synthetic.LOOKS.colour(name)
            ]
            assert sorted(shown) == sorted(synthetic.LOOKS.marker(winner) for winner in own[name])
        names = [text for text in axis.texts if text.get_fontsize() < 6]
        winning = [synthetic.LOOKS.label(winner) for name in QUANTIZED for winner in own[name]]
        assert sorted(text.get_text() for text in names) == sorted(winning)
        bold = sum(text.get_fontweight() == "bold" for text in names)
        assert bold == 3 * (own["outcome"] == "changes").sum()


def test_a_mark_is_pale_where_its_type_is_not_native():
    figure = draw(NATIVE, FULL)[2]
    for axis, pale in zip(figure.axes, (0, 8 * 2 * 3), strict=True):
        marks = markers(axis)
        assert len(marks) == 8 * 2 * 3  # networks, techniques, primitives
        assert sum(line.get_markerfacecolor() != line.get_color() for line in marks) == pale
        assert ("not native" in axis.get_xlabel()) == (pale > 0)
    assert "not native" in [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize(("share", "lines"), [(0.0, 0), (0.04, 1), (1.0, 0)])
def test_one_mark_for_each_configuration_of_both_data_sets(share, lines):
    study = everything(turned(share), unreached=[("photos", SHARED, "channel_pruning")])
    _, found, figure = draw(DATASETS, study)
    assert len(figure.axes) == 2 * 2  # platforms; the shared model, and all models
    assert ["not judged" in axis.get_xlabel() for axis in figure.axes] == [False] * 2 + [True] * 2
    for axis in figure.axes:
        assert len(markers(axis)) == 4 * 3  # compressions, primitives
        assert axis.get_xlim() == pytest.approx(axis.get_ylim())
        joined = [line for line in axis.lines if line.get_linestyle() == ":"]
        assert len(joined) == (0 if "not judged" in axis.get_xlabel() else lines)
    reversed_ = (found.evidence["outcome"] == "reversed") & (found.evidence["model"] == SHARED)
    counted = f"{reversed_.sum() // 2} reversed"
    assert all(counted in axis.get_xlabel() for axis in figure.axes[:2])


def models_of_both(count):
    return network_models(count) | network_models(count, "photos")


MANY = {"models": network_models(14)}
# Of each observation the options of a study, and latencies: of an effect that all networks have,
# and of none.
GENERAL = {
    VARIES: (MANY | {"compressions": QUANTIZED}, integers_turn, direct_wins),
    NATIVE: (
        {"compressions": QUANTIZED, "native": AVX512},
        gaining(2.0, 0.7),
        gaining(1.0, 0.7),
    ),
    DATASETS: (
        {"models": models_of_both(13), "compressions": ("none", "weight_pruning")},
        turned(1.0),
        turned(0.0),
    ),
}


@pytest.mark.parametrize("name", NAMES)
def test_an_effect_of_all_networks_is_one_of_others(name):
    options, effect, none = GENERAL[name]
    models = options.get("models", synthetic.MODELS)
    one = next(iter(models["digits"]))
    latencies = {"yes": effect, "open": on([one], effect, none), "no": none}
    for generalizes, latency in latencies.items():
        study = synthetic.study(latency, **options)
        found = observe(name, study, synthetic.noise_floor(models=models))
        assert found.others.generalizes == generalizes, (generalizes, found)
        assert found.others.low <= found.others.high


def test_one_model_of_both_data_sets_says_nothing_on_others():
    found = observe(DATASETS, everything(turned(1.0)))
    assert found.verdict == "supported" and found.others.generalizes == "open"


@pytest.mark.parametrize("name", NAMES)
def test_only_pairs_decide(name):
    study = everything(
        on(["vgg16"], integers_turn, gaining(2.0, 0.7)), native=AVX512, widened=WIDENED
    )
    tables = synthetic.tables(study, FLOOR)
    check_unpaired(name, tables)
    check_drift(name, tables)
