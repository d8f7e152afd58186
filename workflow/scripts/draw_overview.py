"""Draw the latency of all uncompressed networks at a glance."""

from dlas.analysis import figures, table
from job import job

with job(snakemake):
    figures.save(
        figures.overview(table.read_table(snakemake.input.study)),
        [snakemake.output.pdf, snakemake.output.svg, snakemake.output.png],
    )
