"""How compiled networks are timed against each other on one platform."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any, NamedTuple, Protocol

import numpy as np
from tqdm import tqdm

COLUMNS = ["compression", "primitive", "format", "tuning", "role", "round", "latency_ms"]


class Variant(NamedTuple):
    """What distinguishes the libraries of one model on one platform."""

    compression: str
    primitive: str
    format: str
    tuning: str


class Timeable(Protocol):
    """A loaded library, or anything else that can be run and timed."""

    def time(self, number: int) -> Sequence[float]:
        """Run `number` times in a row and return the mean seconds a run, as one or more samples."""


@dataclass(frozen=True)
class _Contender:
    variant: Variant | None  # None for the reference kernel and for peers
    role: str
    library: Timeable

    def sample(self, number: int) -> float:
        return fmean(self.library.time(number))


def time_libraries(
    libraries: Mapping[Variant, Callable[[], Timeable]],
    reference: Timeable,
    *,
    rounds: int,
    min_repeat_ms: float,
    warmup: int,
    seed: int,
    peers: Mapping[str, Timeable] | None = None,
    twins: int = 3,
) -> list[dict[str, Any]]:
    """Time all libraries of one model on one platform and return every raw sample, one a row.

    In each round each library is sampled once, in an order that `seed` shuffles anew for each round, so that a drift
    of the machine meets all of them alike; so are the `peers`, other runtimes by their names. Two more take part.
    `reference` is the same small kernel everywhere: its samples show the drift. And up to `twins` of the libraries,
    spread over the list, are loaded a second time: between a library and its twin there is no difference but noise (an
    A/A test), the placement in memory included.

    `libraries` maps each variant to a function that loads it. `warmup` is the number of runs before the first sample;
    a sample is the mean over as many runs as fill `min_repeat_ms`, fixed for each library after the warm-up.

    The keys are COLUMNS: role is "measured", "repeat" (a twin), "reference" or a peer's name (whose variant is
    empty), round counts from 0, latency_ms is in milliseconds a run.
    """
    variants = list(libraries)
    repeated = {
        variants[index]
        for index in np.linspace(0, len(variants) - 1, min(twins, len(variants))).astype(int)
    }
    contenders = [_Contender(variant, "measured", load()) for variant, load in libraries.items()]
    contenders += [
        _Contender(variant, "repeat", libraries[variant]())
        for variant in variants
        if variant in repeated
    ]
    contenders.append(_Contender(None, "reference", reference))
    contenders += [_Contender(None, name, peer) for name, peer in (peers or {}).items()]
    numbers = [_runs_per_sample(contender, warmup, min_repeat_ms) for contender in contenders]
    shuffle = np.random.default_rng(seed)
    rows = []
    with tqdm(
        total=rounds * len(contenders), desc="timing", unit="sample", disable=None
    ) as progress:
        for turn in range(rounds):
            for index in shuffle.permutation(len(contenders)):
                contender = contenders[index]
                milliseconds = 1e3 * contender.sample(numbers[index])
                row = [*(contender.variant or [None] * 4), contender.role, turn, milliseconds]
                rows.append(dict(zip(COLUMNS, row, strict=True)))
                progress.update()
    return rows


def _runs_per_sample(contender: _Contender, warmup: int, min_repeat_ms: float) -> int:
    """Warm up and return how many runs fill `min_repeat_ms`."""
    milliseconds = 1e3 * median(contender.sample(1) for _ in range(max(1, warmup)))
    return max(1, math.ceil(min_repeat_ms / milliseconds))
