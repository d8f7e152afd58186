"""Import one network for the compiler, and store the framework's outputs for real images."""

import numpy as np

from fast_imports import torch, tvm  # noqa: F401
from job import job
from dlas import compression, datasets, models
from dlas.compiler.importer import import_network, reference_outputs
from dlas.compiler.network import save_network, save_status
from dlas.errors import RowError
from dlas.files import atomic_write

with job(snakemake):
    settings, chosen = snakemake.params.settings, snakemake.wildcards
    dataset = datasets.load(snakemake.input.dataset)
    architecture = models.build_for(dataset, chosen.model, settings["width"], settings["stem"])
    images = dataset.test.images[: settings["images"]]
    inputs = datasets.normalize(images, dataset.mean, dataset.std)
    files = snakemake.output.network, snakemake.output.parameters
    try:
        model = compression.restore(settings["steps"], architecture, snakemake.input.chosen)
        network = import_network(model, (1, *inputs.shape[1:]))
        outputs = reference_outputs(model, network, inputs)
        save_network(network, *files)
    except RowError as error:
        outputs = np.zeros((0, len(dataset.class_names)), np.float32)
        save_status(error.status, *files)
    with atomic_write(snakemake.output.reference) as temporary:
        np.savez(temporary, inputs=inputs, outputs=outputs)
