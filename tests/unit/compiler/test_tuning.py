"""Tuning: what is measured once, what survives, and what is thrown away."""

import logging
import multiprocessing
import os
import resource
import signal
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from dlas.compiler import lowering
from dlas.compiler.build import build_library, complete
from dlas.compiler.layer import Layer, workload_hash
from dlas.compiler.tuning import measurement, tasks
from dlas.compiler.tuning.building import Job, build, write_candidate
from dlas.compiler.tuning.confirmation import _chance, confirm
from dlas.compiler.tuning.limits import DEFAULT_TIMEOUT_S, SLOWER, TimeLimit
from dlas.compiler.tuning.measurement import CandidateError, Measurer, Reference, copies
from dlas.compiler.tuning.network import tune_network
from dlas.compiler.tuning.records import Records
from dlas.compiler.tuning.settings import Settings
from dlas.errors import StudyError
from dlas.hardware.devices import device_opener
from dlas.hardware.platforms import Platform, target
from dlas.primitives import load, load_format
from dlas.primitives.vector import vector_unit
from tests.unit.compiler.imported import network_of
from tests.unit.compiler.searches import count, lines, trials

ONE = Platform("host", threads=1)
HOST, HERE = target(ONE), device_opener(ONE)
TIMEOUT_S = 60  # no candidate may fail because other tests take the machine
SETTINGS = Settings(
    "evolutionary",
    {"layer": 4, "network": 100},
    3,
    {"repeats": 2, "min_repeat_ms": 0.2, "timeout_s": TIMEOUT_S},
    {"finalists": 1, "repeats": 5},
)


@pytest.fixture(scope="session")
def network():
    """One layer that is called twice, and two others."""
    return network_of(16, 16, 16)


def tuned(network, records, primitive="spatial_pack", weight_format="dense", **changes):
    settings = replace(SETTINGS, **changes)
    return tune_network(
        network, primitive, weight_format, HOST, settings, records=records, seed=0, opener=HERE
    )


def job_of(layer, folder):
    """What builds a layer's default code."""
    return Job(partial(write_candidate, layer, {}, complete(HOST)), folder)


def a_layer(network):
    """The layer that the network calls twice."""
    vector = vector_unit(complete(HOST), "float32")
    found = lowering.layers(network, load("spatial_pack"), load_format("dense"), vector)
    return next(layer for layer, calls in found if calls == 2)


@pytest.mark.parametrize(
    ("primitive", "weight_format"),
    [("spatial_pack", "dense"), ("direct", "dense"), ("gemm", "dense"), ("direct", "csr")],
)
def test_the_choices_of_tuning_are_what_a_library_is_built_by(
    network, tmp_path, primitive, weight_format, monkeypatch, caplog
):
    monkeypatch.setattr(tasks, "FINALIST_RATIO", 1e3)  # so that there are finalists
    outcome = tuned(network, tmp_path, primitive, weight_format)
    assert len(outcome.choices) == 3
    assert "all layers stay as by default" not in caplog.text
    curve = pd.DataFrame(outcome.curve)
    assert list(curve["trial"]) == list(range(1, count(tmp_path) + 1))
    assert curve["network_ms"].notna().sum() == count(tmp_path) - 2
    assert curve["network_ms"].dropna().is_monotonic_decreasing
    images = np.random.default_rng(0).standard_normal((2, 3, 8, 8), "float32")
    default = build_library(network, primitive, weight_format, HOST)
    assert default.record()["scheduled_layers"] is None
    for choice in outcome.choices.values():
        assert choice["trials"] <= 4
        assert choice["ratio"] < 1 if choice["decisions"] else choice["ratio"] == 1
    library = build_library(network, primitive, weight_format, HOST, outcome.choices)
    changed = [choice for choice in outcome.choices.values() if choice["decisions"]]
    assert len(changed) <= library.record()["scheduled_layers"] <= 4
    assert library.record()["scheduled_layers"] > 0 or not changed
    np.testing.assert_allclose(library.load().run(images), default.load().run(images), atol=1e-4)


def test_any_decisions_compute_the_same_network(network):
    """Each layer by the last of its valid decisions, which are not the default."""
    images = np.random.default_rng(0).standard_normal((1, 3, 8, 8), "float32")
    default = build_library(network, "spatial_pack", "dense", HOST)
    vector = vector_unit(complete(HOST), "float32")
    found = lowering.layers(network, load("spatial_pack"), load_format("dense"), vector)
    choices = {
        workload_hash(layer, HOST): {"decisions": list(layer.points())[-1]} for layer, _ in found
    }
    library = build_library(network, "spatial_pack", "dense", HOST, choices)
    assert library.record()["scheduled_layers"] == 4
    np.testing.assert_allclose(library.load().run(images), default.load().run(images), atol=1e-4)
    with pytest.raises(StudyError, match="was not tuned for the target"):
        build_library(network, "gemm", "dense", HOST, choices)


