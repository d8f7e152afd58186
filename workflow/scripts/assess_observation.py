"""Judge one observation by the study's tables, and draw it."""

from dlas.analysis import captions, figures, observation, table
from job import job

with job(snakemake):
    tables = observation.Tables(
        study=table.read_table(snakemake.input.study),
        noise_floor=table.read_table(snakemake.input.noise_floor),
        curves=table.read_table(snakemake.input.curves),
    )
    module = observation.load(snakemake.params.settings["observation"])
    found = module.observe(tables)
    figures.save(
        module.draw(tables, found),
        [snakemake.output.pdf, snakemake.output.svg, snakemake.output.png],
    )
    captions.write(snakemake.output.caption, captions.caption(module, found))
    row = table.observation_row(snakemake.wildcards.number, module, found)
    table.write_table(snakemake.output.verdict, table.observations_table([row]))
