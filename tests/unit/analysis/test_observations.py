"""Verdicts on synthetic tables with a known answer."""

from dataclasses import replace

import pytest

from dlas.analysis import observation
from dlas.analysis.effects import Rounds
from tests.unit.analysis import synthetic
from tests.unit.analysis.drawings import STUDY, TUNED
from tests.unit.analysis.verdicts import (
    COMPRESSED,
    FLOOR,
    LOOPS,
    PRUNED,
    TUNINGS,
    both_ways,
    check,
    check_drift,
    check_missing,
    check_unpaired,
    direct_wins,
    network_models,
    observe,
    on,
    tuned,
    twice,
    unmeasured,
)

NAMES = {
    "01": "size_accuracy_latency",
    "02": "pruning_reach",
    "03": "compact_architectures",
    "04": "fastest_primitive",
    "05": "tuning_speedup",
    "06": "tuning_changes_primitive",
    "07": "compression_speedup_by_platform",
    "13": "joint_choice",
}
LADDER = network_models(6)
LADDER_FLOOR = synthetic.noise_floor(models=LADDER)


def observe_curves(number, holds, **options):
    return observe(NAMES[number], curves=synthetic.curves(holds, **options))


def by_macs(platform, dataset, model, compression, primitive, tuning):
    """Latency in the order of the networks' sizes, every primitive alike."""
    return 2.0 ** int(model.removeprefix("net")) / 3


def same_speedup(platform, dataset, model, compression, primitive, tuning):
    return {"none": 4, "channel_pruning": 2, "int8": 1}[compression] * (
        1.3 if platform == "local_cpu" else 1.7
    )


def hardware_speedup(platform, *rest):
    gain = 2.5 if rest[2] == "int8" and platform == "local_cpu" else 1
    return same_speedup(platform, *rest) / gain


def every_factor(platform, dataset, model, compression, primitive):
    gain = 2 if platform == "local_cpu" else 1
    return gain * (2.1 if model in synthetic.COMPACT else 1) * (2.2 if primitive == "gemm" else 1)


def one_gains(*configuration):
    return 3 if configuration[4] == "gemm" or configuration[0] == "local_cpu" else 1


def one_factor(platform, dataset, model, compression, primitive):
    return 3 if primitive == "gemm" else 1.5


HARDWARE = synthetic.study(hardware_speedup, compressions=COMPRESSED)
SAME_NOISY = synthetic.study(same_speedup, compressions=COMPRESSED, noise=1.0)
ALTERED = tuned(one_factor, direct_wins)
CHANGING = both_ways(ALTERED)


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
        ("04", synthetic.study(synthetic.realistic), synthetic.noise_floor(1.14), "inconclusive"),
        ("04", synthetic.study(synthetic.realistic), synthetic.noise_floor(4.0), "inconclusive"),
        ("04", synthetic.study(direct_wins, noise=0.3), FLOOR, "inconclusive"),
        ("05", both_ways(tuned(every_factor)), FLOOR, "supported"),
        ("05", both_ways(tuned(one_factor)), FLOOR, "contradicted"),
        ("05", both_ways(tuned(twice)), FLOOR, "contradicted"),
        ("05", both_ways(tuned(every_factor), noise=1.0), FLOOR, "inconclusive"),
        ("05", both_ways(tuned(every_factor)), synthetic.noise_floor(2**0.5), "inconclusive"),
        ("05", both_ways(tuned(every_factor)), synthetic.noise_floor(2.0), "inconclusive"),
        ("06", CHANGING, FLOOR, "supported"),
        ("06", both_ways(tuned(twice, direct_wins)), FLOOR, "contradicted"),
        ("06", both_ways(tuned(one_factor, direct_wins), noise=0.5), FLOOR, "inconclusive"),
        ("06", CHANGING, synthetic.noise_floor(1.3), "inconclusive"),
        ("06", CHANGING, synthetic.noise_floor(1.6), "inconclusive"),
        ("07", HARDWARE, FLOOR, "supported"),
        ("07", synthetic.study(same_speedup, compressions=COMPRESSED), FLOOR, "contradicted"),
        ("07", SAME_NOISY, FLOOR, "inconclusive"),
        ("07", HARDWARE, synthetic.noise_floor(2.5**0.5), "inconclusive"),
        ("07", HARDWARE, synthetic.noise_floor(2.0), "inconclusive"),
    ],
)
def test_verdict(name, study, floor, verdict):
    check(observe(NAMES[name], study, floor), verdict)


