"""Find the schedules of one network's layers by measuring candidates on the platform."""

from functools import partial
from pathlib import Path

from fast_imports import tvm  # noqa: F401
from job import job
from dlas import status
from dlas.compiler.network import load_network
from dlas.compiler.schedulers.plugin import load_combining, load_searching
from dlas.compiler.tuning.settings import CURVE, Settings
from dlas.errors import RowError
from dlas.files import read_json, write_json, write_rows
from dlas.hardware.devices import device_opener
from dlas.hardware.platforms import Platform, require_host, resolved

with job(snakemake):
    settings, chosen, files = snakemake.params.settings, snakemake.wildcards, snakemake.input
    facts, probe = read_json(files.target), read_json(files.platform)
    platform = resolved(Platform(chosen.platform, **settings["platform"]), facts, probe)
    found, curve = {"status": probe["status"], "layers": {}}, []
    if status.ran(probe["status"]):
        if platform.connection is None:
            require_host("a candidate", facts["target"])
        tune = load_searching(chosen.tuning).tune
        if settings["combined"]:
            others = {way: read_json(file)["layers"] for way, file in settings["combined"].items()}
            tune = partial(load_combining(chosen.tuning).tune, others=others)
        try:
            outcome = tune(
                load_network(files.network, files.parameters),
                chosen.primitive,
                chosen.format,
                facts["target"],
                Settings(**settings["tuning"]),
                # The folder has the kernels' code hash, so records of other code are never reused.
                records=Path(snakemake.params.records, snakemake.params.kernels),
                seed=settings["seed"],
                opener=device_opener(platform),
                kernels=Path(snakemake.params.cache, snakemake.params.compiler),
            )
            found["layers"], curve = outcome.choices, outcome.curve
        except RowError as error:
            found["status"] = error.status
    write_rows(snakemake.output.curve, CURVE, curve)
    write_json(snakemake.output.choices, found)
