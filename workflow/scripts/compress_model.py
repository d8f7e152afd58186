"""Compress one model to one level, and record its accuracy and size."""

import sys

import numpy as np

from fast_imports import torch  # noqa: F401
from job import job, resume_file
from dlas import compression, datasets, models, status, tensor_files
from dlas.compression import ladder
from dlas.compression.measures import MEASURES
from dlas.errors import PassedError, RowError
from dlas.files import atomic_write, read_json, write_json
from dlas.models import accounting, accuracy, checkpoint, devices, training

with job(snakemake):
    settings, chosen, files = snakemake.params.settings, snakemake.wildcards, snakemake.input
    recipe = training.recipe(settings["recipe"])
    devices.check(recipe.device, recipe.processes)
    dataset = datasets.load(files.dataset)
    technique = compression.load(settings["steps"][-1])
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
    level = None if chosen.level == "single" else float(chosen.level)
    point = {
        "status": status.OK,
        "level": level,
        "dtype": settings["dtype"],
        **dict.fromkeys(MEASURES),
        "input_shape": input_shape,
        "classes": len(dataset.class_names),
    }
    answers = np.zeros(0, np.uint16)
    try:
        if files.previous_point:
            baseline, previous = map(read_json, (files.baseline_point, files.previous_point))
            ladder.check_previous(baseline, previous, settings["give_up"])
        model = compression.restore(settings["start"], architecture, files.start)
        model = technique.compress(model, level if settings["ladder"] else None, task)
        point |= accounting.summarize(model, input_shape)
        checkpoint.check_finite(model.state_dict(), "the compressed network")
        checkpoint.save(model, snakemake.output.compressed)
        model.to(devices.device(recipe.device))
        validation = accuracy.top1(model, dataset.validation, dataset)
        answers = accuracy.answers(model, dataset.test, dataset)
        point |= {"validation_top1": validation, "top1": accuracy.top1_of(answers, dataset.test)}
    except RowError as error:
        # Everything is compared with the baseline, so its failure fails the job.
        if chosen.compression == "none":
            raise
        point["status"] = error.status
        if isinstance(error, PassedError):
            # The next level starts from the same network.
            point["passed"] = True
            checkpoint.save(model, snakemake.output.compressed)
        else:
            tensor_files.write_status(snakemake.output.compressed, error.status)
    with atomic_write(snakemake.output.answers) as temporary:
        np.save(temporary, answers)
    write_json(snakemake.output.point, point)
