"""Put the accuracy curves of all networks in one table."""

from job import job
from dlas.analysis import table

with job(snakemake):
    curves = [table.read_table(path) for path in snakemake.input.curves]
    networks = snakemake.params.settings["networks"]
    # The table of a bundle already has the names of its networks.
    named = table.curves_table(networks, curves) if networks else curves[0]
    table.write_table(snakemake.output.curves, named)
