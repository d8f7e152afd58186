"""Time all libraries of one model on one platform against each other."""

from functools import partial

import numpy as np
import pandas as pd

from dlas.compiler.library import load_library
from dlas.files import read_json, whole
from dlas.hardware import host, peak, timing
from dlas.hardware.platforms import require_host
from job import job


class Timeable:
    """A loaded library with an image to run on."""

    def __init__(self, library, record, image):
        require_host(library, read_json(record)["target"])
        self.sample = load_library(library).timer(image)

    def time(self, number):
        return [self.sample(number)]


with job(snakemake):
    settings, platform = snakemake.params.settings, read_json(snakemake.input.platform)
    libraries = {}
    for configuration, library, record, check, reference in zip(
        settings["configurations"],
        snakemake.input.libraries,
        snakemake.input.records,
        snakemake.input.checks,
        snakemake.input.references,
        strict=True,
    ):
        if read_json(check)["status"] == "ok":
            variant = timing.Variant(*(configuration[name] for name in timing.Variant._fields))
            image = np.load(reference)["inputs"][:1]
            libraries[variant] = partial(Timeable, library, record, image)
    samples = pd.DataFrame(columns=timing.COLUMNS)
    if libraries:
        host.use_threads(platform["threads"])
        kernel = peak.arithmetic(platform["target"], platform["threads"])
        samples = timing.time_libraries(
            libraries, kernel, **settings["timing"], seed=settings["seed"]
        )
    with whole(snakemake.output.timing) as temporary:
        samples.to_csv(temporary, index=False)
