"""Auto-schedule a network: search a schedule for each fused convolution, from the bare loops.

Trials go, a batch at a time, to the task with most to gain. A resumed job repeats its choices from
the records: it takes the recorded trials again and measures only missing ones.
"""

import logging
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm
from tvm.s_tir import Schedule

from dlas.compiler.build import build_library
from dlas.compiler.device import DeviceOpener
from dlas.compiler.network import Network
from dlas.compiler.tuning.allocation import Progress, next_task
from dlas.compiler.tuning.confirmation import InNetwork
from dlas.compiler.tuning.database import FAILED, Measured
from dlas.compiler.tuning.measurement import CandidateError, Measurer
from dlas.compiler.tuning.schedule_search import ScheduleSearch, cost_model
from dlas.compiler.tuning.settings import CURVE, Outcome, Settings, require_cores
from dlas.compiler.tuning.workbench import Workbench
from dlas.compiler.tuning.workloads import TraceTrial, Workload, find_workloads
from dlas.files import code_folder

# Maximum number of candidates of a workload that are proposed together. Fewer would take longer to
# evolve than to measure.
TURN = 16

LOG = logging.getLogger("dlas")


def auto_schedule(
    network: Network,
    primitive: str,
    weight_format: str,
    target: dict[str, Any],
    settings: Settings,
    *,
    records: Path,
    seed: int,
    opener: DeviceOpener,
    kernels: Path | None = None,
) -> Outcome:
    """Search a schedule for every fused convolution of a network.

    Parameters
    ----------
    network : Network
        The network.
    primitive, weight_format : str
        Algorithm of its layers and format of their weights, which must be dense.
    target : dict
        The complete TVM target, with the number of its cores.
    settings : Settings
        How much is tried, and how it is measured.
    records : Path
        Folder of records. Trials in it are not measured again.
    seed : int
        Seed of the search.
    opener : DeviceOpener
        Opens the device on which candidates are measured.
    kernels : Path, optional
        Folder of a `KernelCache`, for the libraries that are timed in the end.

    Returns
    -------
    Outcome
        The "trace" of the fastest correct candidate of each kernel, whether or not it is faster
        than the default, None if there is none. The curve has all trials in order.

    Raises
    ------
    StudyError
        For a target without its cores, and records that cannot be written.
    RowError
        For a format or a target without rules, default code that cannot be measured, and a device
        that is lost.
    """
    require_cores(target)
    start = time.perf_counter()
    workloads = find_workloads(network, primitive, weight_format, target, records)
    measurer = Measurer(opener, **settings.measurement)  # type: ignore[arg-type]
    with (
        code_folder() as folder,
        tqdm(total=0, desc="auto-scheduling", unit="trial", disable=None) as bar,
    ):
        workbench = Workbench(workloads, measurer, folder, settings.measurement["timeout_s"])
        job = _Job(workloads, settings, workbench, bar, seed)
        try:
            job.run()
            choices = {task.workload.key: task.choice() for task in job.tasks}
            with workbench.effort.spent("confirming"):
                ratios = InNetwork(
                    partial(
                        build_library, network, primitive, weight_format, target, kernels=kernels
                    ),
                    network.input_shape,
                    [choice["label"] for choice in choices.values()],
                    measurer,
                    settings.confirmation["repeats"],
                    folder,
                ).ratios(choices)
        finally:
            measurer.close()
    for choice, ratio in zip(choices.values(), ratios, strict=True):
        choice["ratio"] = ratio
    LOG.info(
        "auto-scheduled %d of %d workloads: %s",
        sum(choice["trace"] is not None for choice in choices.values()),
        len(choices),
        workbench.effort.summary(job.saved, time.perf_counter() - start),
    )
    return Outcome(choices, job.curve)


