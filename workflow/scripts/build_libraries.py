"""Compile one network for one platform: a library for each primitive, weight format and tuning."""

from pathlib import Path

from fast_imports import tvm  # noqa: F401
from job import job
from dlas.compiler.libraries import build_libraries
from dlas.files import read_json, write_json

with job(snakemake):
    settings, files = snakemake.params.settings, snakemake.input
    tunings = {name: read_json(file) for name, file in settings["tunings"].items()}
    records = build_libraries(
        (files.network, files.parameters),
        settings["configurations"],
        read_json(files.target)["target"],
        tunings,
        Path(snakemake.output.libraries),
        # The folder has the compiler's code hash, so kernels of other code are never reused.
        Path(snakemake.params.kernels, snakemake.params.compiler),
        settings["linker"],
    )
    write_json(snakemake.output.builds, records)
