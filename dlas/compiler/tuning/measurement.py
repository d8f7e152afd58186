"""Measure candidates, one after the other, in a process that may crash or hang without harm."""

import itertools
import json
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tvm

from dlas.compiler.device import Device, DeviceError, DeviceOpener, LostError
from dlas.compiler.library import load_library
from dlas.compiler.tuning.building import LIBRARY, SHAPES
from dlas.compiler.tuning.limits import DEFAULT_TIMEOUT_S, TimeLimit
from dlas.errors import StudyError
from dlas.processes import START_TIMEOUT_S, SilentError, Worker, WorkerError

# Maximum error relative to the largest output of the default code, by the dtype of the feature map.
# Sums in another order may differ by as much.
TOLERANCES = {"float32": 1e-4, "float16": 5e-3, "uint8": 0.0, "int8": 0.0}
# Maximum error relative to the largest logit. In float16 the errors of all layers add up.
LOGITS_TOLERANCE = 2e-2
# Minimum number of runs of a network in each sample. There are more if one run is shorter than a
# sample of a layer.
RUNS = 5
# Maximum number and size of the copies of a layer's constants.
COPIES, COPIED_BYTES = 400, 64 << 20


class CandidateError(Exception):
    """A candidate that is of no use; its message is the reason."""


@dataclass(frozen=True)
class Reference:
    """The default code of a layer, which its candidates are checked against.

    Attributes
    ----------
    folder : Path
        Folder of its files, as `write_kernel` writes them.
    copies : int
        Number of copies of the constants that candidates run on.
    """

    folder: Path
    copies: int


