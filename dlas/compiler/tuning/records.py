"""What was measured of a layer: MetaSchedule's records in a folder of its own, which survive a killed job."""

import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tvm
from tvm.s_tir import Schedule
from tvm.s_tir.schedule import Trace
from tvm.target import Target

from dlas.compiler.layer import Layer
from dlas.compiler.tuning.metaschedule import meta_schedule as ms
from dlas.errors import StudyError
from dlas.files import atomic_write
from dlas.primitives import tiling

FAILED = 1e10  # MetaSchedule's seconds of what does not run or is wrong
DECISION = "decision."  # what the annotations of a trace begin with

LOG = logging.getLogger("dlas")


@dataclass(frozen=True)
class Trial:
    """Decisions and the samples of their seconds a run, which are FAILED where there is no use for them."""

    decisions: dict[str, int]
    samples: tuple[float, ...]

    @property
    def seconds(self) -> float:
        """The lower quartile: what disturbs a sample makes it slower, and can disturb most of them."""
        return float(np.quantile(self.samples, 0.25))

    @property
    def failed(self) -> bool:
        """Whether the code could not be made or run, or was wrong."""
        return max(self.samples) >= FAILED


class Records:
    """The records of one layer on one target, in the order in which they were measured.

    A layer's trace holds its decisions and nothing else, so that it replays at once and can be changed freely.
    """

    def __init__(self, folder: Path, layer: Layer, target: Target) -> None:
        self.layer, self.target, self.folder = layer, target, folder
        self.space = layer.space
        function = layer.kernel({}).function.with_attr("global_symbol", "main")
        self.module = tvm.IRModule({"main": function})
        self._workload_file = folder / "workload.json"
        self._file = folder / "records.jsonl"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._write_workload()
            self.trials = self._repaired()
            self.database = ms.database.JSONDatabase(str(self._workload_file), str(self._file))
            self.workload = self.database.commit_workload(self.module)
        except (OSError, ValueError) as error:
            raise StudyError(f"cannot keep tuning records in {folder}: {error}") from error

    def sample(self, schedule: Schedule, decisions: Mapping[str, int] | None = None) -> None:
        """Add all decisions to the trace of a schedule of `module`: those given, or random ones."""
        block = schedule.get_sblock(tiling.CONVOLUTION)
        for name, values in self.space.items():
            index = values.index(decisions[name]) if decisions else None
            alike = [1 / len(values)] * len(values)
            chosen = schedule.sample_categorical(list(values), alike, decision=index)
            schedule.annotate(block, DECISION + name, chosen)

    def add(self, decisions: Mapping[str, int], samples: Sequence[float]) -> None:
        """Append a trial; raises StudyError where it could not be written whole, with all others intact."""
        schedule = Schedule(self.module)
        self.sample(schedule, decisions)
        before = self._file.stat().st_size
        record = ms.database.TuningRecord(
            schedule.trace, self.workload, [float(each) for each in samples], self.target
        )
        self.database.commit_tuning_record(record)
        if self._file.stat().st_size == before or not _ends_in_newline(self._file):
            os.truncate(self._file, before)
            raise StudyError(f"cannot write a tuning record to {self._file}: disk full?")
        self.trials.append(Trial(dict(decisions), tuple(samples)))

    def known(self, decisions: Mapping[str, int]) -> Trial | None:
        """Return the trial of these decisions, if there is one."""
        return next((trial for trial in self.trials if trial.decisions == decisions), None)

    def _write_workload(self) -> None:
        """Write down what the records are of, unless that has been done."""
        file = self._workload_file
        if file.exists() and _ends_in_newline(file):
            return
        file.unlink(missing_ok=True)
        ms.database.JSONDatabase(str(file), os.devnull).commit_workload(self.module)
        if not _ends_in_newline(file):
            file.unlink()
            raise StudyError(f"cannot write a tuning record to {file}: disk full?")

    def _repaired(self) -> list[Trial]:
        """Read the trials; what a killed job left half written is cut off first."""
        if not self._file.exists():
            return []
        lines = self._file.read_bytes().splitlines(keepends=True)
        trials = [self._parsed(line) for line in lines]
        kept = [line for line, trial in zip(lines, trials, strict=True) if trial is not None]
        if len(kept) < len(lines):
            LOG.warning(
                "%s: %d damaged records dropped, %d kept",
                self._file,
                len(lines) - len(kept),
                len(kept),
            )
            with atomic_write(self._file) as temporary:
                temporary.write_bytes(b"".join(kept))
        return [trial for trial in trials if trial is not None]

    def _parsed(self, line: bytes) -> Trial | None:
        """Return the trial of a line as MetaSchedule writes it, None for one that is damaged."""
        if not line.endswith(b"\n"):
            return None
        try:
            _, ((instructions, chosen), samples, *_) = json.loads(line)
            indices = dict(chosen)
            decisions, value = {}, 0
            for number, (kind, _, attributes, _) in enumerate(instructions):
                if kind == "SampleCategorical":
                    value = attributes[0][indices[number]]
                elif kind == "Annotate":
                    decisions[attributes[0].removeprefix(DECISION)] = value
            if decisions.keys() != self.space.keys() or not samples:
                return None
            return Trial(decisions, tuple(float(each) for each in samples))
        except (ValueError, TypeError, LookupError):
            return None


def decisions_of(trace: Trace) -> dict[str, int]:
    """Return the decisions that a trace holds."""
    decisions, value = {}, 0
    for instruction in trace.insts:
        if instruction.kind.name == "SampleCategorical":
            value = int(instruction.attrs[0][int(trace.decisions[instruction])])
        elif instruction.kind.name == "Annotate":
            decisions[str(instruction.attrs[0]).removeprefix(DECISION)] = value
    return decisions


def _ends_in_newline(file: Path) -> bool:
    with open(file, "rb") as content:
        if content.seek(0, os.SEEK_END) == 0:
            return False
        content.seek(-1, os.SEEK_END)
        return content.read() == b"\n"
