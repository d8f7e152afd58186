"""The layers of a network as tuning tasks, with their trials."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from dlas import primitives
from dlas.compiler.build import complete
from dlas.compiler.layer import Layer, workload_hash
from dlas.compiler.lowering import layers
from dlas.compiler.network import Network
from dlas.compiler.tuning.building import write_candidate
from dlas.compiler.tuning.records import Records, Trial
from dlas.compiler.tuning.settings import CURVE
from dlas.primitives.vector import processor

# Maximum time of a finalist relative to the default's. Slower candidates are not measured in the
# network.
FINALIST_RATIO = 0.98


@dataclass(frozen=True)
class Task:
    """One layer to tune.

    Attributes
    ----------
    layer : Layer
        The layer.
    calls : int
        How often the network calls it.
    workload : str
        Its `workload_hash`.
    budget : int
        Maximum number of trials.
    records : Records
        Its records.
    constant_bytes : int
        Size of its constants.
    """

    layer: Layer
    calls: int
    workload: str
    budget: int
    records: Records
    constant_bytes: int

    @property
    def name(self) -> str:
        """Name of the layer in messages."""
        return self.layer.name

    @property
    def default_code(self) -> dict[str, int]:
        """Decisions of the default code."""
        return self.layer.defaults

    def write(self, candidate: Mapping[str, int], folder: Path, linker: Sequence[str]) -> None:
        """Write the library of the layer's code with some decisions."""
        write_candidate(self.layer, candidate, self.records.target, folder, linker)

    @property
    def trials(self) -> list[Trial]:
        """Trials within the budget. Records may hold more from a job with a larger one."""
        return self.records.trials[: self.budget]

    @property
    def default(self) -> Trial:
        """Trial of the default code, which must be measured first."""
        trial = self.records.known(self.layer.defaults)
        assert trial is not None, "defaults are measured first"
        return trial

    def finalists(self, count: int) -> list[dict[str, int]]:
        """Return the decisions of up to `count` fastest trials, without barely faster ones.

        Finalists take less than `FINALIST_RATIO` of the default's time.
        """
        fastest = sorted(self.trials, key=lambda trial: trial.seconds)[:count]
        limit = FINALIST_RATIO * self.default.seconds
        return [trial.decisions for trial in fastest if trial.seconds < limit]


def find_tasks(
    network: Network,
    primitive: str,
    weight_format: str,
    target: dict[str, Any],
    records: Path,
) -> list[Task]:
    """Return the distinct layers of a network as tasks with a budget of one trial.

    Parameters
    ----------
    network : Network
        The network.
    primitive, weight_format : str
        Algorithm of its layers and format of their weights.
    target : dict
        The complete TVM target.
    records : Path
        Folder of records, with one folder for each workload.

    Returns
    -------
    list of Task
        The one trial of each is for its default code.
    """
    algorithm, stored = primitives.load(primitive), primitives.load_format(weight_format)
    compiled_for = complete(target)
    found = layers(network, algorithm, stored, processor(compiled_for, network.dtype))
    tasks = []
    for layer, calls in found:
        workload = workload_hash(layer, target)
        size = sum(constant.nbytes for constant in layer.kernel({}).constants)
        stored_records = Records(records / workload, layer, compiled_for)
        tasks.append(Task(layer, calls, workload, 1, stored_records, size))
    return tasks


def with_budgets(tasks: Sequence[Task], trials: Mapping[str, int]) -> list[Task]:
    """Divide the network's trials among tasks by the time of their default code.

    Each task gets at least one trial. The default code is measured once, so a resumed job divides
    trials as before.

    Parameters
    ----------
    tasks : sequence of Task
        Tasks whose default code is measured.
    trials : mapping of str to int
        Maximum number of trials for a "layer" and for the whole "network".

    Returns
    -------
    list of Task
        The tasks with their budgets.
    """
    seconds = np.array([task.calls * task.default.seconds for task in tasks])
    shares = (trials["network"] * seconds / seconds.sum()).astype(int)
    limits = [min(max(1, int(share)), trials["layer"]) for share in shares]
    return [
        replace(task, budget=sum(1 for _ in islice(task.layer.points(), limit)))
        for task, limit in zip(tasks, limits, strict=True)
    ]


def curve(tasks: Sequence[Task], order: Sequence[Task]) -> list[dict[str, Any]]:
    """Return the trials in order: all defaults, then layer by layer.

    Parameters
    ----------
    tasks : sequence of Task
        All tasks.
    order : sequence of Task
        The tasks in the order in which they were tuned.

    Returns
    -------
    list of dict
        Rows with the keys `CURVE`. `network_ms` is the latency of all layers together,
        `default_network_ms` that of their default code. A latency is None if the trial failed, or
        if the layer, or any layer of the network, has no measurement yet.
    """
    steps = [(task, task.default) for task in tasks]
    steps += [(task, trial) for task in order for trial in task.trials if trial != task.default]
    best: dict[str, float] = {}
    default = 1e3 * sum(task.calls * task.default.seconds for task in tasks)
    rows = []
    for number, (task, trial) in enumerate(steps, 1):
        latency = None if trial.failed else float(1e3 * trial.seconds)
        if latency is not None:
            best[task.workload] = min(latency, best.get(task.workload, latency))
        known = len(best) == len(tasks)
        whole = sum(each.calls * best[each.workload] for each in tasks) if known else None
        layer = [latency, best.get(task.workload), 1e3 * task.default.seconds]
        row = [number, task.layer.name, *layer, whole, default]
        rows.append(dict(zip(CURVE, row, strict=True)))
    return rows
