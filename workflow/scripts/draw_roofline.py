"""Draw how close each network comes to what its platform allows."""

from job import job
from dlas.analysis import figures, roofline, table
from dlas.files import read_json

with job(snakemake):
    names, records = snakemake.params.settings["platforms"], snakemake.input.platforms
    platforms = {name: read_json(path) for name, path in zip(names, records, strict=True)}
    figures.save(
        roofline.draw(table.read_table(snakemake.input.study), platforms),
        [snakemake.output.pdf, snakemake.output.svg, snakemake.output.png],
    )
