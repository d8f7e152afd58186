"""Candidates run and timed, one after the other, in a process that may crash or hang without harm."""

import itertools
import json
import math
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

import numpy as np
import tvm

from dlas.compiler.library import Board, BoardError, LostError, Place, load_library
from dlas.compiler.tuning.building import FORK, LIBRARY, SHAPES
from dlas.errors import StudyError
from dlas.processes import environment

# Of the largest output of the default code, by the feature map's type: what sums in another order may differ by.
TOLERANCES = {"float32": 1e-4, "float16": 5e-3, "uint8": 0.0, "int8": 0.0}
LOGITS_TOLERANCE = 2e-2  # of the largest: in float16 each layer adds its own
RUNS = 5  # of a network in each sample, at least; more if they are over sooner than so many of a layer's samples
COPIES, COPIED_BYTES = 400, 64 << 20  # at most, of a layer's constants


DONE, FAILED, USELESS, LOST = range(4)  # what came of a request; the last two are the board's


class CandidateError(Exception):
    """Why a candidate is of no use."""


@dataclass(frozen=True)
class Reference:
    """A layer's default code, which every candidate must agree with, and on how many copies of constants it runs."""

    folder: Path
    copies: int


def copies(layer_bytes: int, network_bytes: int) -> int:
    """Return how many copies of a layer's constants take the place of a network's.

    Between two runs of a layer, a network runs its others, whose weights push this one's out of the caches.
    """
    smallest = max(1, layer_bytes)
    wanted = min(-(-network_bytes // smallest), COPIED_BYTES // smallest, COPIES)
    return max(1, wanted)


class Measurer:
    """The process that runs candidates at a place, which it opens.

    A candidate that crashes the process, or the board's, or takes longer than `timeout_s` raises CandidateError, and
    the next one meets a new process. Raises a StudyError where there is no board, or none any more.
    """

    def __init__(
        self, place: Place, *, repeats: int, min_repeat_ms: float, timeout_s: float
    ) -> None:
        self.place = place
        self.repeats, self.least, self.timeout_s = repeats, min_repeat_ms / 1e3, timeout_s
        self._reference: Reference | None = None
        self._process: ForkProcess | _Apart | None = None
        self._connection: Connection | None = None

    @property
    def folder(self) -> Path | None:
        """Where the default code lies that candidates are checked against."""
        return None if self._reference is None else self._reference.folder

    def use(self, reference: Reference) -> None:
        """Run the default code of a layer and keep what it computes."""
        self._reference = None
        self._request("use", reference, timeout_s=self.timeout_s)
        self._reference = reference

    def time(self, folder: Path) -> list[float]:
        """Check the output of a candidate and return samples of the seconds of a run."""
        found = self._request("time", folder, self.repeats, self.least, timeout_s=self.timeout_s)
        return list(found)

    def in_network(
        self, libraries: Sequence[Path], image: tuple[int, ...], labels: Sequence[str], rounds: int
    ) -> np.ndarray:
        """Return samples [rounds, libraries, labels] of the seconds that a network's kernels take in its run.

        Where the board is not observable, all labels have the seconds of the whole run.
        The libraries are of one network, whose input has the shape `image`; a label is part of the names of its
        kernels. They take turns and are loaded anew in each round: where constants happen to lie in memory can matter
        more than the code. Raises CandidateError also where their outputs differ.
        """
        limit = self.timeout_s * len(libraries) * len(labels) * rounds
        arguments = list(libraries), image, list(labels), rounds, self.least
        return np.array(self._request("in_network", *arguments, timeout_s=limit))

    def close(self) -> None:
        """End the process."""
        if self._process is not None and self._connection is not None:
            self._process.kill()
            self._process.join()
            self._connection.close()
        self._process = self._connection = None

    def _request(self, name: str, *arguments: Any, timeout_s: float) -> Any:
        if self._process is None:
            self._start()
        assert self._connection is not None and self._process is not None
        try:
            self._connection.send((name, arguments))
            if not self._connection.poll(timeout_s):
                self._renew()
                raise CandidateError(f"it takes longer than {timeout_s:g} s")
            outcome, result = self._connection.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            status = self._process.exitcode
            self.close()
            raise CandidateError(f"it died with status {status}") from None
        if outcome == LOST:
            self._renew()
        if outcome == USELESS:
            raise StudyError(result)
        if outcome != DONE:
            raise CandidateError(result)
        return result

    def _renew(self) -> None:
        """End the process. Another machine may be gone with it, which is then no candidate's fault."""
        self.close()
        if self.place.remote:
            self._start()

    def _start(self) -> None:
        self._connection, theirs = FORK.Pipe()
        if self.place.apart:
            self._process = _Apart(theirs)
            self._connection.send(self.place)
        else:
            self._process = FORK.Process(
                target=_serve, args=(theirs, self._connection, self.place), daemon=True
            )
            self._process.start()
        theirs.close()
        try:
            outcome, reason = self._connection.recv()
        except EOFError:
            outcome, reason = FAILED, "the process that measures candidates cannot start"
        if outcome != DONE:
            self.close()
            raise StudyError(reason)
        if self._reference is not None:
            self.use(self._reference)


class _Apart:
    """A new process of Python that answers over a connection, on which it first gets its `Place`."""

    def __init__(self, connection: Connection) -> None:
        number = connection.fileno()
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"import {__name__} as it; it.answer_apart({number})"],
            pass_fds=[number],
            stdin=subprocess.DEVNULL,
            env=environment(),
        )

    @property
    def exitcode(self) -> int | None:
        return self.process.returncode

    def kill(self) -> None:
        self.process.kill()

    def join(self) -> None:
        self.process.wait()


