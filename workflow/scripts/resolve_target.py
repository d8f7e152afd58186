"""Resolve the target and the threads of one platform for all jobs."""

from fast_imports import tvm  # noqa: F401
from job import job
from dlas.files import write_json
from dlas.hardware.platforms import Platform, resolve

with job(snakemake):
    platform = Platform(snakemake.wildcards.platform, **snakemake.params.settings["platform"])
    write_json(snakemake.output.target, resolve(platform))
