"""What pruning promises and what is chosen jointly: verdicts on tables with a known answer."""

from dataclasses import replace
from functools import partial
from itertools import cycle

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from dlas.analysis import observation
from dlas.analysis.observation import assess
from dlas.analysis.observations import channel_pruning_promise, sparsity_promise
from tests.unit.analysis import synthetic
from tests.unit.analysis.drawings import each_mark, markers
from tests.unit.analysis.verdicts import (
    FLOOR,
    PRUNED,
    TUNINGS,
    channel_share,
    check,
    check_missing,
    joint,
    pruned,
    unmeasured,
)

LOOKS = synthetic.LOOKS
NAMES = {
    "08": "sparsity_promise",
    "09": "channel_pruning_promise",
    "13": "joint_choice",
}


def observe(number, study, floor=FLOOR):
    return assess(observation.load(NAMES[number]), synthetic.tables(study, floor))


def on_a_line(line):
    """Return the latency of networks that all take line(platform, primitive, tuning) in CSR: start
    and slope.
    """
    return partial(synthetic.sparse, line=line)


def as_promised(platform, primitive, tuning):
    return 0.0, 1.0


def one_break_even(platform, primitive, tuning):
    """At a density of 0.6 everywhere, on lines that differ."""
    return (0.4, 1.0) if primitive == "gemm" else (0.1, 1.5)


def together(platform, dataset, model, compression, primitive, tuning):
    """Integers are fast in GEMM alone, which is slow else: 1.67 times as fast as channel pruning in
    direct.
    """
    if compression == "int8":
        return {"direct": 0.9, "gemm": 0.3, "spatial_pack": 0.9}[primitive]
    cost = {"direct": 1.0, "gemm": 1.3, "spatial_pack": 1.2}[primitive]
    return cost * {"none": 1, "channel_pruning": 0.5}[compression]


def apart(platform, dataset, model, compression, primitive, tuning):
    """Each layer changes the latency by a factor of its own."""
    cost = {"direct": 1.0, "gemm": 1.3, "spatial_pack": 1.2}[primitive]
    cost *= {"none": 1, "channel_pruning": 0.5, "int8": 0.4}[compression]
    return cost / (1.5 if tuning == "autotuned" else 1)


def short(by, gemm=None):
    """Return the latency of sparse networks that stay short of their promise by these factors."""
    return on_a_line(
        lambda platform, primitive, tuning: (0, gemm if gemm and primitive == "gemm" else by)
    )


def by_network(latency, factors):
    """Return a latency that compressed networks take times the factor of their model, in turns."""
    names = [(dataset, model) for dataset, nets in synthetic.MODELS.items() for model in nets]
    own = dict(zip(names, cycle(factors)))

    def changed(platform, dataset, model, compression, primitive, tuning):
        before = latency(platform, dataset, model, compression, primitive, tuning)
        return before * (own[dataset, model] if compression in ("weight_pruning", "int8") else 1)

    return changed


DIFFERENT = pruned(synthetic.sparse)
SHORT = pruned(short(1.25))
CLOSER = pruned(channel_share(0.9))
JOINT = joint(together)


