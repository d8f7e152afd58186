"""Find the schedules of one network's layers by measuring candidates on the platform itself."""

from pathlib import Path

import bare_tvm  # noqa: F401
from job import job
from dlas.compiler.network import load_network
from dlas.compiler.schedulers.plugin import load
from dlas.compiler.tuning.settings import CURVE, Settings
from dlas.files import read_json, write_json, write_rows
from dlas.hardware.devices import device_opener
from dlas.hardware.platforms import Platform, require_host, target

with job(snakemake):
    settings, chosen = snakemake.params.settings, snakemake.wildcards
    # On a platform that cannot be measured nothing is tuned; the rows of the study say why.
    choices, curve = {}, []
    if read_json(snakemake.input.platform)["status"] == "ok":
        platform = Platform(chosen.platform, **settings["platform"])
        if platform.connection is None:
            require_host("a candidate", target(platform))
        outcome = load(settings["scheduler"]).tune(
            load_network(snakemake.input.network, snakemake.input.parameters),
            chosen.primitive,
            chosen.format,
            target(platform),
            Settings(**settings["tuning"]),
            # What was measured of kernels of other code says nothing of these.
            records=Path(snakemake.params.records, snakemake.params.kernels),
            seed=settings["seed"],
            opener=device_opener(platform),
        )
        choices, curve = outcome.choices, outcome.curve
    write_rows(snakemake.output.curve, CURVE, curve)
    write_json(snakemake.output.choices, choices)