WOBBLE = {"mobilenet_v1": 1.1, "mobilenet_v2": 0.95, "resnet18": 1.1, "vgg16": 0.9}


def reaching(weight, channel, compact=1.0):
    """Return where networks lose a point: by technique, compact ones at this share of it."""

    def holds(dataset, model, technique):
        reach = (
            WOBBLE.get(model, 1.0)
            * {"weight_pruning": weight, "channel_pruning": channel}[technique]
        )
        return reach * (compact if model in synthetic.COMPACT else 1)

    return holds


def opposed(dataset, model, technique):
    """Compact networks tolerate less weight pruning and more channel pruning."""
    more = (model in synthetic.COMPACT) == (technique == "channel_pruning")
    return (6 if more else 2) * (1 + 0.01 * len(model))


@pytest.mark.parametrize(
    ("name", "holds", "verdict"),
    [
        ("02", reaching(10, 2.5), "supported"),
        ("02", reaching(2, 3), "contradicted"),
        ("02", reaching(3.5, 2.5), "inconclusive"),
        ("02", lambda dataset, *_: {"digits": 8, "photos": 2}[dataset], "inconclusive"),
        ("03", reaching(12, 3, compact=0.3), "supported"),
        ("03", reaching(5, 1.7, compact=2.0), "contradicted"),
        ("03", reaching(6, 2), "inconclusive"),
        ("03", opposed, "supported"),
    ],
)
def test_verdict_on_curves(name, holds, verdict):
    check(observe_curves(name, holds), verdict)


def test_ratio_of_the_compressions_is_the_one_that_was_put_in():
    found = observe_curves("02", reaching(9, 3))
    assert found.estimate == pytest.approx(3, rel=0.15) and found.n == 8
    found = observe_curves("03", reaching(12, 3, compact=0.5))
    assert found.estimate == pytest.approx(2, rel=0.15) and found.n == 7
    assert set(found.evidence.loc[found.evidence["model"] == "densenet161", "group"]) == {"neither"}


def test_a_ladder_that_still_holds_gives_a_lower_bound_only():
    """Channel pruning loses nothing up to its end: that weight pruning goes on says nothing on the
    claim.
    """
    found = observe_curves("02", reaching(12, 50))
    assert found.verdict != "supported" and found.estimate == pytest.approx(1)
    assert "8 of `channel_pruning`" in found.reason
    beyond = found.evidence[found.evidence["compression"] == "weight_pruning"]
    assert (beyond["factor"] > beyond["counted"]).all()
    # but that weight pruning goes at least so far says it
    found = observe_curves("02", reaching(1000, 2))
    assert found.verdict == "supported" and "8 of `weight_pruning`" in found.reason


def test_networks_are_compared_up_to_the_first_ladder_that_ends():
    """All tolerate the whole ladder of channel pruning, whatever they would tolerate beyond it."""
    found = observe_curves("03", reaching(8, 100, compact=0.3))
    channel = found.evidence[
        (found.evidence["compression"] == "channel_pruning")
        & (found.evidence["group"] != "neither")
    ]
    assert channel["counted"].nunique() == 1
    ratio = found.shown["ratios"].set_index("compression").loc["channel_pruning"]
    assert ratio["low"] < 1 < ratio["high"] and ratio["ratio"] == pytest.approx(1)
    assert "1.00 [" in found.reason and "under `channel_pruning`" in found.reason


