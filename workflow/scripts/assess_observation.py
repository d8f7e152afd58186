"""Judge one observation by the study's tables, and store the result."""

from job import job
from dlas.analysis import observation, table
from dlas.files import write_json

with job(snakemake):
    settings = snakemake.params.settings
    module = observation.load(settings["observation"])
    tables = table.read_tables(
        snakemake.input, settings["groups"], settings["steps"], settings["bundles"]
    )
    found = observation.assess(module, tables)
    record = table.observation_record(snakemake.wildcards.number, module, found)
    write_json(snakemake.output.assessment, record)
