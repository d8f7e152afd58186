"""MetaSchedule's records of one workload in one folder, which survive a killed job."""

import json
import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import tvm
from tvm.s_tir.schedule import Trace
from tvm.target import Target

from dlas.compiler.tuning.metaschedule import meta_schedule as ms
from dlas.errors import StudyError
from dlas.files import atomic_write

# Seconds that MetaSchedule records for code that does not run or is wrong.
FAILED = 1e10

LOG = logging.getLogger("dlas")


class Measured:
    """A trial: samples of the seconds of a run, which are FAILED if the code is of no use."""

    samples: tuple[float, ...]

    @property
    def seconds(self) -> float:
        """Lower quartile of the samples.

        Disturbances only make a sample slower, and can affect most of them.
        """
        return float(np.quantile(self.samples, 0.25))

    @property
    def failed(self) -> bool:
        """Whether the code could not be built or run, or was wrong."""
        return max(self.samples) >= FAILED


Trial = TypeVar("Trial", bound=Measured)


class Database(ABC, Generic[Trial]):
    """The trials of one module on one target, in the order in which they were measured.

    Parameters
    ----------
    folder : Path
        Folder of MetaSchedule's files: one line for each trial, appended at once.
    module : IRModule
        The unscheduled module.
    target : Target
        Its target.

    Raises
    ------
    StudyError
        If the folder cannot be read or written.
    """

    def __init__(self, folder: Path, module: tvm.IRModule, target: Target) -> None:
        self.folder, self.module, self.target = folder, module, target
        self._workload_file = folder / "workload.json"
        self._file = folder / "records.jsonl"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._write_workload()
            self.trials = self._repaired()
            self.database = ms.database.JSONDatabase(str(self._workload_file), str(self._file))
            self.workload = self.database.commit_workload(module)
        except (OSError, ValueError) as error:
            raise StudyError(f"cannot keep tuning records in {folder}: {error}") from error

    @abstractmethod
    def trial(self, trace: list[Any], samples: tuple[float, ...]) -> Trial | None:
        """Return the trial of a trace as MetaSchedule writes it, None for one of another space."""

    def append(self, trace: Trace, samples: Sequence[float]) -> Trial:
        """Append a trial and return it.

        Parameters
        ----------
        trace : Trace
            Trace of the candidate's schedule.
        samples : sequence of float
            Seconds of a run, or `FAILED`.

        Returns
        -------
        Measured
            The trial as it was read back.

        Raises
        ------
        StudyError
            If it could not be written completely. All other trials stay intact.
        """
        before = self._file.stat().st_size
        record = ms.database.TuningRecord(
            trace, self.workload, [float(each) for each in samples], self.target
        )
        self.database.commit_tuning_record(record)
        with open(self._file, "rb") as file:
            file.seek(before)
            trial = self._parsed(file.read())
        if trial is None:
            os.truncate(self._file, before)
            raise StudyError(f"cannot write a tuning record to {self._file}: disk full?")
        self.trials.append(trial)
        return trial

    def _write_workload(self) -> None:
        """Write the module of the records, unless it is already there."""
        file = self._workload_file
        if file.exists() and _ends_in_newline(file):
            return
        file.unlink(missing_ok=True)
        ms.database.JSONDatabase(str(file), os.devnull).commit_workload(self.module)
        if not _ends_in_newline(file):
            file.unlink()
            raise StudyError(f"cannot write a tuning record to {file}: disk full?")

    def _repaired(self) -> list[Trial]:
        """Read the trials, after dropping lines that a killed job left incomplete."""
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
        """Return the trial of a line as MetaSchedule writes it, None for a damaged one."""
        if not line.endswith(b"\n"):
            return None
        try:
            _, (trace, samples, *_) = json.loads(line)
            values = tuple(float(each) for each in samples)
            return self.trial(trace, values) if values else None
        except (ValueError, TypeError, LookupError):
            return None


def _ends_in_newline(file: Path) -> bool:
    with open(file, "rb") as content:
        if content.seek(0, os.SEEK_END) == 0:
            return False
        content.seek(-1, os.SEEK_END)
        return content.read() == b"\n"
