"""Trace of the rows of the study back to the jobs that made them."""

from collections.abc import Mapping, Sequence
from typing import Any


def trace_rows(
    records: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Find the jobs that made each row.

    Parameters
    ----------
    records : sequence of mapping
        The provenance records of the jobs, see `dlas.provenance.record`.
    rows : sequence of mapping
        The layers of each row, with two lists of files. "made" has the artifacts of this row alone,
        traced through all their inputs. "shared" has the artifacts of jobs that take many rows at
        once, whose inputs belong to other rows too and are not traced.

    Returns
    -------
    dict
        "jobs" maps the first output of a job to its record, or a file that no job made to None.
        "rows" has the layers of each row and "made_by", the sorted names of its jobs.
    """
    jobs = {record["outputs"][0]: record for record in records}
    maker = {file: name for name, job in jobs.items() for file in job["outputs"]}
    traced = []
    for row in rows:
        found: set[str] = set()
        ahead = list(row["made"])
        while ahead:
            file = ahead.pop()
            job = maker.get(file, file)
            if job not in found:
                found.add(job)
                ahead += jobs[job]["inputs"] if job in jobs else []
        found |= {maker.get(file, file) for file in row["shared"]}
        layers = {name: value for name, value in row.items() if name not in ("made", "shared")}
        traced.append({**layers, "made_by": sorted(found)})
    named = sorted({job for row in traced for job in row["made_by"]})
    return {"jobs": {job: jobs.get(job) for job in named}, "rows": traced}
