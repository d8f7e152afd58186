"""Draw the accuracy of each network over the levels of its compression."""

from job import job
from dlas.analysis import curves, panels, table
from dlas.analysis.style import Looks

with job(snakemake):
    settings = snakemake.params.settings
    study = table.read_table(snakemake.input.curves)
    panels.save(
        curves.draw(study, settings["tolerance"], Looks(settings["words"])),
        [snakemake.output.pdf, snakemake.output.svg, snakemake.output.png],
    )