def answer_apart(number: int) -> None:
    """Be the process that measures, at the other end of the connection of that number."""
    connection = Connection(number)
    _answer(connection, connection.recv())


def _serve(connection: Connection, parent: Connection, place: Place) -> None:
    parent.close()  # so that this process ends when the other one dies
    # TVM keeps its threads for each thread that calls it; those of the parent, if it has any, do not outlive the fork.
    worker = threading.Thread(target=_answer, args=(connection, place))
    worker.start()
    worker.join()


def _answer(connection: Connection, place: Place) -> None:
    try:
        with place.open() as board:
            connection.send((DONE, None))
            _answer_from(connection, _Bench(board))
    except StudyError as error:
        connection.send((USELESS, str(error)))


def _answer_from(connection: Connection, bench: "_Bench") -> None:
    while True:
        try:
            name, arguments = connection.recv()
        except EOFError:
            return
        try:
            connection.send((DONE, getattr(bench, name)(*arguments)))
        except BoardError as error:
            connection.send((LOST if isinstance(error, LostError) else USELESS, str(error)))
        except Exception as error:
            lines = str(error).strip().splitlines() or [repr(error)]
            connection.send((FAILED, f"{type(error).__name__}: {lines[-1]}"))


class _Bench:
    """What the measuring process keeps of the layer whose turn it is."""

    data: np.ndarray
    expected: np.ndarray
    copies: int

    def __init__(self, board: Board) -> None:
        self.board = board

    def use(self, reference: Reference) -> None:
        (shape, dtype), _ = json.loads((reference.folder / SHAPES).read_text())
        generator = np.random.default_rng(0)
        if np.issubdtype(dtype, np.integer):
            limits = np.iinfo(dtype)
            self.data = generator.integers(limits.min, limits.max + 1, shape, dtype)
        else:
            self.data = generator.standard_normal(shape, "float32").astype(dtype)
        self.copies = reference.copies
        self.expected = _Candidate(reference.folder, self.data, 1, self.board).output()

    def time(self, folder: Path, repeats: int, least: float) -> list[float]:
        candidate = self.checked(folder)
        runs = candidate.runs(least)
        return [candidate.sample(runs) for _ in range(repeats)]

    def in_network(
        self,
        libraries: Sequence[Path],
        shape: tuple[int, ...],
        labels: Sequence[str],
        rounds: int,
        least: float,
    ) -> list[list[list[float]]]:
        image = np.random.default_rng(0).standard_normal(shape, "float32")
        default = load_library(libraries[0], self.board)
        expected = default.run(image)
        (once,) = default.timer(image).time(1)
        runs = math.ceil(RUNS * max(1, least / once))
        samples = np.empty((rounds, len(libraries), len(labels)))
        shuffle = np.random.default_rng(0)
        for turn in range(rounds):
            for index in shuffle.permutation(len(libraries)):
                network = load_library(libraries[index], self.board)
                error = np.abs(network.run(image) - expected).max()
                if not error <= LOGITS_TOLERANCE * np.abs(expected).max():
                    raise CandidateError(f"in the network its output is wrong by {error:.2g}")
                if not self.board.observable:
                    (samples[turn, index],) = network.timer(image).time(runs)
                    continue
                kernels = network.kernel_seconds(image, runs)
                samples[turn, index] = [
                    sum(seconds for name, seconds in kernels.items() if label in name)
                    for label in labels
                ]
        found: list[list[list[float]]] = samples.tolist()
        return found

    def checked(self, folder: Path) -> "_Candidate":
        candidate = _Candidate(folder, self.data, self.copies, self.board)
        output = candidate.output()
        if output.shape != self.expected.shape or not np.isfinite(output).all():
            raise CandidateError("its output has another shape or is not finite")
        outputs, expected = (each.astype("float64") for each in (output, self.expected))
        largest = np.abs(expected).max()
        error = np.abs(outputs - expected).max()
        if error > TOLERANCES[str(self.data.dtype)] * largest:
            raise CandidateError(f"its output is wrong by {error / (largest or 1):.2g}")
        return candidate


