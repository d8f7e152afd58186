"""Draw the results of the searches for schedules over their trials."""

from job import job
from dlas.analysis import panels, table, tuning_curves
from dlas.analysis.style import Looks

with job(snakemake):
    looks = Looks(snakemake.params.settings["words"])
    panels.save(
        tuning_curves.draw(table.read_table(snakemake.input.curves), looks),
        [snakemake.output.pdf, snakemake.output.svg, snakemake.output.png],
    )
