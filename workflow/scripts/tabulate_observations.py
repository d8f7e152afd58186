"""Put the verdicts on all observations in one table, and on the first page of the report."""

from job import job
from dlas.analysis import captions, table
from dlas.analysis.words import Words
from dlas.files import read_json, write_text

with job(snakemake):
    settings = snakemake.params.settings
    records = [read_json(path) for path in snakemake.input.assessments]
    verdicts = table.observations_table(
        [
            table.observation_row(record, settings["claims"][record["observation"]])
            for record in records
        ]
    )
    table.write_table(snakemake.output.observations, verdicts)
    write_text(snakemake.output.page, captions.table(verdicts, Words(settings["words"])))
