"""Export one uncompressed network for other runtimes."""

from job import job
from dlas import compression, datasets, models
from dlas.models import export

with job(snakemake):
    settings, chosen = snakemake.params.settings, snakemake.wildcards
    dataset = datasets.load(snakemake.input.dataset)
    architecture = models.build_for(dataset, chosen.model, settings["width"], settings["stem"])
    model = compression.restore([], architecture, snakemake.input.chosen)
    image = datasets.normalize(dataset.test.images[:1], dataset.mean, dataset.std)
    export.write_onnx(model, image, snakemake.output.onnx)
    export.write_program(model, image, snakemake.output.pt2)
