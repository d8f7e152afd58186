"""Tell of each row which jobs made it, and of each job what made it."""

from pathlib import Path

from job import job
from dlas.analysis import trace
from dlas.files import write_json

with job(snakemake):
    settings = snakemake.params.settings
    records = trace.records(Path(snakemake.params.logs).glob("**/*.log"))
    found = trace.provenance(records, settings["configurations"])
    write_json(snakemake.output.provenance, found)
