"""Measure the limits of one platform, and record whether it can be measured."""

from fast_imports import tvm  # noqa: F401
from job import job
from dlas.files import read_json, write_json
from dlas.hardware.peak import measure_platform
from dlas.hardware.platforms import Platform, resolved

with job(snakemake):
    platform = Platform(snakemake.wildcards.platform, **snakemake.params.settings["platform"])
    facts = read_json(snakemake.input.target)
    write_json(snakemake.output.platform, measure_platform(resolved(platform, facts, facts)))
