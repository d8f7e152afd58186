"""Check the libraries of one network on one platform against its training framework, on real images."""

import os
from contextlib import nullcontext

import numpy as np

import bare_tvm  # noqa: F401
from job import job, library_name
from dlas import datasets
from dlas.compiler.check import check_outputs, check_top1
from dlas.compiler.library import load_library
from dlas.files import read_json, write_json
from dlas.hardware.devices import open_device
from dlas.hardware.platforms import Platform, require_host

with job(snakemake):
    settings, files = snakemake.params.settings, snakemake.input
    status, summary = read_json(files.platform)["status"], read_json(files.summary)
    platform = Platform(snakemake.wildcards.platform, **settings["platform"])
    dataset = datasets.load(files.dataset)
    images = datasets.normalized(dataset.test, dataset)
    with np.load(files.reference) as arrays:
        reference = dict(arrays)
    os.environ["TVM_NUM_THREADS"] = str(snakemake.threads)  # several checks run side by side

    def check(configuration, library, record, board):
        """Return what the check of one library found; StudyError for a wrong library."""
        found = {"status": status, "error": None, "top1_compiled": None}
        if status == "ok":
            what = f"{' / '.join(configuration.values())} ({record['convolutions']} convolutions)"
            if platform.connection is None:
                require_host(library, record["target"])
            network = load_library(library, board)
            found["error"] = check_outputs(
                network,
                reference["inputs"],
                reference["outputs"],
                summary["dtype"],
                settings["check"]["tolerance"],
                what,
            )
            found["top1_compiled"] = check_top1(
                network,
                images,
                dataset.test.labels,
                summary["top1"],
                settings["check"]["top1_tolerance"],
                what,
            )
        return found

    with open_device(platform) if status == "ok" else nullcontext() as board:
        checks = {
            library_name(configuration): check(configuration, library, read_json(record), board)
            for configuration, library, record in zip(
                settings["configurations"], files.libraries, files.records, strict=True
            )
        }
    write_json(snakemake.output.check, checks)
