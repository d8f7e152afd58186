"""Which of the fastest candidates are used: those that are faster than the default where they will run, in the network.

Alone, a layer finds its input in the caches of the core that read it before and has nothing fused behind it. In
the network other cores wrote that input, and a gain can shrink to nothing or turn into a loss.
"""

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dlas.compiler.build import Library
from dlas.compiler.libraries import TIMEOUT_S
from dlas.compiler.tuning.building import LIBRARY, Job, build
from dlas.compiler.tuning.measurement import CandidateError, Measurer

CHANCE = 0.05  # of no difference, below which decisions count as faster than the default

Decided = Mapping[str, Mapping[str, int]]  # decisions by workload; those left out are as by default


@dataclass(frozen=True)
class InNetwork:
    """A network that can be built by any choices, and in whose runs the kernels of each layer are timed.

    Parameters
    ----------
    library : callable
        Builds it by choices.
    input_shape : tuple of int
        The shape of its image.
    labels : mapping of str to str
        The label of each layer by workload.
    measurer : Measurer
        The process that runs it.
    rounds : int
        The number of samples of each library.
    folder : Path
        Where libraries lie until they are measured.
    """

    library: Callable[[Mapping[str, Any]], Library]
    input_shape: tuple[int, ...]
    labels: Mapping[str, str]
    measurer: Measurer
    rounds: int
    folder: Path

    def __call__(self, ways: Sequence[Decided]) -> np.ndarray:
        """Return seconds [rounds, 1 + ways, layers], first of the default code; raises CandidateError."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            jobs = [
                Job(partial(self.write, decided), Path(folder, str(number)))
                for number, decided in enumerate(({}, *ways))
            ]
            for built in build(jobs, TIMEOUT_S):
                if built.reason is not None:
                    raise CandidateError(f"building the network: {built.reason}")
            libraries = [job.folder / LIBRARY for job in jobs]
            labels = list(self.labels.values())
            return self.measurer.in_network(libraries, self.input_shape, labels, self.rounds)

    def write(self, decided: Decided, folder: Path) -> None:
        """Write the library of the network with its layers as decided."""
        choices = {workload: {"decisions": decided.get(workload, {})} for workload in self.labels}
        self.library(choices).export(folder / LIBRARY, self.measurer.opener.linker)


def confirm(
    finalists: Mapping[str, Sequence[Mapping[str, int]]],
    measure: Callable[[Sequence[Decided]], np.ndarray],
) -> dict[str, dict[str, Any]]:
    """Return for each workload its "decisions", none where no finalist is surely faster, and "ratio" to the default.

    `finalists` are decisions by workload. `measure` times the network by its defaults and as decided in each of
    several ways, in turns, and returns the seconds [rounds, 1 + ways, workloads]. The best finalist of each workload is
    measured once more, so that luck does not choose it: it must be faster in the median and in a sign test.
    """
    places = range(max(map(len, finalists.values()), default=0))
    ways = [
        {workload: found[place] for workload, found in finalists.items() if place < len(found)}
        for place in places
    ]
    if not ways:
        return {workload: _default() for workload in finalists}
    best = ways[0]
    if len(ways) > 1:
        samples = measure(ways)
        ratios = np.median(samples[:, 1:] / samples[:, :1], axis=0).T
        best = {
            workload: found[int(np.argmin(ratio[: len(found)]))]
            for (workload, found), ratio in zip(finalists.items(), ratios, strict=True)
            if found
        }
    samples = measure([best])
    ratios = (samples[:, 1] / samples[:, 0]).T
    return {
        workload: _outcome(best.get(workload, {}), ratio)
        for workload, ratio in zip(finalists, ratios, strict=True)
    }


def _chance(wins: int, rounds: int) -> float:
    """Return how likely so many wins or more are of two that are alike: the sign test.

    SciPy's takes as long to import as all else that tunes.
    """
    return sum(math.comb(rounds, count) for count in range(wins, rounds + 1)) / 2**rounds


def _default() -> dict[str, Any]:
    return {"decisions": {}, "ratio": 1.0}


def _outcome(decisions: Mapping[str, int], ratios: np.ndarray) -> dict[str, Any]:
    sure = _chance(int((ratios < 1).sum()), len(ratios)) < CHANCE
    ratio = round(float(np.median(ratios)), 4)
    return (
        {"decisions": decisions, "ratio": ratio} if decisions and sure and ratio < 1 else _default()
    )
