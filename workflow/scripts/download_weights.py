"""Download torchvision's weights of one model."""

import sys

from job import job
from dlas import download
from dlas.models import weights

with job(snakemake):
    url, sha256 = weights.published(snakemake.params.settings["weights"])
    download.fetch(
        [url],
        snakemake.output.weights,
        sha256,
        snakemake.params.resume_from,
        progress=sys.stderr.isatty(),
    )
