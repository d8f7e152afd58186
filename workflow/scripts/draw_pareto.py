"""Draw the Pareto-optimal networks in accuracy, latency and size."""

from job import job
from dlas.analysis import panels, pareto, table
from dlas.analysis.style import Looks

with job(snakemake):
    looks = Looks(snakemake.params.settings["words"])
    panels.save(
        pareto.draw(table.read_table(snakemake.input.study), looks),
        [snakemake.output.pdf, snakemake.output.svg, snakemake.output.png],
    )
