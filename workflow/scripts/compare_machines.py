"""Decide each observation on each machine alone, beside the verdict on all of them."""

from job import job
from dlas.analysis import by_machine, observation, pages, table
from dlas.analysis.words import Words
from dlas.files import read_json, write_text

with job(snakemake):
    settings, files = snakemake.params.settings, snakemake.input
    assessments = [read_json(path) for path in files.assessments]
    joint = {one["observation"]: observation.restored(one) for one in assessments}
    named = sorted(settings["observations"].items())
    modules = {number: observation.load(name) for number, name in named}
    tables = table.read_tables(files, settings["groups"], settings["steps"], settings["bundles"])
    rows = by_machine.verdicts(tables, modules, joint, settings["machines"], settings["claims"])
    table.write_table(snakemake.output.table, rows)
    paths = zip(settings["platforms"], files.platforms, strict=True)
    records = {name: read_json(path) for name, path in paths}
    page = by_machine.page(rows, records, Words(settings["words"]))
    write_text(snakemake.output.page, pages.html(page))
