"""Timing of real kernels of known relative cost."""

import math
from functools import partial
from itertools import pairwise

import pandas as pd
import pytest

from dlas.errors import FailedError, UnreachableError
from dlas.hardware import host, peak, timing
from dlas.hardware.platforms import Platform, target
from dlas.hardware.timing import COLUMNS, Contenders, Variant, time_libraries

HOST = target(Platform("host", threads=1))
SHORT, LONG = 20_000, 80_000


class Counted:
    """A kernel that also notes how it was called."""

    def __init__(self, steps, calls, name):
        self.kernel = peak.arithmetic(HOST, 1, steps=steps)
        self.calls, self.name = calls, name

    def time(self, number):
        self.calls.append((self.name, number))
        return self.kernel.time(number)


def variant(primitive):
    return Variant("none", primitive, "dense", "untuned")


def frame(libraries, reference, seed=1, **settings):
    """Return the samples of one platform."""
    chosen = {"here": Contenders(libraries, reference, **settings)}
    return pd.DataFrame(time_libraries(chosen, seed=seed).samples)


@pytest.fixture(scope="module")
def timed():
    host.use_threads(1)
    calls = []
    libraries = {
        variant("direct"): partial(Counted, SHORT, calls, "direct"),
        variant("gemm"): partial(Counted, LONG, calls, "gemm"),
    }
    reference = Counted(SHORT, calls, "reference")
    samples = frame(
        libraries, reference, rounds=15, min_repeat_ms=2, warmup=3, seed=1, replicates=1
    )
    return samples, calls


def test_columns_and_one_sample_of_each_in_every_round(timed):
    samples, _ = timed
    assert list(samples.columns) == COLUMNS
    assert sorted(samples["round"].unique()) == list(range(15))
    for _, turn in samples.groupby("round"):
        rows = (
            turn[["primitive", "role"]]
            .fillna("")
            .sort_values(["role", "primitive"])
            .to_numpy()
            .tolist()
        )
        assert rows == [
            ["direct", "aa_replicate"],
            ["direct", "measured"],
            ["gemm", "measured"],
            ["", "reference"],
        ]


def test_latency_is_the_cost_of_one_run(timed):
    samples, _ = timed
    latency = (
        samples[samples.role == "measured"].groupby("primitive").latency_ms.min()
    )  # others may use this core
    assert latency["gemm"] / latency["direct"] == pytest.approx(LONG / SHORT, rel=0.25)
    flops = 2 * 12 * HOST["vector-width"] // 32 * SHORT
    assert (
        1 < flops / latency["direct"] / 1e6 < 1000
    )  # GFLOP/s of one core: the unit is milliseconds


def test_a_replicate_agrees_with_its_library(timed):
    samples, _ = timed
    direct = samples[samples.primitive == "direct"].groupby("role").latency_ms.min()
    assert direct["aa_replicate"] / direct["measured"] == pytest.approx(1, rel=0.25)


def test_a_sample_fills_the_minimum_time(timed):
    samples, calls = timed
    numbers = {name: number for name, number in calls[-4:]}
    cost = samples.groupby(samples.primitive.fillna("reference")).latency_ms.min()
    assert all(numbers[name] * cost[name] > 2 * 0.4 for name in numbers)
    assert numbers["direct"] > numbers["gemm"]


def test_warmup_runs_come_first_and_the_order_is_shuffled(timed):
    _, calls = timed
    assert [number for _, number in calls[:12]] == [1] * 12  # 4 contenders, 3 runs each
    rounds = [
        tuple(name for name, _ in calls[start : start + 4]) for start in range(12, len(calls), 4)
    ]
    assert len(rounds) == 15 and len(set(rounds)) > 1


def two_platforms(calls, fast_rounds=6, slow_rounds=6, **settings):
    """Time two libraries on each of two platforms, which note their `calls`."""

    def on(platform, steps, rounds):
        names = [f"{platform} {name}" for name in ("direct", "gemm", "reference")]
        libraries = {
            variant(name): partial(Counted, steps, calls, f"{platform} {name}")
            for name in ("direct", "gemm")
        }
        reference = Counted(steps, calls, names[-1])
        shared = {"min_repeat_ms": 1, "warmup": 1, "replicates": 1}
        return Contenders(libraries, reference, rounds=rounds, **shared | settings)

    chosen = {"fast": on("fast", SHORT, fast_rounds), "slow": on("slow", LONG, slow_rounds)}
    return pd.DataFrame(time_libraries(chosen, seed=3).samples)