@pytest.mark.parametrize(
    ("number", "study", "floor", "verdict"),
    [
        ("08", DIFFERENT, FLOOR, "supported"),
        ("08", pruned(synthetic.sparse, tunings=TUNINGS), FLOOR, "supported"),
        ("08", pruned(on_a_line(one_break_even)), FLOOR, "supported"),
        ("08", pruned(on_a_line(as_promised)), FLOOR, "contradicted"),
        # one primitive keeps the promise
        ("08", pruned(short(2.0, gemm=1.0)), FLOOR, "contradicted"),
        ("08", pruned(short(sparsity_promise.THRESHOLD)), FLOOR, "inconclusive"),
        ("08", pruned(on_a_line(as_promised), noise=0.3), FLOOR, "inconclusive"),
        ("08", SHORT, FLOOR, "supported"),
        ("08", SHORT, synthetic.noise_floor(1.25), "inconclusive"),
        ("09", CLOSER, FLOOR, "supported"),
        ("09", pruned(channel_share(0.4)), FLOOR, "contradicted"),
        ("09", pruned(channel_share(0.5)), FLOOR, "contradicted"),
        (
            "09",
            pruned(channel_share(0.5 * channel_pruning_promise.THRESHOLD)),
            FLOOR,
            "inconclusive",
        ),
        ("09", pruned(channel_share(0.9), noise=2.0), FLOOR, "inconclusive"),
        ("09", CLOSER, synthetic.noise_floor(1.8), "inconclusive"),
        ("13", JOINT, FLOOR, "supported"),
        ("13", joint(apart, tunings=TUNINGS), FLOOR, "contradicted"),
        ("13", joint(together, noise=0.5), FLOOR, "inconclusive"),
        ("13", JOINT, synthetic.noise_floor(0.5 / 0.3), "inconclusive"),
    ],
)
def test_verdict(number, study, floor, verdict):
    check(observe(number, study, floor), verdict)


@pytest.mark.parametrize(("number", "study"), [("08", DIFFERENT), ("09", CLOSER), ("13", JOINT)])
def test_a_noise_floor_beyond_the_effect_stops_the_verdict(number, study):
    found = observe(number, study, synthetic.noise_floor(9.0))
    check(found, "inconclusive")
    assert found.others.generalizes == "open"


@pytest.mark.parametrize(
    ("number", "study", "generalizes"),
    [
        ("08", SHORT, "yes"),
        ("08", pruned(on_a_line(as_promised)), "no"),
        # short on all networks together, but not on each
        ("08", pruned(by_network(short(1.3), (0.6, 1.6))), "open"),
        ("09", CLOSER, "yes"),
        ("09", pruned(channel_share(0.5)), "no"),
        ("09", pruned(by_network(channel_share(0.6), (0.6, 1.6))), "open"),
        ("09", CLOSER[CLOSER.model == "vgg16"], "open"),
        ("13", JOINT, "yes"),
        ("13", joint(apart, tunings=TUNINGS), "no"),
        ("13", joint(by_network(together, (0.7, 2.0))), "open"),
        ("13", JOINT[JOINT.model == "vgg16"], "open"),
    ],
)
def test_what_it_says_on_other_networks(number, study, generalizes):
    """A mean of networks that differ is measured well, and says little on others; so does that of
    one.
    """
    found = observe(number, study)
    assert found.others.generalizes == generalizes
    assert found.verdict == ("contradicted" if generalizes == "no" else "supported")
    assert generalizes == "open" or found.others.low <= found.estimate <= found.others.high


@pytest.mark.parametrize(
    ("number", "study", "needs"),
    [
        ("08", DIFFERENT[DIFFERENT.format == "dense"], "weight-pruned in CSR"),
        ("08", DIFFERENT[DIFFERENT.compression != "none"], "uncompressed"),
        ("08", unmeasured(DIFFERENT), "weight-pruned in CSR"),
        ("08", DIFFERENT.head(0), "weight-pruned in CSR"),
        ("09", CLOSER[CLOSER.format == "dense"], "weight-pruned in CSR"),
        ("09", CLOSER[CLOSER.compression != "channel_pruning"], "channel-pruned"),
        ("09", CLOSER[CLOSER.compression != "none"], "uncompressed"),
        ("09", unmeasured(CLOSER), "channel-pruned"),
        ("09", CLOSER.head(0), "channel-pruned"),
        ("13", JOINT[JOINT.primitive == "direct"], "two layers"),
        ("13", JOINT[JOINT.compression == "none"], "two layers"),
        ("13", JOINT[JOINT.compression != "none"], "two layers"),
        ("13", unmeasured(JOINT), "two layers"),
        ("13", JOINT.head(0), "two layers"),
    ],
)
def test_missing_rows(number, study, needs):
    check_missing(observe(number, study), needs)


