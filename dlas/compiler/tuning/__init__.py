"""Tuning: the decisions of each layer's code, found by measuring candidates on the platform itself.

A layer's workload is its default code before it is scheduled, and a candidate is a set of decisions. MetaSchedule
(Shao et al., "Tensor Program Optimization with Probabilistic Programs", NeurIPS 2022) proposes candidates and keeps the
records; building, measuring and choosing are done here.
"""

import logging
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from dlas import primitives
from dlas.compiler.build import build_library, complete
from dlas.compiler.layer import Layer, workload_hash
from dlas.compiler.library import Place
from dlas.compiler.lowering import layers
from dlas.compiler.network import Network
from dlas.compiler.tuning.building import Job, build, write_candidate
from dlas.compiler.tuning.confirmation import InNetwork, confirm
from dlas.compiler.tuning.measurement import CandidateError, Measurer, Reference, copies
from dlas.compiler.tuning.records import FAILED, Records, Trial
from dlas.compiler.tuning.search import Search
from dlas.errors import StudyError
from dlas.primitives.vector import processor

LOG = logging.getLogger("dlas")
CURVE = ["trial", "layer", "latency_ms", "best_layer_ms", "network_ms"]
WORTH = 0.98  # of the default's time: what is slower is not measured again


@dataclass(frozen=True)
class Settings:
    """How much is tried and how it is measured.

    `trials`: at most how many of a "layer" and of the whole "network". `batch` candidates are built together.
    `measurement`: "repeats" samples of at least "min_repeat_ms" each; a candidate fails after "timeout_s".
    `confirmation`: the best "finalists" of each layer are measured in the network, in "repeats" rounds.
    """

    strategy: str
    trials: Mapping[str, int]
    batch: int
    measurement: Mapping[str, float]
    confirmation: Mapping[str, int]


@dataclass(frozen=True)
class Outcome:
    """The decisions by workload, for `build_library`, and every trial in the order of its measurement."""

    choices: dict[str, Any]
    curve: list[dict[str, Any]]


@dataclass(frozen=True)
class _Task:
    """One layer, how often the network calls it, and how many trials it gets."""

    layer: Layer
    calls: int
    workload: str
    budget: int
    records: Records
    constant_bytes: int

    @property
    def trials(self) -> list[Trial]:
        """The trials that count: records of a larger budget are as if they were not there."""
        return self.records.trials[: self.budget]

    @property
    def default(self) -> Trial:
        trial = self.records.known(self.layer.defaults)
        assert trial is not None, "defaults are measured first"
        return trial


@dataclass
class _Effort:
    """What tuning took, in candidates and in seconds."""

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


def tune_network(
    network: Network,
    primitive: str,
    format: str,
    target: dict[str, Any],
    settings: Settings,
    *,
    records: Path,
    seed: int,
    place: Place,
) -> Outcome:
    """Tune every layer of a network under a primitive and a format.

    Trials that the folder `records` holds already are not measured again; all others are, at `place`.

    Raises StudyError where a target does not say its cores, where candidates cannot be measured at all or records not
    be written.
    """
    if target["kind"] == "llvm" and "num-cores" not in target:
        raise StudyError(
            f"target {target} has no num-cores; tuning needs the number of its threads"
        )
    start = time.perf_counter()
    tasks = _tasks(network, primitive, format, target, records)
    kept = {task.workload: len(task.records.trials) for task in tasks}
    measurer = Measurer(place, **settings.measurement)  # type: ignore[arg-type]
    with (
        tempfile.TemporaryDirectory(prefix="dlas-tuning-") as folder,
        tqdm(total=len(tasks), desc="tuning", unit="trial", disable=None) as progress,
    ):
        tuner = _Tuner(tasks, settings, target, measurer, Path(folder), progress)
        try:
            tuner.measure_defaults()
            tuner.tasks = tasks = _with_budgets(tasks, settings.trials)
            saved = sum(min(kept[task.workload], task.budget) for task in tasks)
            total = sum(task.budget for task in tasks)
            LOG.info(
                "tuning %d layers in %d trials, of which records save %d", len(tasks), total, saved
            )
            progress.reset(total)
            progress.update(sum(len(task.trials) for task in tasks))
            order = sorted(tasks, key=lambda task: -task.calls * task.default.seconds)
            for task in order:
                tuner.tune(task, seed)
            measure = InNetwork(
                partial(build_library, network, primitive, format, target),
                network.input_shape,
                [task.layer.label for task in tasks],
                measurer,
                settings.confirmation["repeats"],
                Path(folder),
            )
            with tuner.effort.spent("confirming"):
                choices = _choices(tasks, settings.confirmation["finalists"], measure)
        finally:
            measurer.close()
    tuner.effort.seconds["all"] = time.perf_counter() - start
    _report(tuner.effort, choices, saved)
    return Outcome(choices, _curve(tasks, order))


