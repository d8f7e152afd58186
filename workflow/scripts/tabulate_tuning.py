"""Put the tuning curves of all auto-tuned configurations in one table."""

from job import job
from dlas.analysis import table

with job(snakemake):
    curves = [table.read_table(path) for path in snakemake.input.curves]
    table.write_table(
        snakemake.output.curves,
        table.tuning_curves_table(snakemake.params.settings["configurations"], curves),
    )
