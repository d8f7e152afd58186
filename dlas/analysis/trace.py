"""Trace the rows of the study back to the jobs that made them."""

from collections.abc import Mapping, Sequence
from typing import Any


def trace_rows(
    records: Sequence[Mapping[str, Any]],
    configurations: Sequence[Mapping[str, str]],
    made: Sequence[Sequence[str]],
    measured: Sequence[Sequence[str]],
) -> dict[str, Any]:
    """Find the jobs that made each row.

    Parameters
    ----------
    records : sequence of dict
        The provenance records of the jobs (`dlas.provenance.record`).
    configurations : sequence of dict
        The layers of each row.
    made : sequence of sequence of str
        For each row the artifacts that are its own. They are traced through all inputs.
    measured : sequence of sequence of str
        For each row the artifacts of jobs that take many rows at once. Their inputs are not
        traced, because these belong to other rows too.

    Returns
    -------
    dict
        `jobs` maps the first output of a job to its record, or a file that no job made to None.
        `rows` has the layers of each row and `made_by`, the sorted names of its jobs.
    """
    jobs = {record["outputs"][0]: record for record in records}
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
