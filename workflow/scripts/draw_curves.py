"""Draw the accuracy that each network keeps while it is compressed."""

from job import job
from dlas.analysis import curves, figures, table

with job(snakemake):
    figures.save(
        curves.draw(
            table.read_table(snakemake.input.curves), snakemake.params.settings["tolerance"]
        ),
        [snakemake.output.pdf, snakemake.output.svg, snakemake.output.png],
    )
