"""Recommend the fastest configuration of each platform and data set that is accurate enough."""

from job import job
from dlas.analysis import pages, recommendation, table
from dlas.analysis.words import Words
from dlas.files import write_text

with job(snakemake):
    rows = recommendation.recommend(
        table.read_tables(snakemake.input),
        snakemake.params.settings["top1_floor"],
    )
    table.write_table(snakemake.output.recommendation, rows)
    write_text(
        snakemake.output.page,
        pages.html(recommendation.page(rows, Words(snakemake.params.settings["words"]))),
    )
