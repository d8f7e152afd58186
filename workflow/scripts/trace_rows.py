"""Tell of each row which jobs made it, and of each job what made it."""

from pathlib import Path

from job import job
from dlas.analysis import trace
from dlas.files import write_json

with job(snakemake):
    found = trace.provenance(
        trace.records(Path(snakemake.params.logs).glob("**/*.log")),
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
    write_json(snakemake.output.provenance, found)
