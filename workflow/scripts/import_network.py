"""Import one trained model for the compiler, with what its framework makes of real images."""

import numpy as np

from dlas import datasets, models
from dlas.compiler.importer import import_network
from dlas.compiler.network import save_network
from dlas.files import whole, write_json
from dlas.models import accounting, accuracy, checkpoint
from job import job

with job(snakemake):
    settings, chosen = snakemake.params.settings, snakemake.wildcards
    dataset = datasets.load(snakemake.input.dataset)
    model = models.build(
        chosen.model,
        len(dataset.class_names),
        settings["width"],
        datasets.stem(chosen.dataset),
    )
    checkpoint.load(model, snakemake.input.checkpoint)

    images, logits, top1 = {}, {}, {}
    for name in ("validation", "test"):
        split = getattr(dataset, name)
        images[name] = datasets.normalize(split.images, dataset.mean, dataset.deviation)
        logits[name] = accuracy.logits(model, images[name])
        top1[name] = datasets.top1(logits[name], split.labels)
    inputs = images["test"][: settings["images"]]
    with whole(snakemake.output.reference) as temporary:
        np.savez(temporary, inputs=inputs, outputs=logits["test"][: settings["images"]])

    input_shape = (1, *inputs.shape[1:])
    write_json(
        snakemake.output.summary,
        {
            "top1": top1["test"],
            "validation_top1": top1["validation"],
            "params": accounting.parameters(model),
            "nonzero_params": accounting.nonzero_parameters(model),
            "macs": accounting.macs(model, input_shape),
            "model_bytes": accounting.model_bytes(model),
            "level": None,
            "dtype": "float32",
            "input_shape": input_shape,
            "classes": len(dataset.class_names),
        },
    )
    network = import_network(model, input_shape)
    save_network(network, snakemake.output.network, snakemake.output.parameters)
