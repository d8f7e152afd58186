"""Tuning records of a layer: the decisions of its code and their samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tvm
from tvm.s_tir import Schedule
from tvm.s_tir.schedule import Trace
from tvm.target import Target

from dlas.compiler.layer import Layer
from dlas.compiler.tuning.database import Database, Measured
from dlas.primitives import tiling

# Prefix of the annotations of a trace.
DECISION = "decision."


@dataclass(frozen=True)
class Trial(Measured):
    """Decisions and their samples."""

    decisions: dict[str, int]
    samples: tuple[float, ...]


class Records(Database[Trial]):
    """The records of one layer on one target.

    A layer's trace holds only its decisions, so it replays at once and can be changed freely.

    Parameters
    ----------
    folder : Path
        Folder of MetaSchedule's files.
    layer : Layer
        The layer.
    target : Target
        The target.
    """

    def __init__(self, folder: Path, layer: Layer, target: Target) -> None:
        self.layer, self.space = layer, layer.space
        function = layer.kernel({}).function.with_attr("global_symbol", "main")
        super().__init__(folder, tvm.IRModule({"main": function}), target)

    def sample(self, schedule: Schedule, decisions: Mapping[str, int] | None = None) -> None:
        """Add decisions, by default random ones, to the trace of a schedule of `module`."""
        block = schedule.get_sblock(tiling.CONVOLUTION)
        for name, values in self.space.items():
            index = values.index(decisions[name]) if decisions else None
            alike = [1 / len(values)] * len(values)
            chosen = schedule.sample_categorical(list(values), alike, decision=index)
            schedule.annotate(block, DECISION + name, chosen)

    def add(self, decisions: Mapping[str, int], samples: Sequence[float]) -> None:
        """Append a trial.

        Parameters
        ----------
        decisions : mapping of str to int
            The point of the search space.
        samples : sequence of float
            Seconds of a run, or `FAILED`.

        Raises
        ------
        StudyError
            If it could not be written completely. All other trials stay intact.
        """
        schedule = Schedule(self.module)
        self.sample(schedule, decisions)
        self.append(schedule.trace, samples)

    def known(self, decisions: Mapping[str, int]) -> Trial | None:
        """Return the trial of these decisions, None if there is none."""
        return next((trial for trial in self.trials if trial.decisions == decisions), None)

    def trial(self, trace: list[Any], samples: tuple[float, ...]) -> Trial | None:
        """Return the trial of a trace as MetaSchedule writes it, None if the space has changed."""
        instructions, chosen = trace
        indices = dict(chosen)
        decisions, value = {}, 0
        for number, (kind, _, attributes, _) in enumerate(instructions):
            if kind == "SampleCategorical":
                value = attributes[0][indices[number]]
            elif kind == "Annotate":
                decisions[attributes[0].removeprefix(DECISION)] = value
        return Trial(decisions, samples) if decisions.keys() == self.space.keys() else None


def decisions_of(trace: Trace) -> dict[str, int]:
    """Return the decisions in a trace."""
    decisions, value = {}, 0
    for instruction in trace.insts:
        if instruction.kind.name == "SampleCategorical":
            value = int(instruction.attrs[0][int(trace.decisions[instruction])])
        elif instruction.kind.name == "Annotate":
            decisions[str(instruction.attrs[0]).removeprefix(DECISION)] = value
    return decisions
