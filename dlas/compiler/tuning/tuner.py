"""Spend the trials of tuning tasks: propose candidates, build them, measure them, record them."""

import logging
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from dlas.compiler.build import complete
from dlas.compiler.tuning.building import Job, build, write_candidate
from dlas.compiler.tuning.limits import TimeLimit
from dlas.compiler.tuning.measurement import CandidateError, Measurer, Reference, copies
from dlas.compiler.tuning.records import FAILED
from dlas.compiler.tuning.search import Search
from dlas.compiler.tuning.settings import Settings
from dlas.compiler.tuning.tasks import Task
from dlas.errors import FailedError

LOG = logging.getLogger("dlas")


@dataclass
class Effort:
    """The cost of tuning in candidates and in seconds."""

    measured: int = 0
    failed: int = 0
    seconds: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("search", "building", "measuring", "confirming"), 0)
    )

    @contextmanager
    def spent(self, what: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[what] += time.perf_counter() - start

    def report(self, choices: Mapping[str, Any], saved: int) -> None:
        """Log it, and the numbers of changed layers and of trials that records saved."""
        seconds = self.seconds
        changed = sum(bool(choice["decisions"]) for choice in choices.values())
        LOG.info(
            "tuned %d of %d layers: %d candidates measured, %d of them failed, %d trials saved, in %.1f s: "
            "%.2f candidates per second; search %.1f s (%.0f %%), building %.1f s, measuring %.1f s, confirming %.1f s",
            changed,
            len(choices),
            self.measured,
            self.failed,
            saved,
            seconds["all"],
            self.measured / seconds["all"],
            seconds["search"],
            100 * seconds["search"] / seconds["all"],
            seconds["building"],
            seconds["measuring"],
            seconds["confirming"],
        )


class Tuner:
    """One tuning job: the folder that it builds in, the process that measures, and its cost so far."""

    def __init__(
        self,
        tasks: list[Task],
        settings: Settings,
        target: dict[str, Any],
        measurer: Measurer,
        folder: Path,
        progress: Any,
    ) -> None:
        self.tasks, self.settings, self.measurer = tasks, settings, measurer
        self.target, self.folder, self.progress = complete(target), folder, progress
        self.network_bytes = sum(task.constant_bytes * task.calls for task in tasks)
        self.build_limit = TimeLimit(settings.measurement["timeout_s"])
        self.effort = Effort()
        self.built = 0  # folders
        self.failures = 0  # candidates that failed one after the other
        self.current: Task | None = None  # whose default code candidates are checked against

    def measure_defaults(self) -> None:
        """Measure the default code of each layer that has no records yet."""
        missing = [task for task in self.tasks if task.records.known(task.layer.defaults) is None]
        for first in range(0, len(missing), self.settings.batch):
            batch = missing[first : first + self.settings.batch]
            built = self.build([(task, task.layer.defaults) for task in batch])
            for task, (folder, reason) in zip(batch, built, strict=True):
                self.use(task, folder, reason)
                try:
                    with self.effort.spent("measuring"):
                        samples = self.measurer.time(folder)
                except CandidateError as error:
                    raise _useless(task, str(error)) from None
                self.record(task, task.layer.defaults, samples)
        self.show()

    def tune(self, task: Task, seed: int) -> None:
        """Spend a layer's trials."""
        if len(task.records.trials) >= task.budget:
            return
        with self.effort.spent("search"):
            search = Search(
                task.records,
                [other.records for other in self.tasks],
                self.settings.strategy,
                self.settings.batch,
                seed,
            )
        while (left := task.budget - len(task.records.trials)) > 0:
            with self.effort.spent("search"):
                proposed = search.propose(min(left, self.settings.batch))
            if not proposed:
                break
            self.measure(task, proposed)
            self.show()
        search.close()

    def measure(self, task: Task, proposed: list[dict[str, int]]) -> None:
        """Build a batch, measure it and record each trial at once.

        Failures are recorded last, and not at all where a whole batch fails: that is not the fault of candidates.
        """
        failed: list[tuple[dict[str, int], str]] = []
        worked = False
        built = self.build_beside_default(task, proposed)
        for decisions, (folder, reason) in zip(proposed, built, strict=True):
            try:
                if reason is not None:
                    raise CandidateError(reason)
                with self.effort.spent("measuring"):
                    samples = self.measurer.time(folder)
                worked, self.failures = True, 0
                self.record(task, decisions, samples)
            except CandidateError as error:
                failed.append((decisions, str(error)))
                self.failures += 1
            shutil.rmtree(folder)
        if not worked and self.failures >= self.settings.batch:
            raise FailedError(
                f"tuning {task.layer.name}: all {len(failed)} candidates of a batch failed, the first because "
                f"{failed[0][1]}"
            )
        for decisions, reason in failed:
            LOG.warning("%s: candidate %s thrown away: %s", task.layer.name, decisions, reason)
            self.effort.failed += 1
            self.record(task, decisions, [FAILED])

    def build_beside_default(
        self, task: Task, proposed: list[dict[str, int]]
    ) -> list[tuple[Path, str | None]]:
        """Build candidates and, if another layer was before, the default that they are checked against."""
        if self.current is task:
            return self.build([(task, decisions) for decisions in proposed])
        default, *built = self.build(
            [(task, decisions) for decisions in (task.layer.defaults, *proposed)]
        )
        self.use(task, *default)
        return built

    def build(
        self, wanted: Sequence[tuple[Task, Mapping[str, int]]]
    ) -> list[tuple[Path, str | None]]:
        """Build side by side; return the folder of each and why it failed, None where it did not."""
        jobs = [
            Job(
                partial(
                    write_candidate,
                    task.layer,
                    decisions,
                    self.target,
                    linker=self.measurer.opener.linker,
                ),
                self.next_folder(),
            )
            for task, decisions in wanted
        ]
        with self.effort.spent("building"):
            built = build(jobs, self.build_limit.seconds)
        for (task, decisions), each in zip(wanted, built, strict=True):
            if decisions == task.layer.defaults and each.reason is None:
                self.build_limit.default_took(each.seconds)
        return [(job.folder, each.reason) for job, each in zip(jobs, built, strict=True)]

    def next_folder(self) -> Path:
        """Return the name of a folder that is not there yet."""
        self.built += 1
        return self.folder / str(self.built)

    def use(self, task: Task, folder: Path, reason: str | None) -> None:
        """Check candidates from now on against a layer's default code."""
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

    def record(self, task: Task, decisions: Mapping[str, int], samples: Sequence[float]) -> None:
        task.records.add(decisions, samples)
        self.effort.measured += 1
        self.progress.update()

    def show(self) -> None:
        """Show the best latency of all layers together."""
        best = sum(task.calls * min(trial.seconds for trial in task.trials) for task in self.tasks)
        self.progress.set_postfix_str(f"best {1e3 * best:.3f} ms")


def _useless(task: Task, reason: str) -> FailedError:
    return FailedError(f"tuning {task.layer.name}: its default code cannot be measured: {reason}")
