"""Prepare the three splits of one dataset."""

from job import job
from dlas import datasets

with job(snakemake):
    settings = snakemake.params.settings
    dataset = datasets.prepare(snakemake.wildcards.dataset, settings["dataset"], settings["seed"])
    datasets.save(dataset, snakemake.output.dataset)
