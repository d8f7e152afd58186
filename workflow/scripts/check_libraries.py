"""Check the libraries of one network on one platform against its training framework."""

from pathlib import Path

from fast_imports import tvm  # noqa: F401
from job import job
from dlas import status
from dlas.files import read_json, write_json
from dlas.hardware.checking import Expectation, check_libraries
from dlas.hardware.platforms import Platform, resolved

with job(snakemake):
    settings, files = snakemake.params.settings, snakemake.input
    builds, summary, probe = map(read_json, (files.builds, files.summary, files.platform))
    platform = Platform(snakemake.wildcards.platform, **settings["platform"])
    if status.ran(probe["status"]):
        checks = check_libraries(
            builds,
            Path(files.libraries),
            resolved(platform, read_json(files.target)),
            Expectation(
                files.dataset,
                files.reference,
                summary["dtype"],
                summary["top1"],
                **settings["check"],
            ),
            snakemake.threads,
            settings["slow"],
        )
    else:
        checks = {name: {"status": probe["status"]} for name in builds}
    write_json(snakemake.output.check, checks)