@pytest.mark.parametrize(("number", "study"), [("08", DIFFERENT), ("09", CLOSER), ("13", JOINT)])
def test_no_verdict_without_a_noise_floor(number, study):
    assert observe(number, study, FLOOR.head(0)).verdict == "inconclusive"


@pytest.mark.parametrize(("number", "study"), [("08", DIFFERENT), ("09", CLOSER), ("13", JOINT)])
def test_no_verdict_from_a_single_round(number, study):
    tables = synthetic.tables(study, FLOOR)
    single = replace(tables, rounds=replace(tables.rounds, log=tables.rounds.log[:, :1]))
    found = assess(observation.load(NAMES[number]), single)
    check_missing(found, f"paired samples of 2 rounds are missing of {len(study)} measured")


def test_shortfalls_are_the_ones_that_were_put_in():
    """Where it starts at nothing, a line's slope is the promised speedup over the one that is
    reached.
    """
    found = observe("08", pruned(short(2.0, gemm=3.0)))
    assert found.estimate == pytest.approx(2, rel=0.01) and found.n == 6
    assert "gemm" not in found.reason.split(":")[0].split(";")[0]
    by_primitive = found.evidence.groupby("primitive")["shortfall"].mean()
    assert by_primitive.to_list() == pytest.approx([2, 3, 2], rel=0.01)
    assert set(found.evidence["networks"]) == {8} and "short are 6 of 6 groups" in found.reason


def test_break_evens_are_the_ones_that_were_put_in():
    found = observe("08", DIFFERENT)
    for line in found.shown["lines"].itertuples():
        start, slope = synthetic.break_even_differs(line.platform, line.primitive, line.tuning)
        assert line.low < (1 - start) / slope < line.high
        assert line.at == pytest.approx((1 - start) / slope, abs=0.02)
    comparisons = found.shown["comparisons"]
    differences = comparisons.set_index(["first", "second"])["difference"]
    ends = [("direct", "untuned", platform) for platform in ("local_cpu", "local_cpu_avx2")]
    assert differences[*ends] == pytest.approx(0.6 - 0.45, abs=0.02)
    assert comparisons["factor"].value_counts().to_dict() == {"primitive": 6, "platform": 3}
    assert "tunings: not compared" in found.reason and ", clear" in found.reason


def test_a_difference_of_break_evens_that_noise_could_make_is_not_clear():
    assert ", clear" not in observe("08", DIFFERENT, synthetic.noise_floor(1.2)).reason


def test_the_verdict_needs_no_break_even():
    few = DIFFERENT[DIFFERENT.model.isin(["resnet18", "resnet50", "vgg16"])]
    found = observe("08", few)
    check(found, "supported")
    assert found.shown["lines"].empty and "primitives: not compared" in found.reason


def test_the_interval_of_a_break_even_holds_it():
    """Fieller's interval is exact where the networks lie off the line by normal noise."""
    density = pd.Series([0.15, 0.24, 0.36, 0.36, 0.39, 0.48, 0.51, 0.6])
    draw, draws, inside, clear = np.random.default_rng(0), 400, 0, 0
    for _ in range(draws):
        relative = 0.2 + 1.0 * density + 0.05 * draw.standard_normal(len(density))
        at = sparsity_promise.break_even(density, relative)
        clear += np.isfinite(at.low)
        inside += at.low <= 0.8 <= at.high
    assert clear == draws
    assert stats.binomtest(inside, draws, 0.95).pvalue > 0.01


@pytest.mark.parametrize("relative", [[0.5, 0.4, 0.3, 0.2], [0.5, 0.1, 0.6, 0.3], [0.4] * 4])
def test_there_is_no_break_even_where_latency_does_not_rise_with_the_density(relative):
    density = pd.Series([0.1, 0.2, 0.3, 0.4])
    assert np.isnan(sparsity_promise.break_even(density, pd.Series(relative))).all()
    assert np.isnan(sparsity_promise.break_even(density * 0 + 0.5, pd.Series(relative))).all()


