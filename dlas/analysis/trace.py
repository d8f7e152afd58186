"""From each row of the study back to the jobs that made it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dlas import study
from dlas.provenance import MARK

# What a row is made of. The jobs behind the first are traced to their beginnings. Those behind the others take what all
# libraries of a network, or of a model, have in common with this one's, whose own way is that of the first.
_MADE = ("record", "summary")
_MEASURED = ("check", "platform", "timing")


def records(logs: Iterable[Path]) -> list[dict[str, Any]]:
    """Return what finished jobs said of themselves in their logs, by the paths of these."""
    found = []
    for log in sorted(logs):
        for line in log.read_text(errors="replace").splitlines():
            _, mark, content = line.partition(f" {MARK}")
            if mark:
                found.append(json.loads(content))
    return found


def provenance(
    records: Sequence[Mapping[str, Any]], configurations: Sequence[Mapping[str, str]]
) -> dict[str, Any]:
    """Return {"jobs": ..., "rows": ...}: what is known of each job, by its first output, and which jobs made each row.

    A row has its configuration's layers and `made_by`, a sorted list of jobs. A job whose log is gone is null.
    """
    maker = {file: job["outputs"][0] for job in records for file in job["outputs"]}
    inputs = {job["outputs"][0]: job["inputs"] for job in records}
    rows = []
    for configuration in configurations:
        found: set[str] = set()
        ahead = [study.path(name, **configuration) for name in _MADE]
        while ahead:
            file = ahead.pop()
            job = maker.get(file, file)
            if job not in found:
                found.add(job)
                ahead += inputs.get(job, [])
        measured = (study.path(name, **configuration) for name in _MEASURED)
        found |= {maker.get(file, file) for file in measured}
        rows.append({**configuration, "made_by": sorted(found)})
    jobs = {job["outputs"][0]: dict(job) for job in records}
    named = sorted({job for row in rows for job in row["made_by"]})
    return {"jobs": {job: jobs.get(job) for job in named}, "rows": rows}
