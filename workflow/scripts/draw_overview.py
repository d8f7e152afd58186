"""Draw the latency of all networks at a glance."""

from job import job
from dlas.analysis import figures, overview, table

with job(snakemake):
    study, peers = map(table.read_table, (snakemake.input.study, snakemake.input.peers))
    figures.save(
        overview.draw(study, peers),
        [snakemake.output.pdf, snakemake.output.svg, snakemake.output.png],
    )
