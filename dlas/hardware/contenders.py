"""What is timed on a platform, each in a process that may crash or hang without harm: libraries and peers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from dlas.compiler.check import check_logits
from dlas.compiler.device import Device
from dlas.compiler.library import NetworkTimer, load_library
from dlas.errors import FailedError, RowError, StudyError, UnreachableError
from dlas.hardware import host, peak
from dlas.hardware.devices import open_device
from dlas.hardware.platforms import Platform, cpu_target, threads
from dlas.hardware.timing import Variant
from dlas.processes import Worker, WorkerError
from dlas.runtimes.peer import Peer, rest

# Loading a library and its first run; what follows may take a multiple of what is expected.
START_TIMEOUT_S, SLOWER = 120.0, 20
# TVM's threads wait for more work in this many rounds, about 15 ms instead of 150, before they rest and leave their
# core to a peer. Between two kernels of a network they wait for microseconds.
SPINNING = {"TVM_THREAD_POOL_SPIN_COUNT": "30000"}


@contextmanager
def opened(platform: Platform) -> Iterator[Worker]:
    """Yield the worker that times libraries on a platform, which is resolved; the device is opened on first use."""
    with Worker(_bench, platform, fresh=platform.fresh, env=SPINNING) as worker:
        yield worker


class Contender:
    """A method of the worker that runs something a number of times and returns the mean seconds of a run."""

    def __init__(self, worker: Worker, method: str, *arguments: Any) -> None:
        self.worker, self.method, self.arguments = worker, method, arguments
        self.seconds = 0.0

    def time(self, number: int) -> Sequence[float]:
        """Return samples of the mean seconds of a run, after one that does not count."""
        try:
            # An error at the start of the process is not the library's.
            self.worker.open()
            found = self._samples(number)
        except UnreachableError:
            # The next sample meets a new connection.
            self.worker.close()
            raise
        self.seconds = max(found)
        return found

    def _samples(self, number: int) -> list[float]:
        limit = START_TIMEOUT_S + SLOWER * number * self.seconds
        try:
            found: list[float] = self.worker.call(
                self.method, *self.arguments, number, timeout_s=limit
            )
        except WorkerError as error:
            error.raise_bug()
            raise FailedError(f"its timing: {error}") from error
        return found


def interruptions(platform: Platform) -> Callable[[], Any]:
    """Return `host.interruptions`; on another machine they are not known."""
    return host.interruptions if platform.connection is None else lambda: None


def library(worker: Worker, file: Path, reference: str | Path) -> Contender:
    """Return a library on the first image of a reference. Each contender loads it anew."""
    contender = Contender(worker, "library")
    contender.arguments = (id(contender), file, Path(reference))
    return contender


def reference_kernel(worker: Worker) -> Contender:
    """Return the kernel whose samples show the drift of the machine."""
    return Contender(worker, "reference")


def name_of(variant: Variant) -> str:
    """Return the name of a library among those of a model: "none/gemm-dense/untuned"."""
    return "{}/{}-{}/{}".format(*variant)


def checked_peers(
    worker: Worker, peers: Mapping[str, Peer], reference: str | Path, tolerance: float
) -> tuple[dict[str, "PeerContender"], dict[str, str]]:
    """Return the peers that compute the logits of a reference, and the status of each other one."""
    with np.load(reference) as arrays:
        expected = arrays["outputs"]
    right, statuses = {}, {}
    for name, peer in peers.items():
        try:
            check_logits(peer.logits(), expected, "float32", tolerance)
            right[name] = PeerContender(worker, peer)
        except RowError as error:
            statuses[name] = error.status
        except StudyError as error:
            statuses[name] = FailedError(error).status
    return right, statuses


class PeerContender:
    """A peer, which runs while the worker's threads rest."""

    def __init__(self, worker: Worker, peer: Peer) -> None:
        self.worker, self.peer = worker, peer

    def time(self, number: int) -> Sequence[float]:
        """Return a sample of the mean seconds of a run."""
        try:
            self.worker.call("rest", timeout_s=START_TIMEOUT_S)
            return self.peer.time(number)
        except (WorkerError, StudyError) as error:
            raise FailedError(error) from error


class _Bench:
    """The libraries that are loaded, in the worker's process."""

    def __init__(self, device: Device, platform: Platform) -> None:
        self.device, self.platform = device, platform
        self.timers: dict[int, NetworkTimer] = {}
        self.kernel: peak.Kernel | None = None

    def library(self, key: int, file: Path, reference: Path, number: int) -> list[float]:
        if key not in self.timers:
            with np.load(reference) as arrays:
                image = arrays["inputs"][:1]
            self.timers[key] = load_library(file, self.device).timer(image)
        return self.timers[key].time(number)

    def reference(self, number: int) -> list[float]:
        if self.kernel is None:
            target = cpu_target(self.platform)
            self.kernel = peak.arithmetic(target, threads(self.platform), board=self.device)
        return self.kernel.time(number)

    def rest(self) -> None:
        rest()


@contextmanager
def _bench(platform: Platform) -> Iterator[_Bench]:
    with open_device(platform, threads(platform)) as device:
        yield _Bench(device, platform)
