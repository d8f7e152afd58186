"""Draw the latency of all networks."""

from job import job
from dlas.analysis import overview, panels, table
from dlas.analysis.style import Looks

with job(snakemake):
    study, peers = map(table.read_table, (snakemake.input.study, snakemake.input.peers))
    panels.save(
        overview.draw(study, peers, Looks(snakemake.params.settings["words"])),
        [snakemake.output.pdf, snakemake.output.svg, snakemake.output.png],
    )
