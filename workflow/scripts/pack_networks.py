"""Pack the networks of the study for other machines."""

from job import job
from dlas.compression import archive

with job(snakemake):
    settings = snakemake.params.settings
    archive.pack(
        snakemake.output.archive, settings["terms"], settings["networks"], snakemake.input.answers
    )
