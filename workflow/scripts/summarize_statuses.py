"""Count the rows of the study that are not ok, with reasons; with `strict` they are an error."""

from job import job
from dlas.analysis import statuses, table
from dlas.errors import StudyError
from dlas.files import write_text

with job(snakemake):
    lines = statuses.summary(table.read_table(snakemake.input.study))
    if lines and snakemake.params.settings["strict"]:
        allowed = "allowed with study.strict: rows that are ok alone"
        raise StudyError("\n".join([*lines, allowed]))
    write_text(snakemake.output.summary, "".join(f"{line}\n" for line in lines))
