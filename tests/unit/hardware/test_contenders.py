"""Timings in a process that may crash or hang: a status for its library, no other loss."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

from dlas.hardware import contenders, cpus
from dlas.hardware.platforms import Platform, resolve, resolved
from dlas.hardware.timing import Contenders, Variant, time_libraries
from dlas.processes import Worker
from tests.unit.hardware import faulty
from tests.unit.hardware.faulty import PLATFORM

ROUNDS = 3
two_cores = pytest.mark.skipif(len(cpus.cores()) < 2, reason="needs two cores")


def on_two_threads():
    platform = Platform("two_threads", threads=2)
    return resolved(platform, resolve(platform))


@pytest.fixture
def folder(tmp_path):
    np.savez(tmp_path / "reference.npz", inputs=np.zeros((1, 3, 8, 8), "float32"))
    return tmp_path


def timed(folder, *kinds):
    for kind in kinds:
        faulty.write(kind, folder)
    with contenders.opened(PLATFORM) as bench:
        found = time_libraries({"here": entry(folder, bench, *kinds)}, seed=0)
    return found.samples, found.statuses["here"]


def entry(folder, bench, *kinds):
    """Return libraries of these kinds, to be timed on a platform."""
    return Contenders(
        {
            Variant("none", kind, "dense", "untuned"): partial(
                contenders.library, bench, folder / f"{kind}.so", folder / "reference.npz"
            )
            for kind in kinds
        },
        contenders.reference_kernel(bench),
        rounds=ROUNDS,
        min_repeat_ms=1,
        warmup=1,
    )


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("crashes", "failed: its timing: the process died of SIGABRT"),
        ("hangs", "failed: its timing: no answer within 15 s"),
    ],
)
def test_a_library_that_ends_the_process_has_a_status(folder, monkeypatch, kind, status):
    monkeypatch.setattr(contenders, "START_TIMEOUT_S", 15.0)
    samples, statuses = timed(folder, "right", kind, "last")
    assert {contenders.name_of(variant): why for variant, why in statuses.items()} == {
        f"none/{kind}-dense/untuned": status
    }
    counts = pd.DataFrame(samples).fillna("").groupby(["primitive", "role"]).size()
    assert counts.to_dict() == {
        ("right", "measured"): ROUNDS,
        ("right", "aa_replicate"): ROUNDS,
        ("last", "measured"): ROUNDS,
        ("last", "aa_replicate"): ROUNDS,
        ("", "reference"): ROUNDS,
    }
    assert all(0 < sample["latency_ms"] < 1000 for sample in samples)


def test_the_limit_follows_what_a_run_took(folder):
    faulty.write("right", folder)
    with contenders.opened(PLATFORM) as bench:
        one = contenders.library(bench, folder / "right.so", folder / "reference.npz")
        (seconds,) = one.time(5)
        assert one.seconds == seconds > 0
        bench.worker.close()
        # In a new process it is loaded anew.
        assert one.time(5)[0] > 0


@two_cores
def test_a_process_that_ends_costs_no_row_of_another_platform(folder):
    kinds = ("right", "crashes")
    for kind in kinds:
        faulty.write(kind, folder)
    machine = contenders.Machine()
    with (
        contenders.opened(PLATFORM, machine) as one,
        contenders.opened(on_two_threads(), machine) as two,
    ):
        chosen = {"one": entry(folder, one, "right"), "two": entry(folder, two, *kinds)}
        samples, statuses = time_libraries(chosen, seed=0)
    ended = "failed: its timing: the process died of SIGABRT"
    assert statuses["one"] == {}
    assert statuses["two"] == {Variant("none", "crashes", "dense", "untuned"): ended}
    counts = pd.DataFrame(samples).groupby(["platform", "role"])["round"].agg(list)
    assert len(counts) == 6 and all(rounds == list(range(ROUNDS)) for rounds in counts)


@two_cores
def test_threads_rest_before_another_platform_or_a_peer_is_timed(monkeypatch):
    """On a busy machine spinning threads yield, so a worker's processor time says little."""
    calls, call = [], Worker.call

    def noted(worker, method, *arguments, **limits):
        calls.append((worker, method))
        return call(worker, method, *arguments, **limits)

    monkeypatch.setattr(Worker, "call", noted)
    machine = contenders.Machine()
    with (
        contenders.opened(PLATFORM, machine) as one,
        contenders.opened(on_two_threads(), machine) as two,
    ):
        narrow, wide = contenders.reference_kernel(one), contenders.reference_kernel(two)
        narrow.time(1)
        # One thread never spins, and that of a platform does not wait for itself.
        for contender in (wide, wide, narrow, narrow, wide):
            contender.time(1)
        machine.wait_for_rest()
        machine.wait_for_rest()
        wide.time(1)
        two.worker.close()
        # A process that ended is not started to rest.
        narrow.time(1)
    sampled = {one.worker: "one", two.worker: "two"}
    assert [f"{sampled[worker]} {method}" for worker, method in calls] == [
        *("one reference", "two reference", "two reference"),
        *("two rest", "one reference", "one reference"),
        *("two reference", "two rest"),
        *("two reference", "one reference"),
    ]