def test_no_workload_is_tuned_twice(network, tmp_path, caplog):
    caplog.set_level(logging.INFO, "dlas")
    enough = trials(4, 10_000)
    first = tuned(network, tmp_path, trials=enough)
    before = lines(tmp_path)
    again = tuned(network, tmp_path, trials=enough)
    assert again.choices.keys() == first.choices.keys()
    assert pd.DataFrame(again.curve).equals(pd.DataFrame(first.curve))
    tuned(network_of(16, 16), tmp_path, trials=enough)  # another network of the same layers
    assert lines(tmp_path) == before
    assert f"in {count(tmp_path)} trials, of which records save {count(tmp_path)}" in caplog.text
    assert "0 candidates measured" in caplog.text


def test_more_trials_go_on_from_the_records(network, tmp_path):
    few = tuned(network, tmp_path, trials=trials(2))
    before = lines(tmp_path)
    more = tuned(network, tmp_path, trials=trials(5))
    for workload, kept in before.items():
        assert lines(tmp_path)[workload][: len(kept)] == kept
        assert len(kept) <= 2
    assert count(tmp_path) > sum(map(len, before.values()))
    # The smaller number of trials again: as if there were no others.
    assert tuned(network, tmp_path, trials=trials(2)).choices.keys() == few.choices.keys()
    assert len(tuned(network, tmp_path, trials=trials(2)).curve) == len(few.curve) < len(more.curve)


class Small(Layer):
    """A layer of few choices."""

    @property
    def space(self):
        return {name: super(Small, self).space[name][:3] for name in ("tile", "grain")}


@pytest.mark.parametrize("strategy", ["evolutionary", "replay-trace"])
def test_a_search_tries_everything_once_and_ends(tmp_path, monkeypatch, strategy):
    """More trials than a space has decisions."""
    monkeypatch.setattr(lowering, "Layer", Small)
    vector = vector_unit(complete(HOST), "float32")
    small = network_of(16, linear=False)
    ((layer, _),) = lowering.layers(small, load("spatial_pack"), load_format("dense"), vector)
    size = len(list(layer.points()))
    outcome = tuned(small, tmp_path, strategy=strategy, trials=trials(1000, 1000), batch=8)
    assert 9 == size == count(tmp_path) == len(outcome.curve)
    measured = {
        tuple(trial.decisions.items())
        for folder in tmp_path.iterdir()
        for trial in Records(folder, layer, complete(HOST)).trials
    }
    assert len(measured) == size


@pytest.mark.parametrize("tail", [b'[0,[[[["GetSBlock",[],["con', b"\x00\x00\n", b"[]\n"])
def test_a_damaged_last_record_is_dropped_and_measured_again(network, tmp_path, tail, caplog):
    tuned(network, tmp_path)
    before = lines(tmp_path)
    damaged = max(before, key=lambda workload: len(before[workload]))
    file = tmp_path / damaged / "records.jsonl"
    file.write_bytes(b"".join(before[damaged][:-1]) + tail)
    tuned(network, tmp_path)
    assert lines(tmp_path)[damaged][:-1] == before[damaged][:-1]
    assert count(tmp_path) == sum(map(len, before.values()))
    assert "1 damaged records dropped" in caplog.text


def test_a_torn_workload_is_written_again(network, tmp_path):
    tuned(network, tmp_path, trials=trials(1))
    file = next(tmp_path.glob("*/workload.json"))
    whole = file.read_bytes()
    file.write_bytes(whole[:100])
    tuned(network, tmp_path, trials=trials(1))
    assert file.read_bytes() == whole


def test_a_killed_job_resumes_with_nothing_lost(network, tmp_path):
    job = multiprocessing.get_context("fork").Process(
        target=tuned, args=(network, tmp_path), kwargs={"trials": trials(30)}
    )
    job.start()
    while count(tmp_path) < 5:
        assert job.is_alive()
        time.sleep(0.01)
    os.kill(job.pid, signal.SIGKILL)
    job.join()
    before = {
        workload: [line for line in kept if line.endswith(b"\n")]
        for workload, kept in lines(tmp_path).items()
    }
    tuned(network, tmp_path, trials=trials(6))
    after = lines(tmp_path)
    for workload, kept in before.items():
        assert after[workload][: len(kept)] == kept


