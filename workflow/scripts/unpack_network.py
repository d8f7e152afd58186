"""Take a network from an archive instead of training and compressing it."""

from job import job
from dlas.compression import archive

with job(snakemake):
    archive.unpack(
        snakemake.input.archive,
        "{dataset}/{model}/{compression}".format_map(snakemake.wildcards),
        {name: snakemake.output[name] for name in archive.FILES},
    )