def _tasks(
    network: Network,
    primitive: str,
    format: str,
    target: dict[str, Any],
    records: Path,
) -> list[_Task]:
    """Return the layers that differ, each with one trial, for its default."""
    algorithm, stored = primitives.load(primitive), primitives.load_format(format)
    compiled_for = complete(target)
    found = layers(network, algorithm, stored, processor(compiled_for, network.dtype))
    tasks = []
    for layer, calls in found:
        workload = workload_hash(layer, target)
        size = sum(constant.nbytes for constant in layer.kernel({}).constants)
        stored_records = Records(records / workload, layer, compiled_for)
        tasks.append(_Task(layer, calls, workload, 1, stored_records, size))
    return tasks


def _with_budgets(tasks: Sequence[_Task], trials: Mapping[str, int]) -> list[_Task]:
    """Part the network's trials by the time that its layers take with their default code, at least one each.

    That code is measured once, so that a job which goes on parts them as before.
    """
    seconds = np.array([task.calls * task.default.seconds for task in tasks])
    shares = (trials["network"] * seconds / seconds.sum()).astype(int)
    limits = [min(max(1, int(share)), trials["layer"]) for share in shares]
    return [
        replace(task, budget=sum(1 for _ in islice(task.layer.points(), limit)))
        for task, limit in zip(tasks, limits, strict=True)
    ]


class _Tuner:
    """One tuning job: the folder that it builds in, the process that measures, and what it took so far."""

    def __init__(
        self,
        tasks: list[_Task],
        settings: Settings,
        target: dict[str, Any],
        measurer: Measurer,
        folder: Path,
        progress: Any,
    ) -> None:
        self.tasks, self.settings, self.measurer = tasks, settings, measurer
        self.target, self.folder, self.progress = complete(target), folder, progress
        self.network_bytes = sum(task.constant_bytes * task.calls for task in tasks)
        self.effort = _Effort()
        self.built = 0  # folders
        self.failures = 0  # candidates that failed one after the other
        self.current: _Task | None = None  # whose default code candidates are checked against

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

    def tune(self, task: _Task, seed: int) -> None:
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

    def measure(self, task: _Task, proposed: list[dict[str, int]]) -> None:
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
            raise StudyError(
                f"tuning {task.layer.name}: all {len(failed)} candidates of a batch failed, the first because "
                f"{failed[0][1]}"
            )
        for decisions, reason in failed:
            LOG.warning("%s: candidate %s thrown away: %s", task.layer.name, decisions, reason)
            self.effort.failed += 1
            self.record(task, decisions, [FAILED])

    def build_beside_default(
        self, task: _Task, proposed: list[dict[str, int]]
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
        self, wanted: Sequence[tuple[_Task, Mapping[str, int]]]
    ) -> list[tuple[Path, str | None]]:
        """Build side by side; return the folder of each and why it failed, None where it did not."""
        jobs = [
            Job(
                partial(
                    write_candidate,
                    task.layer,
                    decisions,
                    self.target,
                    linker=self.measurer.place.linker,
                ),
                self.next_folder(),
            )
            for task, decisions in wanted
        ]
        with self.effort.spent("building"):
            reasons = build(jobs, self.settings.measurement["timeout_s"])
        return [(job.folder, reason) for job, reason in zip(jobs, reasons, strict=True)]

    def next_folder(self) -> Path:
        """Return the name of a folder that is not there yet."""
        self.built += 1
        return self.folder / str(self.built)

    def use(self, task: _Task, folder: Path, reason: str | None) -> None:
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

    def record(self, task: _Task, decisions: Mapping[str, int], samples: Sequence[float]) -> None:
        task.records.add(decisions, samples)
        self.effort.measured += 1
        self.progress.update()

    def show(self) -> None:
        """Show the best latency of all layers together."""
        best = sum(task.calls * min(trial.seconds for trial in task.trials) for task in self.tasks)
        self.progress.set_postfix_str(f"best {1e3 * best:.3f} ms")


