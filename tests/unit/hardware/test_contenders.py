"""Timings in a process that may crash or hang: its library has a status, and all others all of their samples."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

from dlas.hardware import contenders
from dlas.hardware.timing import Variant, time_libraries
from tests.unit.hardware import faulty
from tests.unit.hardware.faulty import PLATFORM

ROUNDS = 3


@pytest.fixture
def folder(tmp_path):
    np.savez(tmp_path / "reference.npz", inputs=np.zeros((1, 3, 8, 8), "float32"))
    return tmp_path


def timed(folder, *kinds):
    for kind in kinds:
        faulty.write(kind, folder)
    with contenders.opened(PLATFORM) as worker:
        return time_libraries(
            {
                Variant("none", kind, "dense", "untuned"): partial(
                    contenders.library, worker, folder / f"{kind}.so", folder / "reference.npz"
                )
                for kind in kinds
            },
            contenders.reference_kernel(worker),
            rounds=ROUNDS,
            min_repeat_ms=1,
            warmup=1,
            seed=0,
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
    with contenders.opened(PLATFORM) as worker:
        one = contenders.library(worker, folder / "right.so", folder / "reference.npz")
        (seconds,) = one.time(5)
        assert one.seconds == seconds > 0
        worker.close()
        # In a new process it is loaded anew.
        assert one.time(5)[0] > 0