class Wrong(Layer):
    """Doubles the output of all code but the default."""

    def kernel(self, decisions):
        kernel = super().kernel(decisions)
        if not decisions or decisions == self.defaults:
            return kernel
        return replace(kernel, constants=tuple(2 * constant for constant in kernel.constants))


class Right(Wrong):
    """Doubles the output of a quarter of the code."""

    def kernel(self, decisions):
        return (Layer if sum(decisions.values()) % 4 else Wrong).kernel(self, decisions)


def test_wrong_code_never_wins_and_is_not_tried_again(network, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(lowering, "Layer", Right)
    outcome = tuned(network, tmp_path, trials=trials(8), batch=8)
    assert "its output is wrong by" in caplog.text
    layer = a_layer(network)
    assert isinstance(layer, Right)
    failed = 0
    for folder in tmp_path.iterdir():
        for trial in Records(folder, layer, complete(HOST)).trials:
            right = trial.decisions == layer.defaults or sum(trial.decisions.values()) % 4 > 0
            failed += trial.failed
            if trial.failed:
                assert not right
    assert failed == pd.DataFrame(outcome.curve)["latency_ms"].isna().sum() > 0
    for choice in outcome.choices.values():
        assert sum(choice["decisions"].values()) % 4 or not choice["decisions"]


def test_tuning_stops_where_all_candidates_fail(network, tmp_path, monkeypatch):
    monkeypatch.setattr(lowering, "Layer", Wrong)
    with pytest.raises(StudyError, match=r"all 3 candidates of a batch failed.* output is wrong"):
        tuned(network, tmp_path)
    assert (
        count(tmp_path) == 3
    )  # the defaults, and no failure that may not be the candidates' fault


@pytest.mark.parametrize(
    ("do", "reason"),
    [
        (lambda *_: time.sleep(60), "compiling takes longer than 1 s"),
        (lambda *_: os.kill(os.getpid(), signal.SIGKILL), "the compiler died with status -9"),
        (lambda *_: 1 // 0, "ZeroDivisionError"),
    ],
)
def test_a_candidate_that_cannot_be_built_says_why(network, tmp_path, monkeypatch, do, reason):
    monkeypatch.setattr(Layer, "scheduled", do)
    (found,) = build([job_of(a_layer(network), tmp_path / "1")], 1)
    assert reason in found.reason


def test_a_candidate_that_crashes_or_hangs_is_its_own_failure(network, tmp_path, monkeypatch):
    layer = a_layer(network)
    (built,) = build([job_of(layer, tmp_path / "1")], 20)
    assert built.reason is None and 0 < built.seconds < 20
    bench = measurement._Bench
    measurer = Measurer(HERE, repeats=2, min_repeat_ms=0.1, timeout_s=1)
    try:
        monkeypatch.setattr(bench, "time", lambda *_: time.sleep(60))
        measurer.use(Reference(tmp_path / "1", 2))
        with pytest.raises(CandidateError, match="longer than 1 s"):
            measurer.time(tmp_path / "1")
        monkeypatch.setattr(bench, "time", lambda *_: os._exit(11))
        with pytest.raises(CandidateError, match="the process ended with exit status 11"):
            measurer.time(tmp_path / "1")
        monkeypatch.undo()
        samples = measurer.time(tmp_path / "1")
        assert len(samples) == 2 and min(samples) > 0
    finally:
        measurer.close()


def test_the_limit_of_candidates_scales_with_the_default_code():
    """On a machine ten times slower, the limit that is right here must not end what works."""
    limit = TimeLimit(2)
    assert limit.seconds == DEFAULT_TIMEOUT_S
    limit.default_took(0.01)
    assert limit.seconds == 2
    limit.default_took(3)
    limit.default_took(1)
    assert limit.seconds == 3 * SLOWER


def test_a_default_that_is_slower_than_the_limit_is_tuned(network, tmp_path, monkeypatch):
    output = measurement._Candidate.output

    def slow(candidate):
        time.sleep(0.3)
        return output(candidate)

    monkeypatch.setattr(measurement._Candidate, "output", slow)
    limits = SETTINGS.measurement | {"timeout_s": 0.1}
    outcome = tuned(network, tmp_path, measurement=limits, trials=trials(2))
    assert outcome.curve and all(row["latency_ms"] is not None for row in outcome.curve)


def test_a_full_disk_costs_one_record(network, tmp_path):
    """A limit on the size of files stops a write in its middle, as a full disk does."""
    layer = a_layer(network)
    records = Records(tmp_path, layer, complete(HOST))
    records.add(layer.defaults, [1e-3])
    file = tmp_path / "records.jsonl"
    before = file.read_bytes()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, limit[1]))
    try:
        with pytest.raises(StudyError, match=r"cannot write a tuning record to .*disk full"):
            records.add(list(layer.points())[1], [1e-3])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert file.read_bytes() == before
    assert len(Records(tmp_path, layer, complete(HOST)).trials) == 1


