"""Put the predictions of all networks for the test images in one file."""

from io import BytesIO

from job import job
from dlas.analysis import answers
from dlas.compression import archive

with job(snakemake):
    settings, packed = snakemake.params.settings, snakemake.input.archive
    if packed:
        every = answers.read(BytesIO(archive.read(packed, archive.ANSWERS)))
        found = answers.select(every, settings["datasets"], settings["networks"])
    else:
        found = answers.collect(settings["datasets"], settings["networks"])
    answers.write(snakemake.output.answers, found)
