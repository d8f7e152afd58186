"""Draw the performance of each network against the limits of its platform."""

from job import job
from dlas.analysis import panels, roofline, table
from dlas.analysis.style import Looks
from dlas.files import read_json

with job(snakemake):
    settings = snakemake.params.settings
    names, records = settings["platforms"], snakemake.input.platforms
    platforms = {name: read_json(path) for name, path in zip(names, records, strict=True)}
    study = table.read_table(snakemake.input.study)
    panels.save(
        roofline.draw(study, platforms, Looks(settings["words"])),
        [snakemake.output.pdf, snakemake.output.svg, snakemake.output.png],
    )