def test_the_splits_behind_the_choice_have_no_part_in_the_verdict():
    curves = synthetic.curves(reaching(10, 2.5))
    other = curves.assign(validation_top1=50.0, chosen=False)
    for number in ("02", "03"):
        assert observe(NAMES[number], curves=curves) == observe(NAMES[number], curves=other)


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
        ("05", REALISTIC, "measured `unscheduled` and `auto_scheduled`"),
        ("05", CHANGING[CHANGING.tuning == "auto_scheduled"], "measured `unscheduled`"),
        ("05", unmeasured(CHANGING), "measured `unscheduled`"),
        ("05", CHANGING.head(0), "measured `unscheduled`"),
        ("05", CHANGING[CHANGING.primitive == "gemm"].head(2), "two of the three"),
        ("06", REALISTIC, "with every primitive"),
        ("06", CHANGING[CHANGING.primitive == "gemm"], "with every primitive"),
        ("06", unmeasured(CHANGING), "with every primitive"),
        ("06", CHANGING.head(0), "with every primitive"),
        ("07", REALISTIC, "compressed networks"),
        ("07", ONE_PLATFORM, "a second platform"),
        ("07", unmeasured(synthetic.study(same_speedup, compressions=COMPRESSED)), "two platforms"),
        ("07", REALISTIC.head(0), "compressed networks"),
    ],
)
def test_missing_rows(name, study, needs):
    check_missing(observe(NAMES[name], study), needs)


CURVES = synthetic.curves(synthetic.holding)


@pytest.mark.parametrize(
    ("name", "curves", "needs"),
    [
        ("02", None, "both techniques"),
        ("02", CURVES[CURVES.compression != "channel_pruning"], "both techniques"),
        ("03", None, "two compact and two large"),
        ("03", CURVES[CURVES.dataset == "photos"], "two compact and two large"),
        ("03", CURVES[CURVES.compression.isin(["none", "int8"])], "two compact and two large"),
    ],
)
def test_missing_curves(name, curves, needs):
    check_missing(observe(NAMES[name], curves=curves), needs)


@pytest.mark.parametrize("name", [NAMES[number] for number in ("01", "04", "05", "06", "07")])
def test_no_verdict_without_a_noise_floor(name):
    latency = tuned(every_factor, hardware_speedup)
    study = synthetic.study(latency, tunings=synthetic.WAYS, compressions=COMPRESSED)
    assert observe(name, study, FLOOR.head(0)).verdict != "supported"


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
    losses = latency.div(latency.min(axis=1), axis=0).max()
    assert losses.idxmin() == "spatial_pack" and "`spatial_pack` loses least" in found.reason
    assert found.estimate == pytest.approx(losses.min(), rel=0.01)
    assert found.estimate == pytest.approx(1.15, rel=0.02)  # on networks of depthwise convolutions


def test_a_network_without_one_of_the_primitives_is_left_out():
    study = REALISTIC[~((REALISTIC.model == "vgg16") & (REALISTIC.primitive == "gemm"))]
    found = observe(NAMES["04"], study)
    assert "vgg16" not in set(found.evidence["model"]) and found.n == 14


def test_speedup_ratio_is_the_one_that_was_put_in():
    found = observe(NAMES["07"], HARDWARE)
    assert found.estimate == pytest.approx(2.5, rel=0.02)
    assert found.n == 8 and "int8" in found.reason
    ratios = found.evidence.set_index("compression")["ratio"]
    assert ratios["channel_pruning"] == pytest.approx(1, abs=0.02)


UNREACHED = [("digits", "vgg16", "channel_pruning"), ("photos", "resnet50", "channel_pruning")]


