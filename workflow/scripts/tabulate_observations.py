"""Put the verdicts on all observations in one table."""

import pandas as pd

from dlas.analysis import table
from job import job

with job(snakemake):
    verdicts = [table.read_table(path) for path in snakemake.input.verdicts]
    table.write_table(snakemake.output.observations, pd.concat(verdicts))
