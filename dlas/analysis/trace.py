"""From each row of the study back to the jobs that made it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dlas.provenance import MARK


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
    records: Sequence[Mapping[str, Any]],
    configurations: Sequence[Mapping[str, str]],
    made: Sequence[Sequence[str]],
    measured: Sequence[Sequence[str]],
) -> dict[str, Any]:
    """Return {"jobs": ..., "rows": ...}: what is known of each job, by its first output, and which jobs made each row.

    For each configuration `made` has files that are its own, whose jobs are traced to their beginnings, and `measured`
    those of jobs which take all libraries of a network or a model together: what else these take is of other rows. A
    row has its configuration's layers and `made_by`, a sorted list of jobs. A job whose log is gone is None.
    """
    jobs = {job["outputs"][0]: job for job in records}
    maker = {file: name for name, job in jobs.items() for file in job["outputs"]}
    rows = []
    for configuration, own, shared in zip(configurations, made, measured, strict=True):
        found: set[str] = set()
        ahead = list(own)
        while ahead:
            file = ahead.pop()
            job = maker.get(file, file)
            if job not in found:
                found.add(job)
                ahead += jobs[job]["inputs"] if job in jobs else []
        found |= {maker.get(file, file) for file in shared}
        rows.append({**configuration, "made_by": sorted(found)})
    named = sorted({job for row in rows for job in row["made_by"]})
    return {"jobs": {job: jobs.get(job) for job in named}, "rows": rows}
