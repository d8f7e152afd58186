"""Check the libraries of a network on a platform, each in a process that may crash or hang without harm."""

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from dlas import datasets, status
from dlas.compiler.check import check_outputs, check_top1
from dlas.compiler.device import Device
from dlas.compiler.library import CompiledNetwork, load_library
from dlas.errors import FailedError, RowError, UnreachableError
from dlas.hardware.devices import open_device
from dlas.hardware.platforms import Platform, require_host
from dlas.processes import Worker, WorkerError

# How often a library is checked whose device vanished, and how often in a row a device may vanish.
ATTEMPTS, LOSSES = 3, 3
# For the first images; what follows may take a multiple of what they took.
START_TIMEOUT_S = 600.0
SLOWER = 20


@dataclass(frozen=True)
class Expectation:
    """What the libraries of a network must compute.

    Parameters
    ----------
    dataset, reference : str or Path
        The data set, whose test split gives the top-1, and the framework's logits of a few images.
    dtype : str
        What the network computes in.
    top1 : float
        The framework's top-1 on the test split in percent.
    tolerance, top1_tolerance : float
        As in `check_outputs` and `check_top1`.
    """

    dataset: str | Path
    reference: str | Path
    dtype: str
    top1: float
    tolerance: float
    top1_tolerance: float


def check_libraries(
    builds: Mapping[str, Mapping[str, Any]],
    folder: Path,
    platform: Platform,
    expected: Expectation,
    threads: int,
    slow: Collection[str] = (),
) -> dict[str, dict[str, Any]]:
    """Check each library that was built.

    Parameters
    ----------
    builds : mapping of str to record
        The records of the builds by the libraries' names.
    folder : Path
        Where the libraries lie, under their names.
    platform : Platform
        The platform, resolved.
    expected : Expectation
        What they must compute.
    threads : int
        How many threads a library may use here; several checks run side by side.
    slow : collection of str
        The libraries that would take too long on the test split: their top-1 is not taken.

    Returns
    -------
    dict of str to record
        For each library "status", "error" and "top1_compiled"; the last two are None where the
        status speaks against the library, and so is the last one of a slow library.
    """
    checks: dict[str, dict[str, Any]] = {
        name: {"status": status.of(build), "error": None, "top1_compiled": None}
        for name, build in builds.items()
    }
    remaining = [name for name, check in checks.items() if status.ran(check["status"])]
    # Threads rest at once: other checks run on the same cores, and nothing is timed.
    env = {"TVM_NUM_THREADS": str(threads), "TVM_THREAD_POOL_SPIN_COUNT": "0"}
    with (
        Worker(_checker, platform, expected, fresh=platform.fresh, env=env) as worker,
        tqdm(total=len(remaining), desc="checking", unit="library", disable=None) as progress,
    ):
        lost: list[str] = []
        for _ in range(ATTEMPTS):
            for name in remaining:
                library = folder / f"{name}.so"
                if platform.connection is None:
                    require_host(str(library), builds[name]["target"])
                if len(lost) < LOSSES:
                    checks[name] |= _check(worker, library, name not in slow)
                else:
                    checks[name]["status"] = lost[-1]
                lost = [*lost, checks[name]["status"]] if _unreachable(checks[name]) else []
                progress.update()
            remaining = [name for name in remaining if _unreachable(checks[name])]
    return checks


def _unreachable(check: Mapping[str, Any]) -> bool:
    return status.kind(check["status"]) == status.UNREACHABLE


def _check(worker: Worker, library: Path, top1: bool) -> dict[str, Any]:
    """Return what the check of one library found."""
    try:
        # An error at the start of the process is not the library's.
        worker.open()
        return {"status": status.OK, **_compared(worker, library, top1)}
    except UnreachableError as error:
        # The next library meets a new connection.
        worker.close()
        return {"status": error.status}
    except RowError as error:
        return {"status": error.status}


def _compared(worker: Worker, library: Path, top1: bool) -> dict[str, float]:
    """Return the error of one library, and its top-1 if asked for; raise RowError for one that is not right."""
    try:
        start = time.perf_counter()
        error = worker.call("outputs", library, timeout_s=START_TIMEOUT_S)
        if not top1:
            return {"error": error}
        limit = START_TIMEOUT_S + SLOWER * (time.perf_counter() - start) * worker.call(
            "batches", timeout_s=START_TIMEOUT_S
        )
        return {"error": error, "top1_compiled": worker.call("top1", timeout_s=limit)}
    except WorkerError as failure:
        failure.raise_bug()
        raise FailedError(f"its check: {failure}") from failure


class _Checker:
    """The library whose turn it is, in the worker's process."""

    network: CompiledNetwork

    def __init__(self, device: Device, expected: Expectation) -> None:
        self.device, self.expected = device, expected
        self.dataset = datasets.load(expected.dataset)
        with np.load(expected.reference) as arrays:
            self.reference = dict(arrays)

    def outputs(self, library: Path) -> float:
        self.network = load_library(library, self.device)
        expected = self.expected
        images, logits = self.reference["inputs"], self.reference["outputs"]
        return check_outputs(self.network, images, logits, expected.dtype, expected.tolerance)

    def batches(self) -> float:
        """Return how often the images of the reference go into the test split."""
        return len(self.dataset.test.labels) / len(self.reference["inputs"])

    def top1(self) -> float:
        images = datasets.normalized(self.dataset.test, self.dataset)
        expected, labels = self.expected, self.dataset.test.labels
        return check_top1(self.network, images, labels, expected.top1, expected.top1_tolerance)


@contextmanager
def _checker(platform: Platform, expected: Expectation) -> Iterator[_Checker]:
    with open_device(platform) as device:
        yield _Checker(device, expected)