class _Candidate:
    """A candidate's code on a board, loaded with as many copies of its constants as stand for a network.

    On a board that is not observable one copy must do: its runs cannot be told apart.
    """

    def __init__(self, folder: Path, data: np.ndarray, copies: int, board: Board) -> None:
        self.board = board
        (shape, _), (out_shape, out_dtype) = json.loads((folder / SHAPES).read_text())
        count = len(list(folder.glob("*.npy")))
        constants = [np.load(folder / f"{number}.npy") for number in range(count)]
        self.module = board.load(folder / LIBRARY)
        with board.answer():
            self.function = self.module["main"]
            feature = self.tensor(data.reshape(shape))
            self.result = self.tensor(np.zeros(out_shape, out_dtype))
            self.arguments = [
                (feature, *(self.tensor(constant) for constant in constants), self.result)
                for _ in range(copies if board.observable else 1)
            ]
        self.turns = itertools.cycle(self.arguments)

    def tensor(self, array: np.ndarray) -> Any:
        return tvm.runtime.tensor(array, self.board.devices[0])

    def output(self) -> np.ndarray:
        with self.board.answer():
            self.function(*self.arguments[0])
            found: np.ndarray = self.result.numpy()
        return found

    def sample(self, runs: int) -> float:
        """Return the mean seconds of some runs, each on the next copy of the constants."""
        if not self.board.observable:
            with self.board.answer():
                evaluate = self.module.time_evaluator("main", self.board.devices[0], number=runs)
                return float(evaluate(*self.arguments[0]).mean)
        function, turns = self.function, list(itertools.islice(self.turns, runs))
        start = time.perf_counter()
        for arguments in turns:
            function(*arguments)
        return (time.perf_counter() - start) / runs

    def runs(self, least: float) -> int:
        """Return how many runs fill so many seconds."""
        runs = 1
        while (seconds := self.sample(runs)) * runs < least / 2:
            runs *= 2
        return max(1, math.ceil(least / seconds))
