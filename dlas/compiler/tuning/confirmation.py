"""Confirm candidates: use the ones that beat the default where they will run, in the network.

Alone, a layer finds its input in the caches of the core that read it before and has nothing fused
behind it. In the network other cores wrote that input, and a gain can shrink to nothing or turn
into a loss.
"""

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from dlas.compiler.build import Library
from dlas.compiler.libraries import TIMEOUT_S
from dlas.compiler.tuning.building import LIBRARY, Job, build
from dlas.compiler.tuning.measurement import CandidateError, Measurer
from dlas.errors import FailedError

# Significance level of the sign test against the default code.
CHANCE = 0.05

Chosen = TypeVar("Chosen", bound=Mapping[str, Any])


@dataclass(frozen=True)
class InNetwork:
    """A network that can be built with any choices, and whose layers are timed in its runs.

    Attributes
    ----------
    library : callable
        Builds the network with choices, or by default if they are None.
    input_shape : tuple of int
        Shape [N, C, H, W] of its image.
    labels : sequence of str
        Labels of its layers.
    measurer : Measurer
        The process that runs it.
    rounds : int
        Number of samples of each library.
    folder : Path
        Folder for libraries until they are measured.
    """

    library: Callable[[Mapping[str, Any] | None], Library]
    input_shape: tuple[int, ...]
    labels: Sequence[str]
    measurer: Measurer
    rounds: int
    folder: Path

    def __call__(self, ways: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Time the layers with each of several choices and by default.

        Parameters
        ----------
        ways : sequence of mapping
            Choices for `build_library`.

        Returns
        -------
        ndarray of float [rounds, 1 + ways, layers]
            Seconds in a run, first of the default code.

        Raises
        ------
        CandidateError
            For a network that cannot be built or gives wrong outputs.
        """
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            jobs = [
                Job(partial(self.write, choices), Path(folder, str(number)))
                for number, choices in enumerate((None, *ways))
            ]
            for built in build(jobs, TIMEOUT_S):
                if built.reason is not None:
                    raise CandidateError(f"building the network: {built.reason}")
            libraries = [job.folder / LIBRARY for job in jobs]
            return self.measurer.in_network(
                libraries, self.input_shape, list(self.labels), self.rounds
            )

    def ratios(self, choices: Mapping[str, Any]) -> list[float]:
        """Return the ratio of each layer's latency with choices to its default latency.

        Raises FailedError for a network that cannot be built or gives wrong outputs.
        """
        try:
            samples = self([choices])
        except CandidateError as error:
            raise FailedError(f"tuning, in the network: {error}") from error
        return [
            round(float(ratio), 4) for ratio in np.median(samples[:, 1] / samples[:, 0], axis=0)
        ]

    def write(self, choices: Mapping[str, Any] | None, folder: Path) -> None:
        """Write the library of the network with choices."""
        self.library(choices).export(folder / LIBRARY, self.measurer.opener.linker)


class Confirmed(NamedTuple, Generic[Chosen]):
    """The finalist that a layer uses, None for the default, and its latency over the default's."""

    chosen: Chosen | None
    ratio: float


def confirm(
    finalists: Mapping[str, Sequence[Chosen]],
    measure: Callable[[Sequence[Mapping[str, Chosen]]], np.ndarray],
) -> dict[str, Confirmed[Chosen]]:
    """Return for each layer the finalist that is surely faster than the default in the network.

    The best finalist of each layer is measured a second time, because the best of several samples
    is biased. It must be faster in the median and in a sign test.

    Parameters
    ----------
    finalists : mapping of str to sequence
        Finalists of each layer, possibly none.
    measure : callable
        Takes a sequence of ways, each a mapping of layers to one finalist. Times the network by
        default and in each way, in turns, and returns seconds [rounds, 1 + ways, layers].

    Returns
    -------
    dict of str to Confirmed
        The outcome of each layer.
    """
    places = range(max(map(len, finalists.values()), default=0))
    ways = [
        {layer: found[place] for layer, found in finalists.items() if place < len(found)}
        for place in places
    ]
    if not ways:
        return {layer: Confirmed(None, 1.0) for layer in finalists}
    best = ways[0]
    if len(ways) > 1:
        samples = measure(ways)
        ratios = np.median(samples[:, 1:] / samples[:, :1], axis=0).T
        best = {
            layer: found[int(np.argmin(ratio[: len(found)]))]
            for (layer, found), ratio in zip(finalists.items(), ratios, strict=True)
            if found
        }
    samples = measure([best])
    ratios = (samples[:, 1] / samples[:, 0]).T
    return {
        layer: _outcome(best.get(layer), ratio)
        for layer, ratio in zip(finalists, ratios, strict=True)
    }


def _chance(wins: int, rounds: int) -> float:
    """Return the probability of at least `wins` wins between equals: a one-sided sign test.

    SciPy's takes as long to import as all other modules of a tuning job.
    """
    return sum(math.comb(rounds, count) for count in range(wins, rounds + 1)) / 2**rounds


def _outcome(chosen: Chosen | None, ratios: np.ndarray) -> Confirmed[Chosen]:
    sure = _chance(int((ratios < 1).sum()), len(ratios)) < CHANCE
    ratio = round(float(np.median(ratios)), 4)
    return Confirmed(chosen, ratio) if chosen and sure and ratio < 1 else Confirmed(None, 1.0)
