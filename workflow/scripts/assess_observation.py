"""Judge one observation by the study's tables."""

from job import job
from dlas.analysis import captions, observation, table
from dlas.files import write_text

with job(snakemake):
    tables = table.read_tables(**{name: snakemake.input[name] for name in observation.TABLES})
    module = observation.load(snakemake.params.settings["observation"])
    found = module.observe(tables)
    write_text(snakemake.output.caption, captions.caption(module, found))
    row = table.observation_row(snakemake.wildcards.number, module, found)
    table.write_table(snakemake.output.verdict, table.observations_table([row]))
