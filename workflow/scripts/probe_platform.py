"""Measure what one platform can reach at best."""

import bare_tvm  # noqa: F401
from job import job
from dlas.files import write_json
from dlas.hardware.peak import measure_platform
from dlas.hardware.platforms import Platform

with job(snakemake):
    platform = Platform(snakemake.wildcards.platform, **snakemake.params.settings["platform"])
    write_json(snakemake.output.platform, measure_platform(platform))
