"""Time runtimes in turns, so drift affects all alike, and compare samples of the same turn."""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from dlas.files import atomic_write

# Returns the mean seconds of a number of runs.
Sampler = Callable[[int], float]


def repeated(run: Callable[[], object]) -> Sampler:
    """Return a sampler of `run`: several runs after a warm-up, or a single run."""

    def sample(number: int) -> float:
        if number > 1:
            run()
        start = time.perf_counter()
        for _ in range(number):
            run()
        return (time.perf_counter() - start) / number

    return sample


def take_turns(samplers: Sequence[Sampler], turns: Iterable[int], seconds: float) -> np.ndarray:
    """Sample all runtimes once in each turn, in random order.

    Parameters
    ----------
    samplers : sequence of callable
        A sampler that fails gives NaN.
    turns : iterable of int
        The turns.
    seconds : float
        A sample has as many runs as fill this time, at least one.

    Returns
    -------
    np.ndarray
        float64 [turns, samplers], milliseconds of a run.
    """
    fastest = [min(sample(1) for _ in range(3)) for sample in samplers]
    numbers = [max(1, round(seconds / one)) if one > 0 else 1 for one in fastest]
    shuffle = np.random.default_rng(0)
    samples = []
    for _ in turns:
        samples.append(np.empty(len(samplers)))
        for index in shuffle.permutation(len(samplers)):
            samples[-1][index] = 1e3 * samplers[index](numbers[index])
    return np.array(samples)


def ratios_to(samples: np.ndarray, peer: int) -> np.ndarray:
    """Return the median over turns of each sampler's time over the peer's in the same turn."""
    ratios: np.ndarray = np.median(samples / samples[:, [peer]], axis=0)
    return ratios


def write(table: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV atomically."""
    with atomic_write(path) as temporary:
        table.to_csv(temporary, index=False)