def test_a_compression_without_a_level_is_not_a_compressed_network():
    study = synthetic.study(hardware_speedup, compressions=COMPRESSED, unreached=UNREACHED)
    evidence = observe(NAMES["07"], study).evidence.set_index("compression")["networks"]
    assert evidence.to_dict() == {"channel_pruning": 6, "int8": 8}
    pairs = observe(NAMES["01"], study).evidence
    assert len(pairs)
    for side in ("first", "second"):
        assert ("vgg16", "channel_pruning") not in set(pairs[side])


def test_without_any_level_there_are_no_compressed_networks():
    study = synthetic.study(
        same_speedup,
        compressions=("none", "channel_pruning"),
        unreached=[
            (dataset, model, "channel_pruning")
            for dataset, nets in synthetic.MODELS.items()
            for model in nets
        ],
    )
    found = observe(NAMES["07"], study)
    assert found.headline == "inconclusive: needs compressed networks"


def test_widened_arithmetic_is_measured():
    widened = [("int8", "local_cpu_avx2")]
    plain = HARDWARE
    study = synthetic.study(hardware_speedup, compressions=COMPRESSED, widened=widened)
    for number in ("01", "04", "07"):
        assert observe(NAMES[number], study) == observe(NAMES[number], plain)


def test_what_compression_does_to_the_primitives_is_not_the_claim_on_primitives():
    """Uncompressed, direct wins everywhere; on 8-bit integers another one does."""

    def latency(platform, dataset, model, compression, primitive, tuning):
        winner = "gemm" if compression == "int8" else "direct"
        return 1.0 if primitive == winner else 1.5

    found = observe(NAMES["04"], synthetic.study(latency, compressions=COMPRESSED))
    assert found.verdict == "contradicted" and found.n == 16


def test_speedups_from_tuning_are_compared_where_nothing_else_differs():
    found = observe(NAMES["05"], both_ways(tuned(every_factor)))
    ratios = found.evidence.set_index(["first", "second"])["ratio"]
    assert ratios["gemm", "direct"] == pytest.approx(2.2, rel=0.02)
    assert ratios["local_cpu", "local_cpu_avx2"] == pytest.approx(2, rel=0.02)
    assert ratios["mobilenet_v2, photos", "vgg16, digits"] == pytest.approx(2.1, rel=0.02)
    assert found.estimate == ratios.max() and found.n == 48
    assert set(found.evidence["pairs"]) == {16, 6, 24}


def test_which_configurations_are_tuned_is_no_difference_between_primitives():
    """One primitive is tuned on the networks that gain much, the other on those that gain
    little.
    """
    study = both_ways(tuned(every_factor), primitives=("direct", "spatial_pack"))
    compact = study["model"].isin(synthetic.COMPACT)
    chosen = (study["tuning"] == "unscheduled") | ((study["primitive"] == "direct") == compact)
    found = observe(NAMES["05"], study[chosen])
    assert "primitives" not in set(found.evidence["factor"])
    assert "not compared" not in found.reason.split(";")[1]
    assert "two primitives: not compared" in found.reason


def test_costs_of_changes_are_those_that_were_put_in():
    """Direct loses 2 / 1.3 auto-scheduled on half of the networks, GEMM 1.3 unscheduled: less."""

    def speedup(platform, dataset, model, compression, primitive):
        return 2.6 if primitive == "gemm" and model in synthetic.COMPACT else 1.3

    found = observe(NAMES["06"], both_ways(tuned(speedup, direct_wins)))
    assert found.n == 16 and found.estimate == pytest.approx(1.3, rel=0.02)
    changes = found.evidence[found.evidence["outcome"] == "changes"]
    assert set(changes["model"]) == set(synthetic.COMPACT) and len(changes) == 8
    assert set(changes["first"]) == {"direct"} and set(changes["last"]) == {"gemm"}
    assert changes["loss"].to_numpy() == pytest.approx(1.3, rel=0.03)
    stays = found.evidence[found.evidence["outcome"] == "stays"]
    assert stays["loss"].to_numpy() == pytest.approx(1, abs=0.01) and len(stays) == 8
    assert "costs 1.3" in found.reason and "`gemm` `auto_scheduled`" in found.reason


