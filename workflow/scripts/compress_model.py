"""Compress one model to one level, and say what that costs and saves."""

import sys

from fast_imports import torch  # noqa: F401
from job import job, resume_file
from dlas import compression, datasets, models, status, tensor_files
from dlas.compression.measures import MEASURES
from dlas.errors import RowError
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
    level = None if chosen.level == "single" else float(chosen.level)
    point = {
        "status": status.OK,
        "level": level,
        "dtype": settings["dtype"],
        **dict.fromkeys(MEASURES),
        "input_shape": input_shape,
        "classes": len(dataset.class_names),
    }
    try:
        model = compression.restore(written_by, architecture, snakemake.input.previous)
        model = technique.compress(model, level, task)
        point |= accounting.summarize(model, input_shape)
        checkpoint.check_finite(model.state_dict(), "the compressed network")
        checkpoint.save(model, snakemake.output.compressed)
        model.to(devices.device(recipe.device))
        validation, test = (
            accuracy.top1(model, split, dataset) for split in (dataset.validation, dataset.test)
        )
        point |= {"validation_top1": validation, "top1": test}
    except RowError as error:
        # Everything is compared with the baseline.
        if chosen.compression == "none":
            raise
        point["status"] = error.status
        tensor_files.write_status(snakemake.output.compressed, error.status)
    write_json(snakemake.output.point, point)
