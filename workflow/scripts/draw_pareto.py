"""Draw which networks are best in accuracy, latency and size taken together."""

from job import job
from dlas.analysis import figures, pareto, table

with job(snakemake):
    figures.save(
        pareto.draw(table.read_table(snakemake.input.study)),
        [snakemake.output.pdf, snakemake.output.svg, snakemake.output.png],
    )
