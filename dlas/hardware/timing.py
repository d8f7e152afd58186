"""Time compiled networks against each other on the platforms of one machine, in interleaved rounds."""

import logging
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Any, NamedTuple, Protocol

import numpy as np
from tqdm import tqdm

from dlas.errors import FailedError, RowError, UnreachableError

LOG = logging.getLogger("dlas")
COLUMNS = "platform compression primitive format tuning role round latency_ms".split()
MEASURED, AA_REPLICATE, REFERENCE = "measured", "aa_replicate", "reference"
# A sample that takes longer than `GAP_S` and `GAP` times as long as in the warm-up was interrupted,
# as by a stopped process.
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

        Raises `RowError` where it cannot be timed, and `UnreachableError` where the device
        vanished.
        """


@dataclass(frozen=True)
class Contenders:
    """Everything that is timed on one platform, and how.

    Parameters
    ----------
    libraries : mapping of Variant to callable
        Returns the library, loaded.
    reference : Timeable
        The reference kernel.
    rounds : int
        Samples of each contender. It takes part in so many rounds from the first.
    min_repeat_ms : float
        A sample is the mean over as many runs as fill this time, fixed for each contender after the
        warm-up.
    warmup : int
        Runs before the first sample.
    peers : mapping of str to Timeable, optional
        Other runtimes by their names, which are the role of their samples.
    replicates : int
        How many libraries are loaded a second time, spread over the list.
    unreplicated : collection of str
        The ways to schedule whose libraries are not loaded a second time.
    interruptions : callable
        Returns a value that changes when the device is interrupted, see `host.interruptions`. Such
        samples are taken again, and so are those that take more than `GAP_S` and `GAP` times as
        long as the warm-up.
    """

    libraries: Mapping[Variant, Callable[[], Timeable]]
    reference: Timeable
    rounds: int
    min_repeat_ms: float
    warmup: int
    peers: Mapping[str, Timeable] = field(default_factory=dict)
    replicates: int = 3
    unreplicated: Collection[str] = ()
    interruptions: Callable[[], Any] = lambda: None


class Timing(NamedTuple):
    """The raw samples, with the keys `COLUMNS`, and by platform the status of each library or peer without samples."""

    samples: list[dict[str, Any]]
    statuses: dict[str, dict[Variant | str, str]]


@dataclass(eq=False)
class _Contender:
    platform: str
    settings: Contenders
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

    def sample(self) -> float:
        """Return a sample without interruption; raise RowError where there is none."""
        for _ in range(1 + RETAKES):
            before = self.settings.interruptions()
            seconds = fmean(self.library.time(self.runs))
            if not 0 < seconds < math.inf:
                raise FailedError(f"a run took {seconds:g} s by the clock; allowed: more than 0")
            interrupted = self.settings.interruptions() != before
            if not interrupted and not self.has_gap(seconds):
                return seconds
            LOG.warning("%s: a sample of %.3g ms was interrupted", self.name, 1e3 * seconds)
        if not interrupted:
            # Always that slow, it is the speed of a machine that others use.
            return seconds
        raise FailedError("each sample is interrupted: by a CPU quota or a machine that sleeps")

    def has_gap(self, seconds: float) -> bool:
        return self.runs * seconds > GAP_S and seconds > GAP * self.expected

    def row(self, turn: int, seconds: float) -> dict[str, Any]:
        variant = self.variant or [None] * len(Variant._fields)
        values = [self.platform, *variant, self.role, turn, 1e3 * seconds]
        return dict(zip(COLUMNS, values, strict=True))


def time_libraries(platforms: Mapping[str, Contenders], *, seed: int) -> Timing:
    """Time all libraries of one model on the platforms of one machine and return every raw sample.

    In each round each library of each platform is sampled once, in an order that is shuffled anew
    for each round, so that a drift of the machine meets all of them alike: two samples of one round
    are a pair, across platforms too. Peers take part, and on each platform so do two more: the same
    small reference kernel everywhere, whose samples show the drift; and A/A replicates, libraries
    loaded a second time, which differ from the first by noise alone, the placement in memory
    included. A library that cannot be timed leaves the rounds, with its replicate.

    Parameters
    ----------
    platforms : mapping of str to Contenders
        What is timed on each platform.
    seed : int
        Of the order.

    Returns
    -------
    Timing
        Samples in rounds from 0, in milliseconds a run; statuses by platform, then by variant or
        peer.
    """
    everyone = [each for name, chosen in platforms.items() for each in _lined_up(name, chosen)]
    rows = _Rounds(everyone).run(np.random.default_rng(seed))
    statuses: dict[str, dict[Variant | str, str]] = {name: {} for name in platforms}
    for each in everyone:
        if each.status and each.role != REFERENCE:
            statuses[each.platform][each.name] = each.status
    kept = [row for each, row in rows if each.name not in statuses[each.platform]]
    return Timing(kept, statuses)


def _lined_up(platform: str, chosen: Contenders) -> Iterator[_Contender]:
    """Yield all that takes turns on one platform."""
    variants = [each for each in chosen.libraries if each.tuning not in chosen.unreplicated]
    count = min(chosen.replicates, len(variants))
    repeated = {variants[index] for index in np.linspace(0, len(variants) - 1, count).astype(int)}
    for variant, load in chosen.libraries.items():
        yield _Contender(platform, chosen, variant, MEASURED, load())
    for variant in variants:
        if variant in repeated:
            yield _Contender(platform, chosen, variant, AA_REPLICATE, chosen.libraries[variant]())
    yield _Contender(platform, chosen, None, REFERENCE, chosen.reference)
    for name, peer in chosen.peers.items():
        yield _Contender(platform, chosen, None, name, peer)


class _Rounds:
    """The contenders that are still sampled, and how often the device of each platform vanished in a row."""

    def __init__(self, contenders: Sequence[_Contender]) -> None:
        self.contenders = contenders
        self.losses: Counter[str] = Counter()

    def run(self, shuffle: np.random.Generator) -> list[tuple[_Contender, dict[str, Any]]]:
        for contender in self.contenders:
            settings = contender.settings
            first = [self.seconds(contender) for _ in range(max(1, settings.warmup))]
            measured = [seconds for seconds in first if seconds is not None]
            if measured:
                contender.expected = median(measured)
                runs = math.ceil(settings.min_repeat_ms / (1e3 * contender.expected))
                contender.runs = max(1, runs)
        rows = []
        rounds = [contender.settings.rounds for contender in self.contenders]
        with tqdm(total=sum(rounds), desc="timing", unit="sample", disable=None) as progress:
            for turn in range(max(rounds, default=0)):
                taking_part = [each for each in self.contenders if turn < each.settings.rounds]
                for index in shuffle.permutation(len(taking_part)):
                    contender = taking_part[index]
                    if (seconds := self.seconds(contender)) is not None:
                        rows.append((contender, contender.row(turn, seconds)))
                    progress.update()
        return rows

    def seconds(self, contender: _Contender) -> float | None:
        """Return one sample, None of a contender that cannot be timed or whose device vanished."""
        if contender.status:
            return None
        platform = contender.platform
        try:
            seconds = contender.sample()
        except UnreachableError as error:
            contender.losses += 1
            self.losses[platform] += 1
            gone = self.losses[platform] >= LOSSES
            for each in self.on(platform) if gone else [contender]:
                if gone or each.losses >= CONTENDER_LOSSES:
                    each.status = each.status or error.status
            return None
        except RowError as error:
            for each in self.on(platform):
                if each.name == contender.name:
                    each.status = error.status
            return None
        self.losses[platform] = 0
        return seconds

    def on(self, platform: str) -> list[_Contender]:
        return [each for each in self.contenders if each.platform == platform]
