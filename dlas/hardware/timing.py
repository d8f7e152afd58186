"""Time compiled networks on the platforms of one machine, in interleaved rounds."""

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
# A sample was interrupted, for example by a stopped process, if it takes longer than GAP_S and than
# GAP times the warm-up.
GAP_S, GAP = 1.0, 20
# Attempts to take an interrupted sample again.
RETAKES = 5
# Lost connections before giving up: under one contender, and in a row.
CONTENDER_LOSSES, LOSSES = 2, 3


class Variant(NamedTuple):
    """The choices that distinguish the libraries of one model on one platform."""

    compression: str
    primitive: str
    format: str
    tuning: str


class Timeable(Protocol):
    """A loaded library, or anything else that can be run and timed."""

    def time(self, number: int) -> Sequence[float]:
        """Run `number` times in a row and return the mean seconds of a run, as one or more samples.

        Raises
        ------
        RowError
            If it cannot be timed; `UnreachableError` if the device disconnected.
        """


@dataclass(frozen=True)
class Contenders:
    """Everything to time on one platform, and the settings.

    Attributes
    ----------
    libraries : mapping of Variant to callable
        Each callable returns the loaded library.
    reference : Timeable
        The reference kernel.
    rounds : int
        Samples of each contender, one in each of the first `rounds` rounds.
    min_repeat_ms : float
        A sample is the mean over as many runs as fill this time. The number of runs is fixed for
        each contender after the warm-up.
    warmup : int
        Runs before the first sample.
    peers : mapping of str to Timeable, optional
        Other runtimes by name; the name is the role of their samples.
    replicates : int
        Number of libraries to load a second time, spread over the list.
    unreplicated : collection of str
        The ways to schedule whose libraries are not loaded a second time.
    interruptions : callable
        Returns a value that changes when the device is interrupted, see `host.interruptions`. Such
        samples are taken again, as are samples with a gap (`GAP_S`, `GAP`).
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
    """The raw samples and the failures.

    Attributes
    ----------
    samples : list of dict
        Rows with the keys `COLUMNS`.
    statuses : dict of str to dict
        By platform the status of each library or peer without samples.
    """

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
    # Seconds of a run in the warm-up.
    expected: float = math.inf
    losses: int = 0
    status: str | None = None

    @property
    def name(self) -> Variant | str:
        return self.variant or self.role

    def sample(self) -> float:
        """Return a sample without interruption; raise RowError if there is none."""
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
            # A gap in every sample is the speed of a machine that others use.
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

    Each round samples each library of each platform once. The order is shuffled anew in each round,
    so drift affects all alike: two samples of a round are a pair, across platforms too. Peers take
    part. Each platform adds the same small reference kernel, whose samples show the drift, and A/A
    replicates: libraries loaded a second time, whose latencies differ only by noise, such as their
    placement in memory. A library that cannot be timed leaves the rounds, with its replicate.

    Parameters
    ----------
    platforms : mapping of str to Contenders
        The contenders of each platform.
    seed : int
        Seed of the order.

    Returns
    -------
    Timing
        Samples in rounds from 0, in milliseconds per run; statuses by platform, then by variant or
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
    """Yield all contenders of one platform."""
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
    """The contenders, and the lost connections in a row of each platform."""

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
        """Return one sample, or None if the contender failed or its device disconnected."""
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
