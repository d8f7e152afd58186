"""Peer runtimes, PyTorch and ONNX Runtime: each runs a network in a process of its own, to be timed beside libraries.

The process that times has no other runtime, and thus no other pool of threads, in itself. A peer tells the logits of
its network over a pipe, and then answers each number of runs with how long one took. This module is the peer's program
as well: it imports a runtime only there, and TVM nowhere.
"""

import os
import signal
import subprocess
import sys
import time
import timeit
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from dlas.compiler.processes import environment
from dlas.errors import StudyError, unknown

Run = Callable[[], np.ndarray]  # gives the logits [1, classes] of the image that is bound to it

# torch.export.load would run what a pickle in the file says, where it is no plain tensor.
DATA_ALONE = {"TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1"}
PATIENCE_S = 120.0  # for an answer; longest takes the import of PyTorch, on a busy machine
STEP_S = 0.005
RESTING = 0.1  # of a step, spent by all threads together: none of them spins


class Peer:
    """A network in another runtime: it runs in a process of its own, with one thread for each core that it is given."""

    def __init__(
        self, name: str, network: str | Path, reference: str | Path, cores: Sequence[int]
    ) -> None:
        """Start the runtime `name` on the file `network` that it loads, bound to these cores.

        It runs on the images in `reference`, a file of the array `inputs`, float32 [N, C, H, W]; it is timed on the
        first. Raises StudyError for an unknown runtime. So do the methods where the runtime fails, dies or gives no
        answer.
        """
        if name not in RUNTIMES:
            raise unknown("peer", name, RUNTIMES)
        self.name = name
        self._pipe, theirs = Pipe()
        number = theirs.fileno()
        arguments = [name, network, reference, ",".join(map(str, cores)), number]
        self.process = subprocess.Popen(
            [sys.executable, "-m", __name__, *map(str, arguments)],
            pass_fds=[number],
            stdin=subprocess.DEVNULL,
            env=environment() | DATA_ALONE,
        )
        theirs.close()

    def logits(self, patience_s: float = PATIENCE_S) -> np.ndarray:
        """Return the logits [N, classes] of the images, run one by one; to be called once, before `time`."""
        logits: np.ndarray = self._answer(patience_s)
        return logits

    def time(self, number: int, patience_s: float = PATIENCE_S) -> Sequence[float]:
        """Return the mean seconds of a run over `number` runs in a row, after one that does not count.

        First the threads of this process come to rest, and before the answer those of the peer: idle threads spin for
        a while in wait for more work, and would take the cores from the other process.
        """
        rest()
        with suppress(OSError):  # it is dead, which shows below
            self._pipe.send(number)
        return [self._answer(patience_s)]

    def _answer(self, patience_s: float) -> Any:
        try:
            if not self._pipe.poll(patience_s):
                raise StudyError(f"the peer {self.name} gave no answer within {patience_s:g} s")
            answer = self._pipe.recv()
        except (EOFError, OSError) as error:
            status = self.process.wait()
            raise StudyError(f"the peer {self.name} died with the exit status {status}") from error
        if isinstance(answer, str):
            raise StudyError(f"the peer {self.name} failed: {answer}")
        return answer

    def close(self) -> None:
        """End the process, whatever it does."""
        self._pipe.close()
        self.process.kill()
        self.process.wait()


@contextmanager
def started(
    networks: Mapping[str, str | Path], reference: str | Path, cores: Sequence[int]
) -> Iterator[dict[str, Peer]]:
    """Yield a `Peer` for each runtime and the network that it loads; they start side by side and end with the block."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(closing(Peer(name, network, reference, cores)))
            for name, network in networks.items()
        }


def rest() -> None:
    """Wait until no thread of this process spins any more."""
    used = STEP_S
    while used > RESTING * STEP_S:
        before = time.process_time()
        time.sleep(STEP_S)
        used = time.process_time() - before


def _pytorch(network: str, threads: int) -> Callable[[np.ndarray], Run]:
    """Return what binds an image to a program of `torch.export`, which runs eagerly."""
    import torch

    torch.set_num_threads(threads)
    module = torch.export.load(network).module()

    def bind(image: np.ndarray) -> Run:
        data = torch.from_numpy(image)
        return torch.inference_mode()(lambda: module(data).numpy())

    return bind


def _onnxruntime(network: str, threads: int) -> Callable[[np.ndarray], Run]:
    """Return what binds an image to an ONNX model, the logits too."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    (given,), (wanted,) = session.get_inputs(), session.get_outputs()

    def bind(image: np.ndarray) -> Run:
        # In memory of the runtime's own: what is made from an array does not keep it.
        data = onnxruntime.OrtValue.ortvalue_from_shape_and_type(image.shape, np.float32)
        data.update_inplace(image)
        logits = onnxruntime.OrtValue.ortvalue_from_shape_and_type(wanted.shape, np.float32)
        binding = session.io_binding()
        binding.bind_ortvalue_input(given.name, data)
        binding.bind_ortvalue_output(wanted.name, logits)

        def run() -> np.ndarray:
            session.run_with_iobinding(binding)
            values: np.ndarray = logits.numpy()
            return values

        return run

    return bind


RUNTIMES = {"onnxruntime": _onnxruntime, "pytorch": _pytorch}


def _serve(pipe: Connection, name: str, network: str, reference: str, cores: list[int]) -> None:
    """Be a peer, until the other end of the pipe is gone, whatever that process died of."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the other process decides when this one ends
    os.sched_setaffinity(0, cores)  # before the runtime starts its threads
    try:
        bind = RUNTIMES[name](network, len(cores))
        with np.load(reference) as arrays:
            images = arrays["inputs"]
        logits = np.concatenate([bind(image[None])() for image in images])
        run = bind(images[:1])
        rest()
        pipe.send(logits)
        while True:
            number = pipe.recv()
            run()  # wakes the threads
            seconds = timeit.timeit(run, number=number) / number
            rest()
            pipe.send(seconds)
    except (EOFError, BrokenPipeError):
        return
    except Exception as error:  # of whatever kind the runtime raises
        pipe.send(f"{type(error).__name__}: {error}".splitlines()[0])


if __name__ == "__main__":
    _name, _network, _reference, _cores, _number = sys.argv[1:]
    _serve(Connection(int(_number)), _name, _network, _reference, [*map(int, _cores.split(","))])
