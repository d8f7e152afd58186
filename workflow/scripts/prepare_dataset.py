"""Prepare the three splits of one data set."""

from job import job
from dlas import datasets

with job(snakemake):
    settings, chosen = snakemake.params.settings, dict(snakemake.params.settings["dataset"])
    chosen["threads"] = snakemake.threads
    # A downloaded archive is the source.
    if snakemake.input.archive:
        chosen["source"] = snakemake.input.archive
    dataset = datasets.prepare(snakemake.wildcards.dataset, chosen, settings["seed"])
    datasets.save(dataset, snakemake.output.dataset)
