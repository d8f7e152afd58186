"""Put the accuracy curves of all networks in one table."""

from dlas.analysis import table
from job import job

with job(snakemake):
    curves = [table.read_table(path) for path in snakemake.input.curves]
    table.write_table(
        snakemake.output.curves,
        table.curves_table(snakemake.params.settings["networks"], curves),
    )
