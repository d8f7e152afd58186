"""Trace each row of the study back to the jobs that made it."""

from job import job
from dlas.analysis import trace
from dlas.files import read_json, write_json

with job(snakemake):
    found = trace.trace_rows(
        [read_json(file) for file in snakemake.input.provenance],
        snakemake.params.settings["configurations"],
        made=list(zip(snakemake.input.summaries, snakemake.input.records, strict=True)),
        measured=list(
            zip(
                snakemake.input.checks,
                snakemake.input.timings,
                snakemake.input.platforms,
                strict=True,
            )
        ),
    )
    write_json(snakemake.output.traced, found)
