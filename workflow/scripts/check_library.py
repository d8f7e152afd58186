"""Check one compiled network against its training framework, on real images."""

import os

import numpy as np

import without_torch  # noqa: F401
from dlas import datasets
from dlas.compiler.check import check_outputs, check_top1
from dlas.compiler.library import load_library
from dlas.files import read_json, write_json
from dlas.hardware.platforms import require_host
from job import job

with job(snakemake):
    settings, chosen, files = snakemake.params.settings, snakemake.wildcards, snakemake.input
    platform, record = read_json(files.platform), read_json(files.record)
    check = {"status": platform["status"], "largest_relative_error": None, "top1_compiled": None}
    if platform["status"] == "ok":
        what = f"{' / '.join(chosen)} ({record['convolutions']} convolutions)"
        require_host(files.library, record["target"])
        os.environ["TVM_NUM_THREADS"] = str(snakemake.threads)  # several checks run side by side
        network = load_library(files.library)
        with np.load(files.reference) as reference:
            check["largest_relative_error"] = check_outputs(
                network, reference["inputs"], reference["outputs"], settings["tolerance"], what
            )
        dataset = datasets.load(files.dataset)
        check["top1_compiled"] = check_top1(
            network,
            datasets.normalize(dataset.test.images, dataset.mean, dataset.deviation),
            dataset.test.labels,
            read_json(files.summary)["top1"],
            settings["top1_tolerance"],
            what,
        )
    write_json(snakemake.output.check, check)
