"""Pack the measurements of one platform for studies on other machines."""

from pathlib import Path

from job import job
from dlas.bundles import checking, form, machine, packing
from dlas.errors import StudyError
from dlas.files import read_json

with job(snakemake):
    files, settings = snakemake.input, snakemake.params.settings["packing"]
    tables = {name: files[name] for name in form.TABLES if name != "correct"}
    records = map(read_json, (files.target, files.platform, files.traced))
    described = machine.describe(settings["platform"], settings["here"], *records)
    provenance = {
        "settings": settings["settings"],
        "code": dict(snakemake.params.compared),
        "networks": packing.networks(settings["networks"]),
    }
    folder = Path(snakemake.output.bundle)
    form.write(
        folder,
        {form.MACHINE: described, form.PROVENANCE: provenance},
        packing.tables(tables, files.answers, settings["platform"]),
    )
    if found := checking.problems(folder):
        raise StudyError(f"{folder} is not packed: {found[0]}")