def _choices(tasks: Sequence[_Task], count: int, measure: InNetwork) -> dict[str, Any]:
    """Return the choice of each layer by workload, of the `count` fastest of each."""
    finalists = {task.workload: _finalists(task, count) for task in tasks}
    try:
        confirmed = confirm(finalists, measure)
    except CandidateError as error:
        LOG.warning("all layers stay as by default: %s", error)
        confirmed = confirm(dict.fromkeys(finalists, ()), measure)
    choices = {}
    for task in tasks:
        outcome = confirmed[task.workload]
        choices[task.workload] = {
            "layer": task.layer.name,
            **outcome,
            "trials": len(task.trials),
        }
        if outcome["decisions"]:
            LOG.info("%s: %s", task.layer.name, outcome)
    return choices


def _finalists(task: _Task, count: int) -> list[dict[str, int]]:
    """Return the fastest decisions of a layer, less those that are hardly faster than the default."""
    fastest = sorted(task.trials, key=lambda trial: trial.seconds)[:count]
    return [trial.decisions for trial in fastest if trial.seconds < WORTH * task.default.seconds]


def _useless(task: _Task, reason: str) -> StudyError:
    return StudyError(f"tuning {task.layer.name}: its default code cannot be measured: {reason}")


def _report(effort: _Effort, choices: Mapping[str, Any], saved: int) -> None:
    seconds = effort.seconds
    changed = sum(bool(choice["decisions"]) for choice in choices.values())
    LOG.info(
        "tuned %d of %d layers: %d candidates measured, %d of them failed, %d trials saved, in %.1f s: "
        "%.2f candidates per second; search %.1f s (%.0f %%), building %.1f s, measuring %.1f s, confirming %.1f s",
        changed,
        len(choices),
        effort.measured,
        effort.failed,
        saved,
        seconds["all"],
        effort.measured / seconds["all"],
        seconds["search"],
        100 * seconds["search"] / seconds["all"],
        seconds["building"],
        seconds["measuring"],
        seconds["confirming"],
    )


def _curve(tasks: Sequence[_Task], order: Sequence[_Task]) -> list[dict[str, Any]]:
    """Return the trials, with the keys CURVE, in order: all defaults, then layer by layer.

    `network_ms` is the latency of all layers together.
    """
    steps = [(task, task.default) for task in tasks]
    steps += [(task, trial) for task in order for trial in task.trials if trial != task.default]
    best: dict[str, float] = {}
    rows = []
    for number, (task, trial) in enumerate(steps, 1):
        latency = float("nan") if trial.failed else 1e3 * trial.seconds
        best[task.workload] = float(np.nanmin([latency, best.get(task.workload, np.inf)]))
        whole = (
            sum(each.calls * best[each.workload] for each in tasks)
            if len(best) == len(tasks)
            else float("nan")
        )
        row = [number, task.layer.name, latency, best[task.workload], whole]
        rows.append(dict(zip(CURVE, row, strict=True)))
    return rows
