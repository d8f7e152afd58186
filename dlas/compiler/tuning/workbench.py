"""Build candidates in parallel and measure them serially, each against its task's default code."""

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from dlas.compiler.tuning.building import Job, build
from dlas.compiler.tuning.limits import TimeLimit
from dlas.compiler.tuning.measurement import CandidateError, Measurer, Reference, copies
from dlas.errors import FailedError

PHASES = ("search", "building", "measuring", "confirming")


class Task(Protocol):
    """Code that can be written in several ways, all of which compute the same."""

    @property
    def name(self) -> str:
        """Name of the task in messages."""

    @property
    def default_code(self) -> Any:
        """The candidate that all others are checked against."""

    @property
    def calls(self) -> int:
        """How often the network runs it."""

    @property
    def constant_bytes(self) -> int:
        """Size of the constants that each call reads."""

    def write(self, candidate: Any, folder: Path, linker: Sequence[str]) -> None:
        """Write the library of a candidate into a folder, with its constants and shapes."""


OwnTask = TypeVar("OwnTask", bound=Task)


@dataclass
class Effort:
    """The cost of tuning: candidates measured and failed, and seconds by phase."""

    measured: int = 0
    failed: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))

    @contextmanager
    def spent(self, phase: str) -> Iterator[None]:
        """Add the seconds inside the context to a phase, one of `PHASES`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] += time.perf_counter() - start

    def summary(self, saved: int, total_s: float) -> str:
        """Return the cost of a job in one line.

        Parameters
        ----------
        saved : int
            Number of trials that records saved.
        total_s : float
            Seconds of the job.

        Returns
        -------
        str
            The line for the log.
        """
        phases = ", ".join(
            f"{phase} {seconds:.1f} s ({100 * seconds / total_s:.0f} %, {self._rate(seconds)})"
            for phase, seconds in self.seconds.items()
        )
        return (
            f"{self.measured} candidates measured, {self.failed} of them failed, {saved} trials "
            f"saved, "
            f"in {total_s:.1f} s: {self.measured / total_s:.2f} candidates per second; {phases}"
        )

    def _rate(self, seconds: float) -> str:
        return f"{self.measured / seconds:.1f} a second" if seconds else "none"


class Workbench:
    """The folder in which a tuning job builds, the process that measures, and their cost so far.

    Parameters
    ----------
    tasks : sequence of Task
        All tasks of the network.
    measurer : Measurer
        The process that measures.
    folder : Path
        Folder for libraries until they are measured.
    timeout_s : float
        Minimum time limit for building a candidate, see `TimeLimit`.
    """

    def __init__(
        self, tasks: Sequence[Task], measurer: Measurer, folder: Path, timeout_s: float
    ) -> None:
        self.measurer, self.folder = measurer, folder
        self.network_bytes = sum(task.constant_bytes * task.calls for task in tasks)
        self.build_limit = TimeLimit(timeout_s)
        self.effort = Effort()
        # Number of folders made so far.
        self.built = 0
        # Task whose default code candidates are checked against.
        self.current: Task | None = None

    def measure_defaults(self, tasks: Sequence[OwnTask]) -> Iterator[tuple[OwnTask, list[float]]]:
        """Yield each task with the samples of its default code, as soon as it is measured.

        Parameters
        ----------
        tasks : sequence of Task
            Tasks, which are built together.

        Yields
        ------
        (Task, list of float)
            A task and the seconds of its samples.

        Raises
        ------
        FailedError
            For default code that cannot be built or measured.
        """
        built = self._build([(task, task.default_code) for task in tasks], defaults=len(tasks))
        for task, (folder, reason) in zip(tasks, built, strict=True):
            self._use(task, folder, reason)
            try:
                with self.effort.spent("measuring"):
                    samples = self.measurer.time(folder)
            except CandidateError as error:
                raise _useless(task, str(error)) from None
            self.effort.measured += 1
            yield task, samples

    def measure(
        self, task: Task, candidates: Sequence[Any]
    ) -> Iterator[tuple[Any, list[float] | CandidateError]]:
        """Yield each candidate with its samples, or its error, as soon as it is measured.

        Parameters
        ----------
        task : Task
            The task.
        candidates : sequence
            Candidates, which are built together.

        Yields
        ------
        (candidate, list of float or CandidateError)
            A candidate and the seconds of its samples, or why it is of no use.

        Raises
        ------
        FailedError
            For default code that cannot be built or measured.
        """
        for candidate, (folder, reason) in zip(
            candidates, self._build_beside_default(task, candidates), strict=True
        ):
            yield candidate, self._samples(folder, reason)
            shutil.rmtree(folder)

    def check_default(self, task: Task) -> None:
        """Build and run a task's default code anew. Raise FailedError if that fails."""
        self.current = None
        self._build_beside_default(task, [])

    def _samples(self, folder: Path, reason: str | None) -> list[float] | CandidateError:
        self.effort.measured += 1
        try:
            if reason is not None:
                raise CandidateError(reason)
            with self.effort.spent("measuring"):
                return self.measurer.time(folder)
        except CandidateError as error:
            self.effort.failed += 1
            return error

    def _build_beside_default(
        self, task: Task, candidates: Sequence[Any]
    ) -> list[tuple[Path, str | None]]:
        """Build candidates, and the default code if another task was current."""
        if self.current is task:
            return self._build([(task, candidate) for candidate in candidates])
        default, *built = self._build(
            [(task, candidate) for candidate in (task.default_code, *candidates)], defaults=1
        )
        self._use(task, *default)
        return built

    def _build(
        self, wanted: Sequence[tuple[Task, Any]], defaults: int = 0
    ) -> list[tuple[Path, str | None]]:
        """Build in parallel, the default code first.

        Returns the folders and why a build failed, None if it did not.
        """
        linker = self.measurer.opener.linker
        jobs = []
        for task, candidate in wanted:
            self.built += 1
            write = partial(_write, task, candidate, linker)
            jobs.append(Job(write, self.folder / str(self.built)))
        with self.effort.spent("building"):
            built = build(jobs, self.build_limit.seconds)
        for each in built[:defaults]:
            if each.reason is None:
                self.build_limit.default_took(each.seconds)
        return [(job.folder, each.reason) for job, each in zip(jobs, built, strict=True)]

    def _use(self, task: Task, folder: Path, reason: str | None) -> None:
        """Check candidates from now on against a task's default code."""
        before = self.measurer.folder
        try:
            if reason is not None:
                raise CandidateError(reason)
            with self.effort.spent("measuring"):
                count = copies(task.constant_bytes, self.network_bytes)
                self.measurer.use(Reference(folder, count))
        except CandidateError as error:
            raise _useless(task, str(error)) from None
        if before is not None:
            shutil.rmtree(before)
        self.current = task


def _write(task: Task, candidate: Any, linker: Sequence[str], folder: Path) -> None:
    task.write(candidate, folder, linker)


def _useless(task: Task, reason: str) -> FailedError:
    return FailedError(f"tuning {task.name}: its default code cannot be measured: {reason}")
