"""Read the weights of one model from a file instead of training it."""

from fast_imports import torch  # noqa: F401
from job import job
from dlas import datasets, models
from dlas.files import write_rows
from dlas.models import checkpoint, training, weights

with job(snakemake):
    settings, chosen = snakemake.params.settings, snakemake.wildcards
    dataset = datasets.load(snakemake.input.dataset)
    if settings["published"]:
        weights.check_classes(dataset.class_names)
    model = models.build_for(dataset, chosen.model, settings["width"], settings["stem"])
    models.check_size(model, dataset)
    weights.load(model, chosen.model, snakemake.input.weights)
    write_rows(snakemake.output.history, training.HISTORY, rows=[])
    checkpoint.save(model, snakemake.output.checkpoint)
