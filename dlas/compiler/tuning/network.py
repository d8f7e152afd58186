"""Tune a whole network: its tasks one after the other, then their finalists in the network.

A layer's workload is its unscheduled default code, and a candidate is a set of decisions.
MetaSchedule (Shao et al., "Tensor Program Optimization with Probabilistic Programs", NeurIPS 2022)
proposes candidates and keeps the records; building, measuring and choosing are done here.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from dlas.compiler.build import build_library
from dlas.compiler.device import DeviceOpener
from dlas.compiler.network import Network
from dlas.compiler.tuning.confirmation import InNetwork, confirm
from dlas.compiler.tuning.measurement import CandidateError, Measurer
from dlas.compiler.tuning.settings import Outcome, Settings, require_cores
from dlas.compiler.tuning.tasks import Task, curve, find_tasks, with_budgets
from dlas.compiler.tuning.tuner import Tuner
from dlas.compiler.tuning.workbench import Workbench
from dlas.files import code_folder

LOG = logging.getLogger("dlas")


def tune_network(
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
    """Tune every layer of a network under a primitive and a weight format.

    Parameters
    ----------
    network : Network
        The network.
    primitive, weight_format : str
        Algorithm of its layers and format of their weights.
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
        Folder of a `KernelCache`, for the libraries in which finalists are measured.

    Returns
    -------
    Outcome
        The choices and all trials.

    Raises
    ------
    StudyError
        For a target without its cores, and records that cannot be written.
    RowError
        For default code or candidates that cannot be measured at all, and a device that is lost.
    """
    require_cores(target)
    start = time.perf_counter()
    tasks = find_tasks(network, primitive, weight_format, target, records)
    kept = {task.workload: len(task.records.trials) for task in tasks}
    measurer = Measurer(opener, **settings.measurement)  # type: ignore[arg-type]
    with (
        code_folder() as folder,
        tqdm(total=len(tasks), desc="tuning", unit="trial", disable=None) as progress,
    ):
        workbench = Workbench(tasks, measurer, folder, settings.measurement["timeout_s"])
        tuner = Tuner(tasks, settings, workbench, progress)
        try:
            tuner.measure_defaults()
            tuner.tasks = tasks = with_budgets(tasks, settings.trials)
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
                partial(build_library, network, primitive, weight_format, target, kernels=kernels),
                network.input_shape,
                [task.layer.label for task in tasks],
                measurer,
                settings.confirmation["repeats"],
                folder,
            )
            with workbench.effort.spent("confirming"):
                choices = _choices(tasks, settings.confirmation["finalists"], measure)
        finally:
            measurer.close()
    LOG.info(
        "tuned %d of %d layers: %s",
        sum(bool(choice["decisions"]) for choice in choices.values()),
        len(choices),
        workbench.effort.summary(saved, time.perf_counter() - start),
    )
    return Outcome(choices, curve(tasks, order))


def _choices(tasks: Sequence[Task], count: int, in_network: InNetwork) -> dict[str, Any]:
    """Return the choice of each layer by workload, among its `count` fastest candidates."""

    def measure(ways: Sequence[Mapping[str, Mapping[str, int]]]) -> np.ndarray:
        return in_network(
            [
                {task.workload: {"decisions": way.get(task.workload, {})} for task in tasks}
                for way in ways
            ]
        )

    finalists = {task.workload: task.finalists(count) for task in tasks}
    try:
        confirmed = confirm(finalists, measure)
    except CandidateError as error:
        LOG.warning("all layers stay as by default: %s", error)
        confirmed = confirm(dict.fromkeys(finalists, ()), measure)
    choices = {}
    for task in tasks:
        outcome = confirmed[task.workload]
        best = min(task.trials, key=lambda trial: trial.seconds)
        choices[task.workload] = {
            "layer": task.layer.name,
            "label": task.layer.label,
            "calls": task.calls,
            "trials": len(task.trials),
            "default_ms": 1e3 * task.default.seconds,
            "latency_ms": 1e3 * best.seconds,
            "ratio": outcome.ratio,
            "decisions": outcome.chosen or {},
        }
        if outcome.chosen:
            LOG.info("%s: %s, ratio %s", task.layer.name, outcome.chosen, outcome.ratio)
    return choices
