"""Check the libraries of a network on a platform, in a worker that may crash or hang."""

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

# Checks of one library whose device disconnects, and disconnections in a row before giving up.
ATTEMPTS, LOSSES = 3, 3
# Timeout of the first images; the rest may take SLOWER times as long per image.
START_TIMEOUT_S = 600.0
SLOWER = 20


@dataclass(frozen=True)
class Expectation:
    """The expected results of a network's libraries.

    Attributes
    ----------
    dataset, reference : str or Path
        The data set, whose test split gives the top-1, and the framework's logits of a few images.
    dtype : str
        Type that the network computes in.
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
    """Check each built library.

    Parameters
    ----------
    builds : mapping of str to record
        The build records by the libraries' names.
    folder : Path
        Folder of the libraries, which have their names.
    platform : Platform
        The platform, resolved.
    expected : Expectation
        The expected results.
    threads : int
        Threads of a library; several checks run side by side.
    slow : collection of str
        Libraries that would take too long on the test split: their top-1 is skipped.

    Returns
    -------
    dict of str to record
        For each library "status", "error" and "top1_compiled". The last two are None if the status
        is an error; "top1_compiled" is None for a slow library too.
    """
    checks: dict[str, dict[str, Any]] = {
        name: {"status": status.of(build), "error": None, "top1_compiled": None}
        for name, build in builds.items()
    }
    remaining = [name for name, check in checks.items() if status.ran(check["status"])]
    # Idle threads sleep at once: other checks run on the same cores, and nothing is timed.
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
    """Return the results of one library's check."""
    try:
        # Errors at the start of the process, outside `_compared`, are not the library's.
        worker.open()
        return {"status": status.OK, **_compared(worker, library, top1)}
    except UnreachableError as error:
        # The next library gets a new connection.
        worker.close()
        return {"status": error.status}
    except RowError as error:
        return {"status": error.status}


def _compared(worker: Worker, library: Path, top1: bool) -> dict[str, float]:
    """Return the error and, if asked for, the top-1 of one library; raise RowError if wrong."""
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
    """The checks of one library after the other, in the worker's process."""

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
        """Return the ratio of the test split's images to the reference's."""
        return len(self.dataset.test.labels) / len(self.reference["inputs"])

    def top1(self) -> float:
        images = datasets.normalized(self.dataset.test, self.dataset)
        expected, labels = self.expected, self.dataset.test.labels
        return check_top1(self.network, images, labels, expected.top1, expected.top1_tolerance)


@contextmanager
def _checker(platform: Platform, expected: Expectation) -> Iterator[_Checker]:
    with open_device(platform) as device:
        yield _Checker(device, expected)