def test_a_network_without_a_level_has_no_promise():
    unreached = [("digits", "vgg16", "weight_pruning")]
    study = pruned(synthetic.sparse, unreached=unreached)
    rows, series = sparsity_promise.networks(synthetic.tables(study, FLOOR))
    assert len(rows) == len(series) == 7 * 3 * 2
    assert observe("09", study).n == 7
    assert "vgg16" not in set(observe("09", study).evidence["model"])


def test_shares_are_the_ones_that_were_put_in():
    found = observe("09", CLOSER)
    assert found.estimate == pytest.approx(0.9 / 0.5, rel=0.02) and found.n == 8
    means = found.evidence[["channel_pruning", "weight_pruning"]].mean()
    assert means.to_list() == pytest.approx([0.9, 0.5], rel=0.02)


def test_weight_pruning_counts_in_its_faster_format():
    """CSR takes eight times as long as before: the zeros are better left in the dense weights."""
    slow = CLOSER.copy()
    csr = slow["format"] == "csr"
    slow.loc[csr, ["latency_ms", "latency_ms_low", "latency_ms_high"]] *= 8
    slow.loc[csr, "gflops"] /= 8
    found, before = observe("09", slow), observe("09", CLOSER)
    assert found.estimate == pytest.approx(2 * before.estimate, rel=0.02)


def test_to_exceed_a_promise_is_not_to_come_closer():
    reached, exceeded = (observe("09", pruned(channel_share(share))) for share in (1.0, 3.0))
    assert exceeded.estimate == pytest.approx(reached.estimate, rel=0.02)


def test_the_joint_optimum_and_the_combination_are_the_ones_that_were_put_in():
    found = observe("13", JOINT)
    assert found.n == 16 and found.estimate == pytest.approx(0.5 / 0.3, rel=0.02)
    assert set(found.evidence["combination"]) == {"`channel_pruning`, `direct`, `untuned`"}
    assert set(found.evidence["joint"]) == {"`int8`, `gemm`, `untuned`"}
    assert set(found.evidence["configurations"]) == {9}
    assert "16 of 16" in found.reason


def test_the_default_primitive_is_the_fastest_on_average():
    """GEMM is, so integers are tried in it, and the choice layer by layer finds them."""

    def latency(platform, dataset, model, compression, primitive, tuning):
        gain = 2 if compression == "none" and primitive == "gemm" else 1
        return together(platform, dataset, model, compression, primitive, tuning) / gain

    found = observe("13", joint(latency))
    assert set(found.evidence["combination"]) == {"`int8`, `gemm`, `untuned`"}
    assert found.verdict == "contradicted"


def test_a_compression_that_costs_accuracy_is_no_choice():
    """By more than a point, and clearly so by its answers to the few images."""
    for loss, chosen in ((0.9, "int8"), (8.0, "channel_pruning")):
        study = JOINT.copy()
        study.loc[study["compression"] == "int8", ["top1", "top1_compiled"]] -= loss
        assert {text.split(",")[0] for text in observe("13", study).evidence["joint"]} == {
            f"`{chosen}`"
        }


def test_a_network_whose_combination_was_not_measured_is_left_out():
    """Auto-tuned code is faster, but the compressed network was auto-tuned in one primitive
    only.
    """
    study = joint(apart, tunings=TUNINGS)
    combination = (study["compression"] == "int8") & (study["primitive"] == "direct")
    missing = combination & (study["tuning"] == "autotuned") & (study["model"] == "vgg16")
    found = observe("13", study[~missing])
    assert found.n == 14 and "vgg16" not in set(found.evidence["model"])
    assert "not measured: 2" in found.reason


def ways_apart(platform, dataset, model, compression, primitive, tuning):
    """Compact models are fastest auto-scheduled, the others auto-tuned."""
    before = apart(platform, dataset, model, compression, primitive, tuning)
    gain = 2.0 if model in synthetic.COMPACT else 0.5
    return before / {"auto_scheduled": gain, "unscheduled": 1 / 30}.get(tuning, 1)


WAYS = joint(ways_apart, tunings=synthetic.WAYS)


