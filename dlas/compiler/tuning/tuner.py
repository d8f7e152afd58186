"""Spend the trials of tuning tasks: propose candidates, build, measure and record them."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from dlas.compiler.tuning.database import FAILED
from dlas.compiler.tuning.measurement import CandidateError
from dlas.compiler.tuning.search import Search
from dlas.compiler.tuning.settings import Settings
from dlas.compiler.tuning.tasks import Task
from dlas.compiler.tuning.workbench import Workbench
from dlas.errors import FailedError

LOG = logging.getLogger("dlas")


class Tuner:
    """One tuning job: its tasks and the workbench that measures their candidates."""

    def __init__(
        self, tasks: list[Task], settings: Settings, workbench: Workbench, progress: Any
    ) -> None:
        self.tasks, self.settings = tasks, settings
        self.workbench, self.progress = workbench, progress
        # Number of consecutive candidates that failed.
        self.failures = 0

    def measure_defaults(self) -> None:
        """Measure the default code of each layer that has no records yet."""
        missing = [task for task in self.tasks if task.records.known(task.layer.defaults) is None]
        for first in range(0, len(missing), self.settings.batch):
            batch = missing[first : first + self.settings.batch]
            for task, samples in self.workbench.measure_defaults(batch):
                self.record(task, task.layer.defaults, samples)
        self.show()

    def tune(self, task: Task, seed: int) -> None:
        """Spend the trials of a layer."""
        if len(task.records.trials) >= task.budget:
            return
        with self.workbench.effort.spent("search"):
            search = Search(
                task.records,
                [other.records for other in self.tasks],
                self.settings.strategy,
                self.settings.batch,
                seed,
            )
        while (left := task.budget - len(task.records.trials)) > 0:
            with self.workbench.effort.spent("search"):
                proposed = search.propose(min(left, self.settings.batch))
            if not proposed:
                break
            self.measure(task, proposed)
            self.show()
        search.close()

    def measure(self, task: Task, proposed: list[dict[str, int]]) -> None:
        """Measure a batch and record each trial at once.

        Failures are recorded last. They are not recorded if the candidates are not at fault,
        because a whole batch failed.

        Parameters
        ----------
        task : Task
            The layer.
        proposed : list of dict
            Decisions of the candidates.

        Raises
        ------
        FailedError
            If all proposed candidates failed, and at least `Settings.batch` in a row.
        """
        failed: list[tuple[dict[str, int], str]] = []
        for decisions, outcome in self.workbench.measure(task, proposed):
            if isinstance(outcome, CandidateError):
                failed.append((decisions, str(outcome)))
                self.failures += 1
            else:
                self.failures = 0
                self.record(task, decisions, outcome)
        if len(failed) == len(proposed) and self.failures >= self.settings.batch:
            raise FailedError(
                f"tuning {task.name}: all {len(failed)} candidates of a batch failed, the first "
                f"because {failed[0][1]}"
            )
        for decisions, reason in failed:
            LOG.warning("%s: candidate %s thrown away: %s", task.name, decisions, reason)
            self.record(task, decisions, [FAILED])

    def record(self, task: Task, decisions: Mapping[str, int], samples: Sequence[float]) -> None:
        """Append a trial to the records."""
        task.records.add(decisions, samples)
        self.progress.update()

    def show(self) -> None:
        """Show the best latency of all layers together."""
        best = sum(task.calls * min(trial.seconds for trial in task.trials) for task in self.tasks)
        self.progress.set_postfix_str(f"best {1e3 * best:.3f} ms")
