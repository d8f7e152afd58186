"""Put the accuracy curves of all networks in one table."""

from job import job
from dlas.analysis import table

with job(snakemake):
    curves = [table.read_table(path) for path in snakemake.input.curves]
    table.write_table(
        snakemake.output.curves,
        table.curves_table(snakemake.params.settings["networks"], curves),
    )
