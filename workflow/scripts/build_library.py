"""Compile one network with one primitive for one platform."""

from pathlib import Path

import bare_tvm  # noqa: F401
from job import job
from dlas.compiler.build import build_library
from dlas.compiler.network import load_network
from dlas.files import read_json, write_json
from dlas.hardware.platforms import Platform, target

with job(snakemake):
    chosen = snakemake.wildcards
    network = load_network(snakemake.input.network, snakemake.input.parameters)
    platform = Platform(chosen.platform, **snakemake.params.settings["platform"])
    choices = read_json(snakemake.input.choices) if snakemake.input.choices else None
    library = build_library(network, chosen.primitive, chosen.format, target(platform), choices)
    library.export(snakemake.output.library, platform.linker)
    size = Path(snakemake.output.library).stat().st_size
    write_json(snakemake.output.record, library.record() | {"library_bytes": size})
