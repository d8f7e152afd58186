"""Compress one model to one level, and say what that costs and saves."""

import sys

from fast_imports import torch  # noqa: F401
from job import job, resume_file
from dlas import compression, datasets, models
from dlas.files import write_json
from dlas.models import accounting, accuracy, checkpoint, devices, training

with job(snakemake):
    settings, chosen = snakemake.params.settings, snakemake.wildcards
    recipe = training.recipe(settings["recipe"])
    devices.check(recipe.device, recipe.processes)
    dataset = datasets.load(snakemake.input.dataset)
    technique = compression.load(chosen.compression)
    architecture = models.build_for(dataset, chosen.model, settings["width"], settings["stem"])
    input_shape = (1, 3, *dataset.test.images.shape[1:3])
    task = compression.Task(
        dataset=dataset,
        settings=settings["technique"],
        recipe=recipe,
        seed=settings["seed"],
        threads=snakemake.threads,
        progress=sys.stderr.isatty(),
        baseline_macs=accounting.macs(architecture, input_shape),
        resume_from=resume_file(snakemake),
    )
    # The first level starts from the network as it was trained.
    written_by = "none" if settings["previous"] is None else chosen.compression
    model = compression.restore(written_by, architecture, snakemake.input.previous)
    level = None if chosen.level == "single" else float(chosen.level)
    model = technique.compress(model, level, task)
    checkpoint.save(model, snakemake.output.compressed)

    model.to(devices.device(recipe.device))
    top1 = {}
    for name in ("validation", "test"):
        split = getattr(dataset, name)
        logits = accuracy.logits(model, datasets.normalized(split, dataset))
        top1[name] = datasets.top1(logits, split.labels)
    model.to("cpu")
    write_json(
        snakemake.output.point,
        {
            "level": level,
            "dtype": settings["dtype"],
            "validation_top1": top1["validation"],
            "top1": top1["test"],
            **accounting.summarize(model, input_shape),
            "input_shape": input_shape,
            "classes": len(dataset.class_names),
        },
    )
