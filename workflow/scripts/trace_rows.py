"""Trace each row of the study back to the jobs that made it."""

from job import job
from dlas.analysis.trace import trace_rows
from dlas.files import read_json, write_json

with job(snakemake):
    records = [read_json(file) for file in snakemake.input.provenance]
    write_json(snakemake.output.traced, trace_rows(records, snakemake.params.settings["rows"]))
