"""Train one model on one data set."""

import sys

from fast_imports import torch  # noqa: F401
from job import job, resume_file
from dlas import datasets, models
from dlas.files import write_rows
from dlas.models import checkpoint, training

with job(snakemake):
    settings, chosen = snakemake.params.settings, snakemake.wildcards
    dataset = datasets.load(snakemake.input.dataset)
    model = models.build_for(
        dataset, chosen.model, settings["width"], settings["stem"], settings["seed"]
    )
    models.check_size(model, dataset)
    history = training.train(
        model,
        dataset,
        training.recipe(settings["recipe"]),
        settings["seed"],
        snakemake.threads,
        progress=sys.stderr.isatty(),
        resume_from=resume_file(snakemake),
    )
    write_rows(snakemake.output.history, training.HISTORY, history)
    checkpoint.save(model, snakemake.output.checkpoint)
