"""Put the tuning curves of all searches in one table, and the layers in another."""

from job import job
from dlas.analysis import table
from dlas.files import read_json

with job(snakemake):
    configurations = snakemake.params.settings["configurations"]
    curves = [table.read_table(path) for path in snakemake.input.curves]
    found = [read_json(path) for path in snakemake.input.found]
    table.write_table(snakemake.output.curves, table.tuning_curves_table(configurations, curves))
    table.write_table(snakemake.output.layers, table.tuning_layers_table(configurations, found))