@pytest.mark.parametrize(
    ("slower", "gain", "outcome"),
    [(1.001, 1.5, "stays"), (1.3, 1.301, "stays"), (1.03, 1.5, "unclear"), (1.3, 1.34, "unclear")],
)
def test_a_change_costs_something_both_ways(slower, gain, outcome):
    """Direct is fastest unscheduled by this factor, GEMM gains this much more from the search."""

    def before(*configuration):
        return 1.0 if configuration[4] == "direct" else slower

    def speedup(*configuration):
        return gain if configuration[4] == "gemm" else 1.0

    noise = 0.0001 if outcome == "stays" else 0.02
    found = observe(NAMES["06"], both_ways(tuned(speedup, before), noise=noise))
    assert outcome in set(found.evidence["outcome"]) <= {"stays", "unclear"}
    assert found.verdict == {"stays": "contradicted", "unclear": "inconclusive"}[outcome]
    cheaper = min(slower, gain / slower)
    assert found.n == 16 and found.estimate == pytest.approx(cheaper, rel=5 * noise)


def test_a_network_changes_in_each_of_its_formats_by_itself():
    """CSR halves every latency, so that mixing the formats would leave no order of the
    primitives.
    """
    study = both_ways(tuned(one_factor, direct_wins), compressions=PRUNED, formats=("dense", "csr"))
    found = observe(NAMES["06"], study)
    assert found.n == 16 * 4 and set(found.evidence["outcome"]) == {"changes"}
    some = study[(study["tuning"] == "unscheduled") | (study["format"] == "csr")]
    assert observe(NAMES["06"], some).n == 16
    assert (
        observe(NAMES["06"], some[~((some.model == "vgg16") & (some.primitive == "gemm"))]).n == 14
    )


def test_a_network_without_a_level_is_not_tuned_twice():
    options = {"compressions": ("none", "channel_pruning"), "unreached": UNREACHED}
    study = both_ways(tuned(one_factor, direct_wins), **options)
    assert observe(NAMES["05"], study).n == 3 * 2 * (16 - 2)
    assert observe(NAMES["06"], study).n == 2 * (16 - 2)


def by_macs_reversed(*configuration):
    return 1 / by_macs(*configuration)


def shared_wins(*configuration):
    """Each primitive is fastest on a third of the models."""
    rank = int(configuration[2].removeprefix("net")) + synthetic.PRIMITIVES.index(configuration[4])
    return 1.0 if rank % 3 == 0 else 1.3


def gemm_wins(*configuration):
    return 1.0 if configuration[4] == "gemm" else 1.3


def best_together(platform, dataset, model, compression, primitive, tuning):
    """Integers are fast in GEMM alone, which is slow else: layer by layer one ends at half the
    speed.
    """
    if compression == "int8":
        return 0.3 if primitive == "gemm" else 0.9
    return {"direct": 1.0, "gemm": 1.3, "spatial_pack": 1.2}[primitive] * (
        0.6 if compression == "channel_pruning" else 1
    )


def best_apart(*configuration):
    return direct_wins(*configuration) / (2 if configuration[3] == "int8" else 1)


MANY = {"models": network_models(14)}
# Of each observation the options of a study, and latencies: of an effect that all networks have,
# one has, none has.
GENERAL = {
    "01": (MANY, by_macs_reversed, lambda *names: by_macs(*names) / 2.1, by_macs),
    "04": (MANY, shared_wins, gemm_wins, direct_wins),
    "05": ({"tunings": LOOPS}, tuned(every_factor), tuned(one_gains), tuned(twice)),
    "06": (MANY | {"tunings": LOOPS}, ALTERED, ALTERED, tuned(twice, direct_wins)),
    "07": ({"compressions": COMPRESSED}, hardware_speedup, hardware_speedup, same_speedup),
    "13": ({"compressions": COMPRESSED}, best_together, best_together, best_apart),
}


