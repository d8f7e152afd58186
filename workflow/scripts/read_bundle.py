"""Read a platform's rows from its bundles, if they fit the study."""

from pathlib import Path

from job import job
from dlas.analysis import table
from dlas.bundles import checking, form, merging
from dlas.errors import StudyError
from dlas.files import write_json

with job(snakemake):
    settings, name = snakemake.params.settings["reading"], snakemake.wildcards.platform
    for folder in settings["folders"]:
        if found := checking.form_problems(Path(folder)):
            raise StudyError(f"{folder}: {found[0]}")
    bundle = merging.merge([form.read(folder, name) for folder in settings["folders"]])
    terms = merging.Terms(settings["terms"], snakemake.params.compared, settings["same_code"])
    tables, record = merging.adopt(bundle, settings["rows"], terms, settings["runtimes"])
    for key, content in tables.items():
        table.write_table(snakemake.output[key], content)
    write_json(snakemake.output.platform, record)
