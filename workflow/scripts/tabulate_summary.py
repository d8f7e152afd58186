"""Put the study in one of the tables of a paper, as CSV and as a page."""

from job import job
from dlas.analysis import pages, table
from dlas.analysis.summaries import SUMMARIES
from dlas.analysis.words import Words
from dlas.files import write_text

with job(snakemake):
    summary = SUMMARIES[snakemake.wildcards.table]
    words = Words(snakemake.params.settings["words"])
    rows = summary.rows(table.read_tables(snakemake.input), words)
    table.write_table(snakemake.output.table, rows)
    write_text(snakemake.output.page, pages.html(summary.page(rows, words)))
