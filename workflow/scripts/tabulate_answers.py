"""Put the predictions of all networks for the test images in one file."""

from job import job
from dlas.analysis import answers

with job(snakemake):
    settings = snakemake.params.settings
    answers.write(
        snakemake.output.answers, answers.collect(settings["datasets"], settings["networks"])
    )
