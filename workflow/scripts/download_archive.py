"""Download the archive of one data set."""

import sys

from job import job
from dlas import download

with job(snakemake):
    download.fetch(
        snakemake.params.mirrors,
        snakemake.output.archive,
        snakemake.params.settings["sha256"],
        snakemake.params.resume_from,
        progress=sys.stderr.isatty(),
    )
