"""Draw one observation by the study's tables, with its verdict."""

from job import job
from dlas.analysis import figures, observation, table

with job(snakemake):
    tables = table.read_tables(**{name: snakemake.input[name] for name in observation.TABLES})
    module = observation.load(snakemake.params.settings["observation"])
    figures.save(
        module.draw(tables, module.observe(tables)),
        [snakemake.output.pdf, snakemake.output.svg, snakemake.output.png],
    )
