"""Timed libraries and peers, each in a process that may crash or hang."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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

# Timeout for loading a library and its first run; later runs may take SLOWER times their last time.
START_TIMEOUT_S, SLOWER = 120.0, 20
# TVM's idle threads spin for this many rounds, about 15 ms instead of 150, before they sleep and
# free their core. Between two kernels of a network they wait for microseconds.
SPINNING = {"TVM_THREAD_POOL_SPIN_COUNT": "30000"}


class Machine:
    """A machine whose cores several processes share, one after the other."""

    def __init__(self) -> None:
        # The worker whose idle threads may spin, on cores that others need.
        self.spinning: Worker | None = None

    def wait_for_rest(self, worker: Worker | None = None) -> None:
        """Wait until no threads spin, except those of `worker`."""
        other = self.spinning
        if other is None or other is worker:
            return
        self.spinning = None
        # A process that ended has no threads, and a call would start it again.
        if other.pid is None:
            return
        try:
            other.call("rest", timeout_s=START_TIMEOUT_S)
        except WorkerError as error:
            error.raise_bug()
            other.close()


@dataclass(frozen=True)
class Bench:
    """The worker that times a platform's libraries, and the machine that it shares.

    Attributes
    ----------
    worker : Worker
        The process that times libraries.
    machine : Machine
        The machine, shared with other workers and peers.
    threads : int
        Threads of a network.
    """

    worker: Worker
    machine: Machine
    threads: int

    def take_turn(self) -> None:
        """Wait until no other threads spin."""
        self.machine.wait_for_rest(self.worker)
        # A single thread has no pool, so nothing spins.
        if self.threads > 1:
            self.machine.spinning = self.worker


@contextmanager
def opened(platform: Platform, machine: Machine | None = None) -> Iterator[Bench]:
    """Yield the bench of a resolved platform; its device is opened on first use.

    Parameters
    ----------
    platform : Platform
        The platform, resolved.
    machine : Machine, optional
        The machine, if other processes share it.
    """
    with Worker(_libraries, platform, fresh=platform.fresh, env=SPINNING) as worker:
        yield Bench(worker, machine or Machine(), threads(platform))


class Contender:
    """A method of the worker that runs something `number` times and returns the mean seconds."""

    def __init__(self, bench: Bench, method: str, *arguments: Any) -> None:
        self.bench, self.method, self.arguments = bench, method, arguments
        self.seconds = 0.0

    @property
    def worker(self) -> Worker:
        """The process that runs the contender."""
        return self.bench.worker

    def time(self, number: int) -> Sequence[float]:
        """Return samples of the mean seconds of a run, after a discarded warm-up."""
        self.bench.take_turn()
        try:
            # Errors at the start of the process, outside `_samples`, are not the library's.
            self.worker.open()
            found = self._samples(number)
        except UnreachableError:
            # The next sample gets a new connection.
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
    """Return `host.interruptions`, or for another machine a function that returns None."""
    return host.interruptions if platform.connection is None else lambda: None


def library(bench: Bench, file: Path, reference: str | Path) -> Contender:
    """Return the contender that runs a library on the first image of a reference.

    Each contender loads the library anew.

    Parameters
    ----------
    bench : Bench
        The bench of the platform.
    file : Path
        The library.
    reference : str or Path
        The .npz file of the reference, with "inputs".
    """
    contender = Contender(bench, "library")
    contender.arguments = (id(contender), file, Path(reference))
    return contender


def reference_kernel(bench: Bench) -> Contender:
    """Return the contender of a kernel whose samples show the drift of the machine."""
    return Contender(bench, "reference")


def name_of(variant: Variant) -> str:
    """Return the name of a library among those of a model: "none/gemm-dense/untuned"."""
    return "{}/{}-{}/{}".format(*variant)


def checked_peers(
    machine: Machine, peers: Mapping[str, Peer], reference: str | Path, tolerance: float
) -> tuple[dict[str, "PeerContender"], dict[str, str]]:
    """Check peers against the logits of a reference.

    Parameters
    ----------
    machine : Machine
        The machine that peers share with workers.
    peers : mapping of str to Peer
        The peers by name.
    reference : str or Path
        The .npz file of the reference, with "outputs".
    tolerance : float
        As in `check_logits`.

    Returns
    -------
    dict of str to PeerContender
        The peers that compute the logits.
    dict of str to str
        The statuses of the others.
    """
    with np.load(reference) as arrays:
        expected = arrays["outputs"]
    right, statuses = {}, {}
    for name, peer in peers.items():
        try:
            check_logits(peer.logits(), expected, "float32", tolerance)
            right[name] = PeerContender(machine, peer)
        except RowError as error:
            statuses[name] = error.status
        except StudyError as error:
            statuses[name] = FailedError(error).status
    return right, statuses


class PeerContender:
    """A peer, which runs while no worker's threads spin."""

    def __init__(self, machine: Machine, peer: Peer) -> None:
        self.machine, self.peer = machine, peer

    def time(self, number: int) -> Sequence[float]:
        """Return a sample of the mean seconds of a run."""
        self.machine.wait_for_rest()
        try:
            return self.peer.time(number)
        except StudyError as error:
            raise FailedError(error) from error


class _Libraries:
    """The loaded libraries, in the worker's process."""

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
            self.kernel = peak.arithmetic(target, threads(self.platform), device=self.device)
        return self.kernel.time(number)

    def rest(self) -> None:
        rest()


@contextmanager
def _libraries(platform: Platform) -> Iterator[_Libraries]:
    with open_device(platform, threads(platform)) as device:
        yield _Libraries(device, platform)
