"""Draw one observation with its verdict, and write the figure's caption."""

from job import job
from dlas.analysis import captions, observation, panels
from dlas.analysis.style import Looks
from dlas.files import read_json, write_text

with job(snakemake):
    settings = snakemake.params.settings
    looks, claim = Looks(settings["words"]), settings["claim"]
    module = observation.load(settings["observation"])
    found = observation.restored(read_json(snakemake.input.assessment))
    write_text(snakemake.output.caption, captions.caption(module, found, claim, looks))
    panels.save(
        panels.draw(module, found, claim["claim"], looks),
        [snakemake.output.pdf, snakemake.output.svg, snakemake.output.png],
    )
