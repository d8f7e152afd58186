"""Runtimes that take turns, so that a drift of the machine meets all of them alike; ratios of what is paired so."""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from dlas.files import atomic_write

# Gives the mean seconds of a number of runs.
Sampler = Callable[[int], float]


def repeated(run: Callable[[], object]) -> Sampler:
    """Return what times `run`: several runs after one that does not count, or a single one, which fills a sample."""

    def sample(number: int) -> float:
        if number > 1:
            run()
        start = time.perf_counter()
        for _ in range(number):
            run()
        return (time.perf_counter() - start) / number

    return sample


def take_turns(samplers: Sequence[Sampler], turns: Iterable[int], seconds: float) -> np.ndarray:
    """Return the milliseconds [turns, samplers] of a run; in each turn all are sampled once, in random order.

    A sample is of as many runs as fill `seconds`, at least one. A sampler may fail, and gives NaN
    then.
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