def test_platforms_of_one_machine_take_turns_in_each_round():
    calls = []
    samples = two_platforms(calls)
    rounds = [turn for _, turn in samples.groupby("round")]
    assert len(rounds) == 6
    # The rows are in the order in which they were sampled.
    named = samples.platform + " " + samples.primitive.fillna("reference")
    assert list(named) == [name for name, _ in calls[8:]]
    orders = [list(turn.platform) for turn in rounds]
    assert all(sorted(order) == ["fast"] * 4 + ["slow"] * 4 for order in orders)
    # A platform's contenders do not run in a row: the others are between them.
    changes = [sum(a != b for a, b in pairwise(order)) for order in orders]
    assert max(changes) > 1 and len(set(map(tuple, orders))) > 1
    keys = ["platform", "primitive", "role", "round"]
    assert not samples.fillna("").duplicated(keys).any()


def test_samples_of_one_round_on_two_platforms_are_pairs():
    samples = two_platforms([], fast_rounds=3, slow_rounds=5)
    assert samples.groupby("platform")["round"].max().to_dict() == {"fast": 2, "slow": 4}
    counts = samples.groupby(["platform", samples.primitive.fillna("reference"), "role"]).size()
    assert set(counts["fast"]) == {3} and set(counts["slow"]) == {5}
    direct = samples[(samples.primitive == "gemm") & (samples.role == "measured")]
    both = direct.pivot(index="round", columns="platform", values="latency_ms")
    paired = both.dropna()
    assert list(paired.index) == [0, 1, 2]
    # Others may use this core.
    assert paired.slow.min() > 2 * paired.fast.min()


def test_each_platform_has_its_own_warm_up_and_replicates():
    calls = []
    chosen = {
        name: Contenders(
            {variant("direct"): partial(Counted, 1000, calls, name)},
            Counted(1000, calls, name),
            rounds=2,
            min_repeat_ms=0,
            warmup=warmup,
        )
        for name, warmup in (("a", 1), ("b", 4))
    }
    samples = pd.DataFrame(time_libraries(chosen, seed=0).samples)
    assert [name for name, _ in calls[:15]] == ["a"] * 3 + ["b"] * 12
    assert (samples.role == "aa_replicate").groupby(samples.platform).sum().to_dict() == {
        "a": 2,
        "b": 2,
    }


def test_libraries_of_some_ways_to_schedule_have_no_replicate():
    variants = [Variant("none", "direct", "dense", tuning) for tuning in ("untuned", "bare")]
    libraries = {each: partial(Counted, SHORT, [], "direct") for each in variants}
    settings = {"rounds": 2, "min_repeat_ms": 0, "warmup": 0}
    for unreplicated, expected in (((), {"untuned", "bare"}), (("bare",), {"untuned"})):
        chosen = Contenders(
            libraries, Counted(SHORT, [], ""), unreplicated=unreplicated, **settings
        )
        samples = pd.DataFrame(time_libraries({"here": chosen}, seed=0).samples)
        roles = samples.groupby("role").tuning.agg(set)
        assert roles["measured"] == {"untuned", "bare"}
        assert roles["aa_replicate"] == expected


def test_without_a_platform_there_is_nothing():
    assert time_libraries({}, seed=0) == ([], {})


def test_peers_take_turns_with_the_libraries():
    calls = []
    kernels = {name: Counted(SHORT, calls, name) for name in ("pytorch", "onnxruntime")}
    samples = frame(
        {variant("direct"): partial(Counted, SHORT, calls, "direct")},
        Counted(SHORT, calls, "reference"),
        rounds=8,
        min_repeat_ms=1,
        warmup=1,
        seed=1,
        peers=kernels,
    )
    assert len(samples) == 8 * 5
    for name in kernels:
        own = samples[samples.role == name]
        assert list(own["round"]) == list(range(8)) and own[[*Variant._fields]].isna().all(
            axis=None
        )
    order = [tuple(turn.role) for _, turn in samples.groupby("round")]
    assert len(set(order)) > 1 and all(sorted(turn) == sorted(order[0]) for turn in order)
    assert all(number > 1 for name, number in calls[-5:])


@pytest.mark.parametrize(("replicates", "expected"), [(0, 0), (1, 1), (3, 2)])
def test_replicates_are_at_most_the_libraries(replicates, expected):
    calls = []
    libraries = {variant(name): partial(Counted, 1000, calls, name) for name in ("direct", "gemm")}
    samples = frame(
        libraries,
        Counted(1000, calls, "r"),
        rounds=1,
        min_repeat_ms=0,
        warmup=1,
        seed=0,
        replicates=replicates,
    )
    assert (samples.role == "aa_replicate").sum() == expected


