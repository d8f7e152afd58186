"""Make the page on which readers explore all configurations of the study."""

from job import job
from dlas.analysis import explore, explore_data, table
from dlas.analysis.style import Looks
from dlas.files import write_text

with job(snakemake):
    tables = map(table.read_table, snakemake.input)
    looks = Looks(snakemake.params.settings["words"])
    write_text(snakemake.output.page, explore.html(explore_data.content(*tables, looks)))