@pytest.mark.parametrize("number", GENERAL)
def test_an_effect_of_all_networks_is_one_of_others(number):
    options, effect, alone, none = GENERAL[number]
    floor = synthetic.noise_floor(models=options.get("models", synthetic.MODELS))
    latencies = {"yes": effect, "open": on(["net5", "vgg16"], alone, none), "no": none}
    for generalizes, latency in latencies.items():
        found = observe(NAMES[number], synthetic.study(latency, **options), floor)
        assert found.others.generalizes == generalizes, (generalizes, found)
        assert found.others.low <= found.others.high


@pytest.mark.parametrize(
    ("number", "generalizes", "holds"),
    [
        ("02", "yes", reaching(10, 2.5)),
        ("02", "open", lambda *names: 10 if names[1:] == ("vgg16", "weight_pruning") else 2.5),
        ("02", "no", reaching(2.5, 2.5)),
        ("03", "yes", reaching(12, 3, compact=0.3)),
        ("03", "open", lambda *names: 12 if names[1] == "vgg16" else 3),
        ("03", "no", reaching(6, 2)),
    ],
)
def test_a_reach_of_all_networks_is_one_of_others(number, generalizes, holds):
    assert observe_curves(number, holds).others.generalizes == generalizes


def test_one_network_says_something_on_itself_alone():
    one = {"digits": {"vgg16": synthetic.MODELS["digits"]["vgg16"]}}
    found = observe_curves("02", reaching(10, 2.5), models=one)
    assert found.verdict == "supported" and found.others.generalizes == "open" and found.n == 1


@pytest.mark.parametrize("number", ["02", "03"])
def test_levels_without_answers_are_not_compared(number):
    tables = synthetic.tables(curves=CURVES)
    answers = synthetic.answers(tables.study, CURVES[CURVES.compression == "none"])
    found = observation.load(NAMES[number]).observe(replace(tables, answers=answers))
    check_missing(found, "answers")


ALL_FACTORS = synthetic.study(
    on(synthetic.COMPACT, tuned(every_factor, hardware_speedup), tuned(one_factor, best_together)),
    compressions=COMPRESSED,
    tunings=synthetic.WAYS,
)


@pytest.mark.parametrize("number", GENERAL)
def test_only_pairs_decide(number):
    tables = synthetic.tables(ALL_FACTORS, FLOOR)
    check_unpaired(NAMES[number], tables)
    check_drift(NAMES[number], tables, unpaired=[NAMES["01"]])


@pytest.mark.parametrize("number", ["05", "07"])
def test_platforms_of_different_jobs_have_the_same_speedups(number):
    """Each speedup is one of pairs; what all samples of one platform's job share has no part
    in it.
    """
    tables = synthetic.tables(ALL_FACTORS, FLOOR)
    here = (ALL_FACTORS["platform"] == "local_cpu").to_numpy()
    apart = replace(tables, rounds=Rounds(tables.rounds.log, 2 * tables.rounds.job + here))
    one, two = (observation.load(NAMES[number]).observe(each) for each in (tables, apart))
    assert one.verdict == two.verdict and one.estimate == pytest.approx(two.estimate, rel=0.01)
    check_drift(NAMES[number], apart)


def test_networks_of_different_models_are_compared_without_pairs_and_it_says_so():
    found = observe(NAMES["01"], ladder(by_macs_reversed), LADDER_FLOOR)
    assert found.verdict == "supported" and not found.evidence["paired"].all()
    assert "of two models, timed in different jobs and not in paired samples" in found.reason
    tables = synthetic.tables(ALL_FACTORS[ALL_FACTORS["model"] == "vgg16"], FLOOR)
    found = observation.load(NAMES["01"]).observe(tables)
    assert found.evidence["paired"].all() and "different jobs" not in found.reason
    check_drift(NAMES["01"], tables)