def test_a_replicate_is_loaded_anew():
    loaded = []

    def load():
        loaded.append(peak.arithmetic(HOST, 1, steps=1000))
        return loaded[-1]

    reference = peak.arithmetic(HOST, 1, steps=1000)
    frame({variant("direct"): load}, reference, rounds=1, min_repeat_ms=0, warmup=1)
    assert len(loaded) == 2 and loaded[0] is not loaded[1]
    assert math.isfinite(timing.fmean(loaded[0].time(1)))


class Failing:
    """A kernel that raises an error in some of its calls, counted from 0."""

    def __init__(self, error, when):
        self.kernel = peak.arithmetic(HOST, 1, steps=1000)
        self.error, self.when, self.calls = error, when, 0

    def time(self, number):
        self.calls += 1
        if self.when(self.calls - 1):
            raise self.error
        return self.kernel.time(number)


def failing_contenders(rounds=4, peers=None, **failing):
    """Return `direct` and `gemm` beside failing contenders, and each that is made, by name."""
    libraries = {name: [] for name in ("direct", "gemm", *failing)}

    def load(name):
        made = Failing(*failing.get(name, (None, lambda _: False)))
        libraries[name].append(made)
        return made

    chosen = Contenders(
        {variant(name): partial(load, name) for name in libraries},
        peak.arithmetic(HOST, 1, steps=1000),
        rounds=rounds,
        min_repeat_ms=0,
        warmup=1,
        replicates=len(libraries),
        peers=peers or {},
    )
    return chosen, libraries


def timed_with(**failing):
    """Time failing contenders on one platform; return samples, statuses and contenders."""
    chosen, libraries = failing_contenders(**failing)
    timing = time_libraries({"here": chosen}, seed=0)
    return pd.DataFrame(timing.samples), timing.statuses["here"], libraries


HUNG = FailedError("its timing: no answer within 9 s")
GONE = UnreachableError("platform 'board': the board is gone")


@pytest.mark.parametrize("first", [0, 1, 3])
def test_a_contender_that_fails_leaves_the_rounds_and_all_others_stay(first):
    samples, statuses, libraries = timed_with(hangs=(HUNG, lambda call: call >= first))
    assert statuses == {variant("hangs"): "failed: its timing: no answer within 9 s"}
    assert set(samples.primitive.dropna()) == {"direct", "gemm"}
    kept = samples.groupby([samples.primitive.fillna("reference"), "role"])["round"]
    assert len(kept) == 5 and all(list(rounds) == list(range(4)) for _, rounds in kept)
    # It is asked no more, and neither is its replicate.
    assert sum(each.calls for each in libraries["hangs"]) <= 2 * first + 1


def test_a_device_that_vanishes_once_costs_one_sample():
    samples, statuses, _ = timed_with(lost=(GONE, lambda call: call == 2), rounds=4)
    assert statuses == {}
    counts = samples.groupby([samples.primitive.fillna("reference"), "role"]).size()
    assert set(counts[["direct", "gemm", "reference"]]) == {4}
    assert set(counts["lost"]) == {3}


def test_a_library_under_which_the_device_vanishes_again_and_again_is_unreachable():
    samples, statuses, libraries = timed_with(lost=(GONE, lambda call: call > 0), rounds=6)
    assert statuses == {variant("lost"): "unreachable: platform 'board': the board is gone"}
    assert set(samples.primitive.dropna()) == {"direct", "gemm"}
    assert all(each.calls <= 3 for each in libraries["lost"])


def test_a_device_that_is_gone_for_good_is_looked_for_three_times():
    lost = dict.fromkeys(("a", "b", "c", "d"), (GONE, lambda _: True))
    samples, statuses, libraries = timed_with(**lost)
    assert {status for status in statuses.values()} == {GONE.status}
    assert set(lost) < {name.primitive for name in statuses}
    assert sum(each.calls for name in lost for each in libraries[name]) == timing.LOSSES
    assert samples.empty or set(samples.primitive.dropna()) <= {"direct", "gemm"}


def beside(**failing):
    """Time two platforms, one with failing contenders; return samples and statuses of both."""
    sound, _ = failing_contenders()
    broken, _ = failing_contenders(**failing)
    found = time_libraries({"broken": broken, "sound": sound}, seed=0)
    return pd.DataFrame(found.samples), found.statuses