class _Task:
    """A workload and its trials so far."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.progress = Progress(workload.calls)
        self.trials: list[TraceTrial] = []
        self.default: Measured
        self.search: ScheduleSearch | None = None

    @property
    def best(self) -> TraceTrial | None:
        """The fastest correct candidate, None if there is none."""
        correct = (trial for trial in self.trials if not trial.failed)
        return min(correct, key=lambda trial: trial.seconds, default=None)

    @property
    def seconds(self) -> float:
        """Latency of the kernel as the network uses it."""
        return (self.best or self.default).seconds

    def choice(self) -> dict[str, Any]:
        best = self.best
        return {
            "layer": self.workload.name,
            "label": self.workload.label,
            "calls": self.workload.calls,
            "trials": len(self.trials),
            "default_ms": 1e3 * self.default.seconds,
            "latency_ms": best and 1e3 * best.seconds,
            "trace": best and best.trace,
        }


class _Job:
    """An auto-scheduling job: its tasks, its workbench and its curve so far."""

    def __init__(
        self,
        workloads: Sequence[Workload],
        settings: Settings,
        workbench: Workbench,
        bar: Any,
        seed: int,
    ) -> None:
        self.tasks = [_Task(workload) for workload in workloads]
        self.settings, self.workbench, self.bar, self.seed = settings, workbench, bar, seed
        self.model = cost_model(seed)
        self.curve: list[dict[str, Any]] = []
        self.saved = 0

    def run(self) -> None:
        """Measure all defaults, then spend the budget."""
        self.measure_defaults()
        trials = self.settings.trials
        # At least half of the trials go where there is most to gain.
        turn = min(TURN, trials["layer"], max(1, trials["network"] // (2 * len(self.tasks))))
        self.bar.reset(min(trials["network"], trials["layer"] * len(self.tasks)))
        while (left := trials["network"] - len(self.curve)) > 0:
            chosen = next_task([task.progress for task in self.tasks])
            if chosen is None:
                break
            task = self.tasks[chosen]
            count = min(left, turn, trials["layer"] - len(task.trials))
            found = self.next_batch(task, count, turn)
            task.progress.best.append(task.seconds)
            task.progress.closed = found < count or len(task.trials) >= trials["layer"]
            if task.progress.closed:
                self.close(task)
        for task in self.tasks:
            self.close(task)

    def measure_defaults(self) -> None:
        """Measure the default schedules that have no records yet."""
        missing = [each.workload for each in self.tasks if each.workload.default_trial() is None]
        for first in range(0, len(missing), self.settings.batch):
            batch = missing[first : first + self.settings.batch]
            for workload, samples in self.workbench.measure_defaults(batch):
                workload.record_default(samples)
        for task in self.tasks:
            default = task.workload.default_trial()
            assert default is not None
            task.default = default

    def next_batch(self, task: _Task, count: int, turn: int) -> int:
        """Take up to `count` more trials, recorded ones first, and return how many there were."""
        recorded = task.workload.records.trials
        taken = len(task.trials)
        self.saved += min(count, len(recorded) - taken)
        if (missing := count - (len(recorded) - taken)) > 0:
            self.measure(task, missing, turn)
        batch = recorded[taken : taken + count]
        for trial in batch:
            self.take(task, trial)
        return len(batch)

    def measure(self, task: _Task, count: int, turn: int) -> None:
        """Propose candidates, measure them and record each at once.

        Failures are recorded last. If all fail, the default code is run again first: it fails too
        if the candidates are not at fault.
        """
        effort = self.workbench.effort
        with effort.spent("search"):
            if task.search is None:
                task.search = ScheduleSearch(task.workload, self.model, turn, self.seed)
            schedules = task.search.propose(count)
        correct: list[Schedule] = []
        failed: list[Schedule] = []
        for schedule, outcome in self.workbench.measure(task.workload, schedules):
            if isinstance(outcome, CandidateError):
                LOG.warning("%s: candidate thrown away: %s", task.workload.name, outcome)
                failed.append(schedule)
            else:
                task.workload.records.append(schedule.trace, outcome)
                correct.append(schedule)
        if failed and not correct:
            self.workbench.check_default(task.workload)
        for schedule in failed:
            task.workload.records.append(schedule.trace, [FAILED])
        if schedules:
            with effort.spent("search"):
                new = task.workload.records.trials[-len(schedules) :]
                task.search.learn([*correct, *failed], new)

    def take(self, task: _Task, trial: TraceTrial) -> None:
        """Add a trial to its task and to the curve."""
        task.trials.append(trial)
        best = task.best
        latency = None if trial.failed else 1e3 * trial.seconds
        whole = sum(each.workload.calls * each.seconds for each in self.tasks)
        default = sum(each.workload.calls * each.default.seconds for each in self.tasks)
        row = [
            len(self.curve) + 1,
            task.workload.name,
            latency,
            best and 1e3 * best.seconds,
            1e3 * task.default.seconds,
            1e3 * whole if all(each.trials for each in self.tasks) else None,
            1e3 * default,
        ]
        self.curve.append(dict(zip(CURVE, row, strict=True)))
        self.bar.update()
        self.bar.set_postfix_str(f"kernels {1e3 * whole:.3f} ms")

    def close(self, task: _Task) -> None:
        """End a task's search."""
        task.progress.closed = True
        if task.search is not None:
            task.search.close()
            task.search = None