EVERY_WAY = synthetic.study(
    synthetic.sparse,
    compressions=PRUNED,
    formats=("dense", "csr"),
    tunings=(*synthetic.WAYS, "best_of"),
    left=synthetic.left,
)


@pytest.mark.parametrize("name", STUDY)
def test_other_ways_to_schedule_change_no_observation_that_is_not_on_them(name):
    every = synthetic.tables(EVERY_WAY, FLOOR)
    own = synthetic.WAYS if name in (*TUNED, "joint_choice") else TUNINGS
    left = EVERY_WAY["tuning"].isin(own).to_numpy()
    assert not left.all()
    without = replace(
        every,
        study=EVERY_WAY[left].reset_index(drop=True),
        rounds=Rounds(every.rounds.log[left], every.rounds.job[left]),
    )
    found, expected = (observation.load(name).observe(one) for one in (every, without))
    assert str(found) == str(expected)


def searched(without, template, before=None):
    """Return a study of all ways in which a search gains this without a template, and that with
    one.
    """

    def latency(*configuration):
        gains = {"auto_scheduled": without, "autotuned": template}
        gain = gains.get(configuration[-1], lambda *_: 1.0)
        return (before(*configuration) if before else 1.0) / gain(*configuration[:-1])

    return synthetic.study(latency, tunings=synthetic.WAYS)


STRONG_WITHOUT = searched(every_factor, twice)
STRONG_WITH = searched(twice, every_factor)
CHANGED_WITHOUT = searched(one_factor, twice, direct_wins)
CHANGED_WITH = searched(twice, one_factor, direct_wins)


@pytest.mark.parametrize(
    ("number", "study", "verdict", "beside", "effects"),
    [
        ("05", STRONG_WITHOUT, "supported", "contradicted", (2.2, 1.0)),
        ("05", STRONG_WITH, "contradicted", "supported", (1.0, 2.2)),
        ("06", CHANGED_WITHOUT, "supported", "contradicted", (1.3, 1.0)),
        ("06", CHANGED_WITH, "contradicted", "supported", (1.0, 1.3)),
    ],
)
def test_each_contrast_has_its_verdict_and_the_one_without_a_template_decides(
    number, study, verdict, beside, effects
):
    found = observe(NAMES[number], study)
    check(found, verdict)
    assert found.estimate == pytest.approx(effects[0], rel=0.02)
    without, template = found.reason.split(". Beside it, ")
    assert without.startswith(
        f"`unscheduled` to `auto_scheduled`: {verdict}, {found.estimate:.2f} ["
    )
    assert template.startswith(f"`untuned` to `autotuned`: {beside}, ")
    column = "ratio" if number == "05" else "loss"
    largest = found.evidence.groupby("contrast")[column].max()
    assert largest["`unscheduled` to `auto_scheduled`"] == pytest.approx(effects[0], rel=0.02)
    assert largest["`untuned` to `autotuned`"] == pytest.approx(effects[1], rel=0.02)
    assert f" {largest['`untuned` to `autotuned`']:.2f} [" in template


@pytest.mark.parametrize(("number", "study"), [("05", STRONG_WITH), ("06", CHANGED_WITH)])
def test_a_contrast_without_rows_leaves_the_other_one(number, study):
    both = observe(NAMES[number], study)
    with_template = observe(NAMES[number], study[study["tuning"].isin(TUNINGS)])
    check_missing(with_template, "measured `unscheduled` and `auto_scheduled`")
    assert with_template.reason.split(". Beside it, ")[1] == both.reason.split(". Beside it, ")[1]
    assert set(with_template.evidence["contrast"]) == {"`untuned` to `autotuned`"}
    without = observe(NAMES[number], study[study["tuning"].isin(LOOPS)])
    check(without, "contradicted")
    assert without.estimate == both.estimate
    assert "`untuned` to `autotuned`: inconclusive: needs" in without.reason
