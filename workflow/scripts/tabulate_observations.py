"""Put the verdicts on all observations in one table, and on the first page of the report."""

import pandas as pd

from job import job
from dlas.analysis import captions, table
from dlas.files import write_text

with job(snakemake):
    verdicts = pd.concat([table.read_table(path) for path in snakemake.input.verdicts])
    table.write_table(snakemake.output.observations, verdicts)
    write_text(snakemake.output.page, captions.table(verdicts))
