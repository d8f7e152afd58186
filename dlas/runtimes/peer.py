"""A network in a peer runtime, run in a subprocess to be timed beside compiled networks.

The process that times has no other runtime and so no other thread pool. This module imports a
runtime only in the subprocess, and never imports TVM.
"""

import time
import timeit
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from dlas import registry
from dlas.errors import StudyError, UnsupportedError
from dlas.processes import Worker, WorkerError
from dlas.runtimes.plugin import Run, load

# Importing PyTorch on a busy machine takes longest. A sample may take SLOWER times the slowest run.
TIMEOUT_S, SLOWER = 120.0, 20
STEP_S = 0.005
# Share of one core that all threads of a process use while none of them spins.
IDLE_CPU_SHARE = 0.1


class Peer:
    """A network in a peer runtime, in a subprocess with one thread for each of its cores.

    Parameters
    ----------
    name : str
        The runtime.
    network : str or Path
        The exported network that the runtime loads.
    reference : str or Path
        An .npz file with the array `inputs`, float32 [N, C, H, W]. The network runs on these images
        and is timed on the first.
    cores : sequence of int
        The cores that the subprocess is bound to.

    Raises
    ------
    StudyError
        For an unknown runtime. Methods raise it if the runtime fails, dies or does not answer.
    """

    def __init__(
        self, name: str, network: str | Path, reference: str | Path, cores: Sequence[int]
    ) -> None:
        registry.describe("runtime", name)
        self.name = name
        # Seconds of the slowest run so far.
        self.seconds = 0.0
        self.worker = Worker(
            _open,
            *(name, Path(network), Path(reference), len(cores)),
            fresh=True,
            cores=cores,
            start_timeout_s=TIMEOUT_S,
        )

    def logits(self, timeout_s: float = TIMEOUT_S) -> np.ndarray:
        """Return the logits, float32 [N, classes], of the images, run one by one."""
        logits: np.ndarray = self._call("logits", timeout_s=timeout_s)
        return logits

    def time(self, number: int) -> Sequence[float]:
        """Return the mean seconds of a run over `number` runs in a row, after a warm-up run.

        Idle threads spin for a while and would occupy the cores of the other process. So each
        process waits until its threads sleep before the other one runs.
        """
        rest()
        limit = TIMEOUT_S + SLOWER * (1 + number) * self.seconds
        seconds: float = self._call("seconds", number, timeout_s=limit)
        self.seconds = max(self.seconds, seconds)
        return [seconds]

    def close(self) -> None:
        """Kill the subprocess."""
        self.worker.close()

    def _call(self, method: str, *arguments: Any, timeout_s: float) -> Any:
        try:
            return self.worker.call(method, *arguments, timeout_s=timeout_s)
        except WorkerError as error:
            raise StudyError(f"the peer {self.name}: {error}") from error


@contextmanager
def started(
    networks: Mapping[str, str | Path], reference: str | Path, cores: Sequence[int]
) -> Iterator[dict[str, Peer]]:
    """Yield a `Peer` for each runtime; they start side by side and end with the block.

    Parameters
    ----------
    networks : mapping of str to str or Path
        The exported network of each runtime.
    reference, cores
        As in `Peer`.
    """
    with ExitStack() as stack:
        peers = {
            name: stack.enter_context(closing(Peer(name, network, reference, cores)))
            for name, network in networks.items()
        }
        for peer in peers.values():
            peer.worker.start()
        yield peers


def rest() -> None:
    """Wait until no thread of this process spins."""
    used = STEP_S
    while used > IDLE_CPU_SHARE * STEP_S:
        before = time.process_time()
        time.sleep(STEP_S)
        used = time.process_time() - before


class _Network:
    """A loaded network, in the peer's process."""

    def __init__(self, bind: Callable[[np.ndarray], Run], images: np.ndarray) -> None:
        self.bind, self.images, self.run = bind, images, bind(images[:1])

    def logits(self) -> np.ndarray:
        logits = np.concatenate([self.bind(image[None])() for image in self.images])
        rest()
        return logits

    def seconds(self, number: int) -> float:
        # The warm-up run wakes the threads.
        self.run()
        seconds = timeit.timeit(self.run, number=number) / number
        rest()
        return seconds


@contextmanager
def _open(name: str, network: Path, reference: Path, threads: int) -> Iterator[_Network]:
    try:
        runtime = load(name)
    except ModuleNotFoundError as error:
        raise UnsupportedError(
            f"the peer {name}: its package {error.name} is not installed; the pins are in "
            f"requirements.txt and "
            "requirements-bench.txt"
        ) from error
    bind = runtime.open_network(network, threads)
    with np.load(reference) as arrays:
        images = arrays["inputs"]
    yield _Network(bind, images)
