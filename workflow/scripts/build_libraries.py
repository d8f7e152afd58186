"""Compile one network for one platform: a library for each primitive, format of the weights and tuning."""

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
        # Kernels that other code compiled are no use.
        Path(snakemake.params.kernels, snakemake.params.compiler),
        settings["linker"],
    )
    write_json(snakemake.output.builds, records)
