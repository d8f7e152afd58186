"""Prepare the three splits of one dataset."""

from job import job
from dlas import datasets

with job(snakemake):
    settings, chosen = snakemake.params.settings, dict(snakemake.params.settings["dataset"])
    chosen["threads"] = snakemake.threads
    if snakemake.input.archive:  # downloaded
        chosen["source"] = snakemake.input.archive
    dataset = datasets.prepare(snakemake.wildcards.dataset, chosen, settings["seed"])
    datasets.save(dataset, snakemake.output.dataset)
