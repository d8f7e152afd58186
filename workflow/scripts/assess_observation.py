"""Judge one observation by the study's tables, and store what was found."""

from job import job
from dlas.analysis import observation, table
from dlas.files import write_json

with job(snakemake):
    settings = snakemake.params.settings
    module = observation.load(settings["observation"])
    names = ("study", "noise_floor", "curves")
    tables = {name: table.read_table(snakemake.input[name]) for name in names}
    found = module.observe(observation.Tables(**tables, groups=settings["groups"]))
    record = table.observation_record(snakemake.wildcards.number, module, found)
    write_json(snakemake.output.assessment, record)
