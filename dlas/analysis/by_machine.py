"""Verdicts by machine: each observation decided on the rows of one machine alone."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from dlas.analysis import observation
from dlas.analysis.captions import effect
from dlas.analysis.effects import Rounds
from dlas.analysis.observation import NUMBERS, Module, Observation, Tables
from dlas.analysis.pages import BEST, QUIET, Page
from dlas.analysis.words import Words

# In the column `machine`: all machines together.
ALL = "all"
COLUMNS = (
    "observation claim machine platforms verdict estimate ci_low ci_high n generalizes "
    "generalizes_low generalizes_high reason"
).split()


def on_platforms(tables: Tables, platforms: Sequence[str]) -> Tables:
    """Return the tables with the rows of these platforms of one machine alone.

    Accuracy curves and answers are those of the networks that the machine trained.
    """
    accuracy = tables.accuracy(platforms[0])
    here = tables.study["platform"].isin(platforms).to_numpy()
    floor = tables.noise_floor
    return replace(
        tables,
        study=tables.study[here].reset_index(drop=True),
        noise_floor=floor[floor["platform"].isin(platforms)].reset_index(drop=True),
        curves=accuracy.curves,
        answers=accuracy.answers,
        rounds=Rounds(tables.rounds.log[here], tables.rounds.job[here]),
    )


def verdicts(
    tables: Tables,
    modules: Mapping[str, Module],
    joint: Mapping[str, Observation],
    machines: Mapping[str, Sequence[str]],
    claims: Mapping[str, Mapping[str, str]],
) -> pd.DataFrame:
    """Return the verdict on each observation on each machine, and on all of them together.

    Parameters
    ----------
    tables : Tables
        The tables of the whole study.
    modules, joint : mapping
        The module of each observation and its result on all machines, by number.
    machines : mapping of str to sequence of str
        The platforms of each machine.
    claims : mapping of str to mapping
        The claim of each observation, by number; see `dlas.study.descriptions.claim`.

    Returns
    -------
    DataFrame
        COLUMNS; one row for each observation and machine, and one with the machine ALL.
    """
    every = sorted({name for names in machines.values() for name in names})
    alone = {name: on_platforms(tables, names) for name, names in machines.items()}
    lines = []
    for number, module in modules.items():
        found = {ALL: joint[number]} | {
            # A single machine has the joint verdict.
            name: observation.assess(module, alone[name]) if len(machines) > 1 else joint[number]
            for name in machines
        }
        for name, one in found.items():
            platforms = machines.get(name, every)
            place = {"observation": number, "claim": claims[number]["claim"], "machine": name}
            lines.append(place | {"platforms": ", ".join(platforms)} | one.record())
    return pd.DataFrame(lines, columns=COLUMNS).astype(dict.fromkeys(NUMBERS, float))


def page(rows: pd.DataFrame, records: Mapping[str, Mapping[str, Any]], words: Words) -> Page:
    """Return the page of `verdicts`.

    Parameters
    ----------
    rows : DataFrame
        The table of `verdicts`.
    records : mapping of str to mapping
        The record of each platform, of its probe or of its bundle, by name.
    words : Words
        Labels of the methods.
    """
    names = dict.fromkeys(rows["machine"])
    labels = {name: "all machines" if name == ALL else _label(rows, name, words) for name in names}
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for row in rows.itertuples():
        line = cells.setdefault((row.observation, row.claim), {})
        size = effect(row.estimate, row.ci_low, row.ci_high)
        text = words.text(row.reason) if row.reason.startswith("needs") else size
        line[labels[row.machine]] = f"{row.verdict}: {text}"
    table = pd.DataFrame.from_dict(cells, orient="index")
    table.index = pd.MultiIndex.from_tuples(cells, names=["", "claim"])
    looks = table.map(lambda cell: QUIET if cell.startswith("inconclusive") else "")
    looks["all machines"] = (looks["all machines"] + f" {BEST}").str.strip()
    sources = [_source(words.label(name), record) for name, record in records.items()]
    return Page(
        "Verdicts by machine",
        "Each observation decided on the rows of each machine alone, beside the verdict on all of "
        "them. The effect size has its 95 % interval. A claim on differences between platforms "
        "needs two of them. Accuracy is that of the networks that the machine trained. "
        + " ".join(sources),
        table,
        classes=looks,
    )


def _label(rows: pd.DataFrame, machine: str, words: Words) -> str:
    platforms = rows.loc[rows["machine"] == machine, "platforms"].iloc[0]
    return words.labels(platforms)


def _source(label: str, record: Mapping[str, Any]) -> str:
    """Return one sentence on the origin of the rows of a platform."""
    known = record.get("cpu_model")
    text = f"{label}: {known}" if known else label
    if "bundle" not in record:
        return f"{text}, measured by this study."
    facts = record["bundle"]
    text += f", a bundle of {facts['measured']}"
    if facts["commit"]:
        text += f" at commit {facts['commit']}"
    other = f"{facts['other_code']} of {facts['rows']} rows were measured with other code"
    text += f"; {other if facts['other_code'] else 'measured with the same code'}"
    if not facts["answers"]:
        text += (
            "; it does not say which images its networks get right, which claims on accuracy need"
        )
    return f"{text}."
