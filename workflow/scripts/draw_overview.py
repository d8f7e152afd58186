"""Draw the latency of all networks at a glance."""

from dlas.analysis import figures, overview, table
from job import job

with job(snakemake):
    figures.save(
        overview.draw(table.read_table(snakemake.input.study)),
        [snakemake.output.pdf, snakemake.output.svg, snakemake.output.png],
    )
