"""Time compiled networks against each other on one platform, in interleaved rounds."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any, NamedTuple, Protocol

import numpy as np
from tqdm import tqdm

from dlas.errors import FailedError, RowError, UnreachableError

LOG = logging.getLogger("dlas")
COLUMNS = ["compression", "primitive", "format", "tuning", "role", "round", "latency_ms"]
MEASURED, AA_REPLICATE, REFERENCE = "measured", "aa_replicate", "reference"
# A sample that takes longer than `GAP_S` and `GAP` times as long as in the warm-up was interrupted, as by
# a stopped process.
GAP_S, GAP = 1.0, 20
# How often an interrupted sample is taken again.
RETAKES = 5
# How often a device may vanish: under one contender, and in a row.
CONTENDER_LOSSES, LOSSES = 2, 3


class Variant(NamedTuple):
    """What distinguishes the libraries of one model on one platform."""

    compression: str
    primitive: str
    format: str
    tuning: str


class Timeable(Protocol):
    """A loaded library, or anything else that can be run and timed."""

    def time(self, number: int) -> Sequence[float]:
        """Run `number` times in a row and return the mean seconds a run, as one or more samples.

        Raises `RowError` where it cannot be timed, and `UnreachableError` where the device vanished.
        """


class Timing(NamedTuple):
    """The raw samples, with the keys `COLUMNS`, and the status of each library or peer that has none."""

    samples: list[dict[str, Any]]
    statuses: dict[Variant | str, str]


@dataclass(eq=False)
class _Contender:
    # None for the reference kernel and for peers.
    variant: Variant | None
    role: str
    library: Timeable
    runs: int = 1
    # Of one run, in the warm-up.
    expected: float = math.inf
    losses: int = 0
    status: str | None = None

    @property
    def name(self) -> Variant | str:
        return self.variant or self.role

    def sample(self, interruptions: Callable[[], Any]) -> float:
        """Return a sample without interruption; raise RowError where there is none."""
        for _ in range(1 + RETAKES):
            before = interruptions()
            seconds = fmean(self.library.time(self.runs))
            if not 0 < seconds < math.inf:
                raise FailedError(f"a run took {seconds:g} s by the clock; allowed: more than 0")
            interrupted = interruptions() != before
            if not interrupted and not self.has_gap(seconds):
                return seconds
            LOG.warning("%s: a sample of %.3g ms was interrupted", self.name, 1e3 * seconds)
        if not interrupted:
            # Always that slow, it is the speed of a machine that others use.
            return seconds
        raise FailedError("each sample is interrupted: by a CPU quota or a machine that sleeps")

    def has_gap(self, seconds: float) -> bool:
        return self.runs * seconds > GAP_S and seconds > GAP * self.expected


def time_libraries(
    libraries: Mapping[Variant, Callable[[], Timeable]],
    reference: Timeable,
    *,
    rounds: int,
    min_repeat_ms: float,
    warmup: int,
    seed: int,
    peers: Mapping[str, Timeable] | None = None,
    replicates: int = 3,
    interruptions: Callable[[], Any] = lambda: None,
) -> Timing:
    """Time all libraries of one model on one platform and return every raw sample.

    In each round each library is sampled once, in an order that is shuffled anew for each round, so that a drift of the
    machine meets all of them alike. Peers take part, and so do two more: `reference`, the same small kernel everywhere,
    whose samples show the drift; and A/A replicates, libraries loaded a second time, which differ from the first by
    noise alone, the placement in memory included. A library that cannot be timed leaves the rounds, with its replicate.

    Parameters
    ----------
    libraries : mapping of Variant to callable
        Returns the library, loaded.
    reference : Timeable
        The reference kernel.
    rounds : int
        Samples of each library.
    min_repeat_ms : float
        A sample is the mean over as many runs as fill this time, fixed for each library after the warm-up.
    warmup : int
        Runs before the first sample.
    seed : int
        Of the order.
    peers : mapping of str to Timeable, optional
        Other runtimes by their names, which are the role of their samples.
    replicates : int
        How many libraries are loaded a second time, spread over the list.
    interruptions : callable
        Returns a value that changes when the device is interrupted, see `host.interruptions`. Such samples are taken
        again, and so are those that take more than `GAP_S` and `GAP` times as long as the warm-up.

    Returns
    -------
    Timing
        Samples in rounds from 0, in milliseconds a run; statuses by variant or peer.
    """
    variants = list(libraries)
    repeated = {
        variants[index]
        for index in np.linspace(0, len(variants) - 1, min(replicates, len(variants))).astype(int)
    }
    contenders = [_Contender(variant, MEASURED, load()) for variant, load in libraries.items()]
    contenders += [
        _Contender(variant, AA_REPLICATE, libraries[variant]())
        for variant in variants
        if variant in repeated
    ]
    contenders.append(_Contender(None, REFERENCE, reference))
    contenders += [_Contender(None, name, peer) for name, peer in (peers or {}).items()]
    rows = _Rounds(contenders, interruptions).run(
        rounds, min_repeat_ms, warmup, np.random.default_rng(seed)
    )
    failed = {
        each.name: each.status for each in contenders if each.status and each.role != REFERENCE
    }
    kept = [row for contender, row in rows if contender.name not in failed]
    return Timing(kept, failed)


class _Rounds:
    """The contenders that are still sampled, and how often the device vanished in a row."""

    def __init__(self, contenders: Sequence[_Contender], interruptions: Callable[[], Any]) -> None:
        self.contenders, self.interruptions = contenders, interruptions
        self.losses = 0

    def run(
        self, rounds: int, min_repeat_ms: float, warmup: int, shuffle: np.random.Generator
    ) -> list[tuple[_Contender, dict[str, Any]]]:
        for contender in self.contenders:
            first = [self.seconds(contender) for _ in range(max(1, warmup))]
            measured = [seconds for seconds in first if seconds is not None]
            if measured:
                contender.expected = median(measured)
                contender.runs = max(1, math.ceil(min_repeat_ms / (1e3 * contender.expected)))
        rows = []
        with tqdm(
            total=rounds * len(self.contenders), desc="timing", unit="sample", disable=None
        ) as progress:
            for turn in range(rounds):
                for index in shuffle.permutation(len(self.contenders)):
                    contender = self.contenders[index]
                    if (seconds := self.seconds(contender)) is not None:
                        values = [*(contender.variant or [None] * 4), contender.role, turn]
                        row = dict(zip(COLUMNS, [*values, 1e3 * seconds], strict=True))
                        rows.append((contender, row))
                    progress.update()
        return rows

    def seconds(self, contender: _Contender) -> float | None:
        """Return one sample, None of a contender that cannot be timed or whose device vanished."""
        if contender.status:
            return None
        try:
            seconds = contender.sample(self.interruptions)
        except UnreachableError as error:
            contender.losses += 1
            self.losses += 1
            lost = self.contenders if self.losses >= LOSSES else [contender]
            for each in lost:
                if self.losses >= LOSSES or each.losses >= CONTENDER_LOSSES:
                    each.status = each.status or error.status
            return None
        except RowError as error:
            for each in self.contenders:
                if each.name == contender.name:
                    each.status = error.status
            return None
        self.losses = 0
        return seconds