@pytest.mark.parametrize("error", [HUNG, GONE], ids=["hung", "gone"])
def test_a_platform_that_fails_costs_no_row_of_another(error):
    always = {name: (error, lambda _: True) for name in ("direct", "gemm", "a", "b")}
    samples, statuses = beside(**always)
    assert set(statuses["broken"]) == {variant(name) for name in always}
    assert set(statuses["broken"].values()) == {error.status}
    assert statuses["sound"] == {}
    sound = samples[samples.platform == "sound"]
    assert len(sound) == 4 * 5 and sorted(set(sound["round"])) == [0, 1, 2, 3]
    assert set(samples[samples.platform == "broken"].role) <= {"reference"}


def test_a_library_that_fails_on_one_platform_is_timed_on_the_other():
    samples, statuses = beside(gemm=(HUNG, lambda call: call > 1))
    assert statuses == {"broken": {variant("gemm"): HUNG.status}, "sound": {}}
    counts = samples.groupby("platform").primitive.value_counts()
    assert counts["sound", "gemm"] == 8 and ("broken", "gemm") not in counts
    assert counts["broken", "direct"] == counts["sound", "direct"] == 8


def test_a_peer_that_fails_has_a_status_under_its_name():
    peer = Failing(
        FailedError("the peer pytorch: the process died of SIGKILL"), lambda call: call > 1
    )
    samples, statuses, _ = timed_with(peers={"pytorch": peer})
    assert statuses == {"pytorch": "failed: the peer pytorch: the process died of SIGKILL"}
    assert "pytorch" not in set(samples.role) and len(samples) == 4 * 5


class Stopped(Counted):
    """A kernel during which the process is stopped for a while at some calls."""

    def __init__(self, calls, stops, seconds):
        super().__init__(SHORT, calls, "stopped")
        self.stops, self.gap = stops, seconds

    def time(self, number):
        seconds = super().time(number)
        return [each + self.gap * (len(self.calls) in self.stops) for each in seconds]


def briefly(libraries, rounds, calls=None, **settings):
    """Time libraries in a few short rounds; the reference kernel notes its `calls`.

    Return the samples, and the statuses of the one platform.
    """
    kernel = Counted(SHORT, [] if calls is None else calls, "reference")
    shared = {"rounds": rounds, "min_repeat_ms": 1, "warmup": 1, "replicates": 0}
    chosen = {"here": Contenders(libraries, kernel, **shared, **settings)}
    found = time_libraries(chosen, seed=0)
    return found._replace(statuses=found.statuses["here"])


def test_a_sample_with_a_gap_is_taken_again():
    calls = []
    stopped = Stopped(calls, {3, 5}, 2.0)
    found = briefly({variant("direct"): lambda: stopped}, 5)
    latencies = [row["latency_ms"] for row in found.samples if row["role"] == "measured"]
    assert not found.statuses and len(latencies) == 5 and max(latencies) < 1000
    assert len(calls) == 1 + 5 + 2


def test_what_is_always_slower_than_the_warm_up_is_measured_as_it_is():
    calls = []
    slow = Stopped(calls, set(range(2, 100)), 2.0)
    found = briefly({variant("direct"): lambda: slow}, 1)
    latencies = [row["latency_ms"] for row in found.samples if row["role"] == "measured"]
    assert not found.statuses and min(latencies) > 2000


def test_a_sample_during_which_the_machine_slept_is_taken_again():
    asleep = iter((0, 0, 0, 7, 7, 7, 7, 7))
    calls = []
    found = briefly(
        {variant("direct"): lambda: Counted(SHORT, calls, "direct")},
        1,
        calls,
        interruptions=lambda: next(asleep, 7),
    )
    # Two contenders with a warm-up and a sample each, of which one is taken again.
    assert not found.statuses and len(calls) == 2 + 2 + 1


def test_what_is_interrupted_all_the_time_has_no_row_that_is_ok():
    ticks = iter(range(10**6))
    found = briefly(
        {variant("direct"): lambda: Counted(SHORT, [], "direct")},
        2,
        interruptions=lambda: next(ticks),
    )
    assert found.samples == []
    assert found.statuses[variant("direct")].startswith("failed: each sample is interrupted")


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan, math.inf])
def test_a_time_that_is_none_is_no_sample(seconds):
    class Broken:
        def time(self, number):
            return [seconds]

    found = briefly(
        {variant("direct"): Broken, variant("gemm"): lambda: Counted(SHORT, [], "gemm")}, 2
    )
    assert list(found.statuses) == [variant("direct")]
    assert {row["primitive"] for row in found.samples} == {"gemm", None}