def test_every_way_to_schedule_that_was_measured_is_an_option():
    found = observe("13", WAYS)
    assert found.verdict == "contradicted" and found.n == 16
    compact = found.evidence["model"].isin(synthetic.COMPACT)
    for own, way in ((compact, "auto_scheduled"), (~compact, "autotuned")):
        assert set(found.evidence.loc[own, "joint"]) == {f"`int8`, `direct`, `{way}`"}
    assert set(found.evidence["configurations"]) == {3 * 3 * 4}
    names = "`auto_scheduled`, `autotuned`, `unscheduled`, `untuned`"
    assert f"ways to schedule to choose from: {names}" in found.reason
    some = observe("13", WAYS[WAYS["tuning"].isin(TUNINGS)])
    assert "choose from: `autotuned`, `untuned`" in some.reason


def test_bare_loops_change_no_choice():
    left = WAYS["tuning"] != "unscheduled"
    found, expected = (observe("13", study) for study in (WAYS, WAYS[left]))
    assert (found.verdict, found.n) == (expected.verdict, expected.n)
    assert found.estimate == pytest.approx(expected.estimate, rel=0.01)
    columns = ["combination", "joint"]
    pd.testing.assert_frame_equal(found.evidence[columns], expected.evidence[columns])


def test_equal_accuracy_is_that_of_compiled_networks_where_one_way_has_no_such_top1():
    """The framework's top-1 of the uncompressed network is lower, so that int8 would be as
    accurate.
    """
    study = WAYS.copy()
    study.loc[study["compression"] == "none", "top1"] -= 2
    study.loc[study["compression"] == "int8", "top1_compiled"] -= 2
    study.loc[study["tuning"] == "unscheduled", "top1_compiled"] = np.nan
    assert not observe("13", study).evidence["joint"].str.contains("int8").any()


def test_marks_have_the_fill_of_their_way():
    for axis in drawn("13", WAYS):
        fills = [line.get_fillstyle() for line in each_mark(axis)]
        compact = 4
        assert fills.count(LOOKS.fill("auto_scheduled")) == 2 * compact
        assert fills.count(LOOKS.fill("autotuned")) == 2 * (8 - compact)


def drawn(number, study):
    tables = synthetic.tables(study, FLOOR)
    module = observation.load(NAMES[number])
    return module.draw(module.observe(tables), LOOKS)[0].axes


def test_every_sparse_network_and_each_break_even_is_drawn():
    axes = drawn("08", pruned(synthetic.sparse, tunings=TUNINGS))
    assert len(axes) == 3 * 2
    for axis in axes:
        assert [len(line.get_xdata()) for line in markers(axis)] == [8, 8]
        assert [line.get_fillstyle() for line in markers(axis)] == ["full", "none"]
        at = [line.get_xdata()[0] for line in axis.lines if line.get_markersize() == 7]
        printed = axis.texts[0].get_text().splitlines()
        assert len(at) == 2
        for text, density in zip(printed, at, strict=True):
            assert f"break-even {density:.2f}" in text


def test_each_pruned_network_has_a_mark_for_each_technique_and_primitive():
    for axis in drawn("09", DIFFERENT):
        colours = [line.get_color() for line in each_mark(axis)]
        assert {colours.count(LOOKS.colour(name)) for name in PRUNED[1:]} == {8 * 3}
        black = [line for line in each_mark(axis) if line.get_markeredgecolor() == "#000000"]
        assert len(black) == 8 * 3  # weight pruning is faster in CSR


def test_combination_and_joint_optimum_stand_one_above_the_other():
    speedups = {f"{speedup:.2f}x" for speedup in observe("13", JOINT).evidence["speedup"]}
    for axis in drawn("13", JOINT):
        assert len(each_mark(axis)) == 8 * 2
        upper, lower = each_mark(axis)[:2]
        assert upper.get_ydata()[0] > lower.get_ydata()[0]
        assert upper.get_color() == LOOKS.colour("channel_pruning")
        assert lower.get_color() == LOOKS.colour("int8")
        assert sum(text.get_text() in speedups for text in axis.texts) == 8