def test_a_full_disk_is_named_before_anything_is_measured(network, tmp_path):
    layer = a_layer(network)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limit[1]))
    try:
        with pytest.raises(StudyError, match=r"cannot write a tuning record to .*disk full"):
            Records(tmp_path, layer, complete(HOST))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert Records(tmp_path, layer, complete(HOST)).trials == []


@pytest.mark.parametrize(
    ("change", "threads", "reason"),
    [
        ({"num-cores": None}, 1, "has no num-cores"),
        ({"num-cores": 1000}, 1000, "1000 threads asked for"),
    ],
)
def test_the_number_of_cores_must_be_there_and_possible(network, tmp_path, change, threads, reason):
    changed = {name: value for name, value in (HOST | change).items() if value is not None}
    with pytest.raises(StudyError, match=reason):
        tune_network(
            network,
            "direct",
            "dense",
            changed,
            SETTINGS,
            records=tmp_path,
            seed=0,
            opener=device_opener(Platform("host", threads=threads)),
        )


def in_network(*speeds):
    """A measurement of workloads "a" and "b" in 11 rounds, `speeds` relative to the default.

    Every round is slower than the one before, and a little noise is in each sample.
    """
    random = np.random.default_rng(0)

    def measure(ways):
        drift = np.linspace(1, 2, 11)[:, None, None]
        times = [[1.0, 1.0]] + [
            [
                speed.get(way.get(name, {}).get("tile"), 1.0)
                for name, speed in zip("ab", speeds, strict=True)
            ]
            for way in ways
        ]
        return drift * np.array(times)[None] * random.uniform(0.99, 1.01, (11, len(times), 2))

    return measure


def test_the_finalist_that_is_fastest_in_the_network_is_confirmed():
    finalists = {"a": [{"tile": 1}, {"tile": 2}], "b": [{"tile": 1}]}
    found = confirm(finalists, in_network({1: 0.9, 2: 0.8}, {1: 1.2}))
    assert found["a"] == ({"tile": 2}, pytest.approx(0.8, rel=0.02))
    assert found["b"] == (None, 1.0)  # faster alone, slower in the network


def test_what_is_no_faster_than_the_default_is_not_used():
    found = confirm({"a": [{"tile": 1}], "b": []}, in_network({1: 1.0}, {}))
    assert found == {name: (None, 1.0) for name in "ab"}
    assert confirm({"a": [], "b": []}, None) == found  # and nothing is measured for nothing


def test_a_network_by_wrong_choices_is_not_used(network, tmp_path, monkeypatch, caplog):
    """Wrong only in the network: a layer is measured without the layers fused behind it."""
    right = measurement.load_library

    def load_wrong(path, board):
        loaded = right(path, board)
        if path.parent.name != "0":
            run = loaded.run
            loaded.run = lambda images: 2 * run(images)
        return loaded

    monkeypatch.setattr(measurement, "load_library", load_wrong)
    monkeypatch.setattr(tasks, "FINALIST_RATIO", 1e3)  # so that there are finalists
    outcome = tuned(network, tmp_path)
    assert "all layers stay as by default: CandidateError: in the network" in caplog.text
    assert all(choice["decisions"] == {} for choice in outcome.choices.values())


def test_an_unknown_strategy_is_named(network, tmp_path):
    with pytest.raises(StudyError, match="unknown search strategy 'random'"):
        tuned(network, tmp_path, strategy="random")


def test_copies_of_constants_stand_for_a_network():
    assert copies(1000, 10_000) == 10
    assert copies(1000, 1000) == 1
    assert copies(10, 10**9) == measurement.COPIES
    assert copies(16 << 20, 10**9) == 4
    assert copies(128 << 20, 10**9) == 1


@pytest.mark.parametrize("rounds", [1, 5, 11, 30])
def test_the_sign_test_is_that_of_scipy(rounds):
    for wins in range(rounds + 1):
        expected = binomtest(wins, rounds, alternative="greater").pvalue
        assert _chance(wins, rounds) == pytest.approx(expected, rel=1e-12)
