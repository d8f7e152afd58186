"""Draw what auto-scheduling finds over its trials."""

from job import job
from dlas.analysis import figures, table, tuning_curves

with job(snakemake):
    figures.save(
        tuning_curves.draw(table.read_table(snakemake.input.curves)),
        [snakemake.output.pdf, snakemake.output.svg, snakemake.output.png],
    )