def copies(layer_bytes: int, network_bytes: int) -> int:
    """Return how many copies of a layer's constants take the place of a network's.

    Between two runs of a layer, a network runs its other layers, whose weights evict this layer's
    from the caches.

    Parameters
    ----------
    layer_bytes, network_bytes : int
        Size of the constants of one call, and of all calls of the network.

    Returns
    -------
    int
        At least 1.
    """
    smallest = max(1, layer_bytes)
    wanted = min(-(-network_bytes // smallest), COPIED_BYTES // smallest, COPIES)
    return max(1, wanted)


class Measurer:
    """The process that runs candidates on a device.

    A candidate that crashes the process or the device, or exceeds its time limit, raises
    `CandidateError`. The next candidate gets a new process. A device that is missing or lost raises
    `StudyError`.

    Parameters
    ----------
    opener : DeviceOpener
        Opens the device in the process.
    repeats : int
        Number of samples.
    min_repeat_ms : float
        Minimum time of a sample.
    timeout_s : float
        Minimum time limit for a candidate, see `TimeLimit`.
    """

    def __init__(
        self, opener: DeviceOpener, *, repeats: int, min_repeat_ms: float, timeout_s: float
    ) -> None:
        self.opener = opener
        self.repeats, self.least = repeats, min_repeat_ms / 1e3
        self.limit = TimeLimit(timeout_s)
        self._reference: Reference | None = None
        # A remote device limits each wait by the timeout of its connection.
        start_timeout_s = None if opener.remote else START_TIMEOUT_S
        self._worker = Worker(_bench, opener, fresh=opener.fresh, start_timeout_s=start_timeout_s)

    @property
    def folder(self) -> Path | None:
        """Folder of the default code that candidates are checked against."""
        return None if self._reference is None else self._reference.folder

    def use(self, reference: Reference) -> None:
        """Run the default code of a layer, which its candidates are checked against from now on."""
        self._reference = None
        self._open()
        start = time.perf_counter()
        self._request("use", reference, timeout_s=DEFAULT_TIMEOUT_S)
        self.limit.default_took(time.perf_counter() - start)
        self._reference = reference

    def time(self, folder: Path) -> list[float]:
        """Check the output of a candidate and return samples of the seconds of a run.

        Parameters
        ----------
        folder : Path
            Folder of its files, as `write_kernel` writes them.

        Returns
        -------
        list of float
            `repeats` samples.

        Raises
        ------
        CandidateError
            For a candidate that is wrong, crashes or takes too long.
        """
        # A new process does not have the default code yet.
        self._request("use", self._reference, timeout_s=DEFAULT_TIMEOUT_S)
        limit = self.limit.seconds
        found = self._request("time", folder, self.repeats, self.least, timeout_s=limit)
        return list(found)

    def in_network(
        self, libraries: Sequence[Path], image: tuple[int, ...], labels: Sequence[str], rounds: int
    ) -> np.ndarray:
        """Time the kernels of a network in the runs of several of its libraries.

        The libraries take turns and are loaded anew in each round, because the addresses of
        constants in memory can matter more than the code.

        Parameters
        ----------
        libraries : sequence of Path
            Libraries of one network, the default one first.
        image : tuple of int
            Shape [N, C, H, W] of the network's input.
        labels : sequence of str
            Labels of layers. A kernel counts for the labels that its name contains.
        rounds : int
            Number of samples.

        Returns
        -------
        ndarray of float [rounds, libraries, labels]
            Seconds in a run. On a device that is not observable all labels have the seconds of the
            whole run.

        Raises
        ------
        CandidateError
            For a library that is wrong, crashes or takes too long.
        """
        limit = self.limit.seconds * len(libraries) * len(labels) * rounds
        arguments = list(libraries), image, list(labels), rounds, self.least
        return np.array(self._request("in_network", *arguments, timeout_s=limit))

    def close(self) -> None:
        """End the process."""
        self._worker.close()

    def _request(self, method: str, *arguments: Any, timeout_s: float) -> Any:
        self._open()
        try:
            return self._worker.call(method, *arguments, timeout_s=timeout_s)
        except SilentError:
            self._renew()
            raise CandidateError(f"it takes longer than {timeout_s:.3g} s") from None
        except LostError as error:
            self._renew()
            raise CandidateError(str(error)) from None
        except DeviceError:
            raise
        except (WorkerError, StudyError) as error:
            raise CandidateError(str(error)) from None

    def _open(self) -> None:
        try:
            self._worker.open()
        except WorkerError as error:
            raise StudyError(
                f"the process that measures candidates cannot start: {error}"
            ) from error

    def _renew(self) -> None:
        """End the process, and check that a remote device is still there."""
        self._worker.close()
        if self.opener.remote:
            self._open()


@contextmanager
def _bench(opener: DeviceOpener) -> Iterator["_Bench"]:
    with opener.open() as device:
        yield _Bench(device)


class _Bench:
    """The worker's side: runs candidates and keeps the expected output of the current layer."""

    data: np.ndarray
    expected: np.ndarray

    def __init__(self, device: Device) -> None:
        self.device = device
        self.reference: Reference | None = None

    def use(self, reference: Reference) -> None:
        if reference == self.reference:
            return
        (shape, dtype), _ = json.loads((reference.folder / SHAPES).read_text())
        generator = np.random.default_rng(0)
        if np.issubdtype(dtype, np.integer):
            limits = np.iinfo(dtype)
            self.data = generator.integers(limits.min, limits.max + 1, shape, dtype)
        else:
            self.data = generator.standard_normal(shape, "float32").astype(dtype)
        self.expected = _Candidate(reference.folder, self.data, 1, self.device).output()
        self.reference = reference

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
        default = load_library(libraries[0], self.device)
        expected = default.run(image)
        (once,) = default.timer(image).time(1)
        runs = math.ceil(RUNS * max(1, least / once))
        samples = np.empty((rounds, len(libraries), len(labels)))
        shuffle = np.random.default_rng(0)
        for turn in range(rounds):
            for index in shuffle.permutation(len(libraries)):
                network = load_library(libraries[index], self.device)
                error = np.abs(network.run(image) - expected).max()
                if not error <= LOGITS_TOLERANCE * np.abs(expected).max():
                    raise CandidateError(f"in the network its output is wrong by {error:.2g}")
                if not self.device.observable:
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
        assert self.reference is not None
        candidate = _Candidate(folder, self.data, self.reference.copies, self.device)
        output = candidate.output()
        if output.shape != self.expected.shape or not np.isfinite(output).all():
            raise CandidateError("its output has another shape or is not finite")
        outputs, expected = (each.astype("float64") for each in (output, self.expected))
        largest = np.abs(expected).max()
        error = np.abs(outputs - expected).max()
        if not error <= TOLERANCES[str(self.data.dtype)] * largest:
            raise CandidateError(f"its output is wrong by {error / (largest or 1):.2g}")
        return candidate


class _Candidate:
    """A candidate's code on a device, loaded with several copies of its constants.

    On a device that is not observable there is one copy, as nothing distinguishes its runs.
    """

    def __init__(self, folder: Path, data: np.ndarray, copies: int, device: Device) -> None:
        self.device = device
        (shape, _), (out_shape, out_dtype) = json.loads((folder / SHAPES).read_text())
        count = len(list(folder.glob("*.npy")))
        constants = [np.load(folder / f"{number}.npy") for number in range(count)]
        self.module = device.load(folder / LIBRARY)
        with device.guard():
            self.function = self.module["main"]
            feature = self.tensor(data.reshape(shape))
            self.result = self.tensor(np.zeros(out_shape, out_dtype))
            self.arguments = [
                (feature, *(self.tensor(constant) for constant in constants), self.result)
                for _ in range(copies if device.observable else 1)
            ]
        self.turns = itertools.cycle(self.arguments)

    def tensor(self, array: np.ndarray) -> Any:
        return tvm.runtime.tensor(array, self.device.devices[0])

    def output(self) -> np.ndarray:
        with self.device.guard():
            self.function(*self.arguments[0])
            found: np.ndarray = self.result.numpy()
        return found

    def sample(self, runs: int) -> float:
        """Return the mean seconds of some runs, each on the next copy of the constants."""
        if not self.device.observable:
            with self.device.guard():
                evaluate = self.module.time_evaluator("main", self.device.devices[0], number=runs)
                return float(evaluate(*self.arguments[0]).mean)
        function, turns = self.function, list(itertools.islice(self.turns, runs))
        start = time.perf_counter()
        for arguments in turns:
            function(*arguments)
        return (time.perf_counter() - start) / runs

    def runs(self, least: float) -> int:
        """Return how many runs take `least` seconds."""
        runs = 1
        while (seconds := self.sample(runs)) * runs < least / 2:
            runs *= 2
        return max(1, math.ceil(least / seconds))
