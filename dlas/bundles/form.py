"""The form of a bundle: its files, their columns and keys, and the version of all that."""

import hashlib
import json
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from dlas import registry, status
from dlas.analysis import answers, rows, table
from dlas.errors import StudyError
from dlas.files import read_json, write_json, write_text

SCHEMA = 2


def _without_answers(machine: dict, provenance: dict) -> tuple[dict, dict]:
    """Convert schema 1: which images its networks get right is not known."""
    return {**machine, "schema": 2}, provenance


# From each older schema to the next one: functions of machine.json and provenance.json that return
# both.
CONVERSIONS: dict[int, Callable[[dict, dict], tuple[dict, dict]]] = {1: _without_answers}

MACHINE, PROVENANCE, MANIFEST = "machine.json", "provenance.json", "manifest.json"
# The tables by name: the file and the columns of each.
TABLES = {
    "study": ("study.csv", rows.STUDY_COLUMNS),
    "noise_floor": ("noise_floor.csv", rows.NOISE_FLOOR_COLUMNS),
    "peers": ("peers.csv", rows.PEERS_COLUMNS),
    "samples": ("samples.csv.gz", rows.SAMPLES_COLUMNS),
    "curves": ("accuracy_curves.csv", table.CURVES_COLUMNS),
    "correct": ("correct.csv.gz", answers.CORRECT_COLUMNS),
}
# The first schema of tables that older ones lack.
_SINCE = {"correct": 2}
FILES = (MACHINE, PROVENANCE, *(file for file, _ in TABLES.values()))
KEYS = {
    MACHINE: (
        "schema platform measured cpu cpu.model kernel versions commit threads target probe "
        "probe.status probe.peak_gflops"
    ).split(),
    PROVENANCE: (
        "settings settings.width settings.datasets settings.compressions settings.checks code "
        "networks"
    ).split(),
}

# Of cells: a pattern, and what is allowed in words.
_NAME = (registry.NAME.pattern, "a name of lower-case letters, digits and underscores")
_NUMBER = (r"-?\d+(\.\d+)?(e[-+]?\d+)?", "a number with a decimal point")
_FLAG = ("True|False", "True or False")
_STATUS = (
    "|".join([*status.RAN, *(f"{kind}: .+" for kind in status.KINDS)]),
    "a status of docs/reference/columns.md",
)
_TEXTS = "dataset model compression primitive format dtype tuning platform machine runtime role"
CELLS = (
    dict.fromkeys(_TEXTS.split(), _NAME)
    | dict.fromkeys(["native", "chosen"], _FLAG)
    | {"status": _STATUS}
    | {"correct": ("([0-9a-f]{2})+", "two hexadecimal digits for each 8 images")}
    | {"images": ("[1-9][0-9]*", "a number of images")}
)
# Every other cell may be empty.
_KEYS = {
    "study": "dataset model compression primitive format tuning platform status".split(),
    "noise_floor": rows.NOISE_FLOOR_COLUMNS,
    "peers": "platform dataset model runtime status".split(),
    "samples": "dataset model machine platform role round latency_ms".split(),
    "curves": "dataset model compression status".split(),
    "correct": "dataset model compression images correct".split(),
}


@dataclass(frozen=True, eq=False)
class Bundle:
    """The measurements of one platform.

    Parameters
    ----------
    machine, provenance : mapping
        machine.json and provenance.json, see docs/reference/bundles.md.
    tables : mapping of str to DataFrame
        The tables by name, see `TABLES`.
    digest : str
        The hash of its manifest: equal bundles have equal ones.
    """

    machine: Mapping[str, Any]
    provenance: Mapping[str, Any]
    tables: Mapping[str, pd.DataFrame]
    digest: str


def files(folder: str | Path) -> tuple[str, ...]:
    """Return the files that a bundle of its schema has; those of the newest one if it says none."""
    try:
        schema = read_json(Path(folder) / MACHINE)["schema"]
    except (OSError, ValueError, KeyError, TypeError):
        schema = SCHEMA
    newer = {
        TABLES[name][0]
        for name, since in _SINCE.items()
        if schema in CONVERSIONS and schema < since
    }
    return tuple(name for name in FILES if name not in newer)


def write(folder: Path, jsons: Mapping[str, Any], tables: Mapping[str, pd.DataFrame]) -> None:
    """Write the files of a bundle, its manifest last."""
    for name, value in jsons.items():
        write_json(folder / name, value)
    for name, content in tables.items():
        table.write_table(folder / TABLES[name][0], content)
    write_manifest(folder)


def write_manifest(folder: Path) -> None:
    """Write the hashes of a bundle's files."""
    write_text(folder / MANIFEST, manifest(folder))


def manifest(folder: Path) -> str:
    """Return what the manifest of these files is, of those that are there."""
    there = [name for name in sorted(FILES) if (folder / name).is_file()]
    return json.dumps({name: sha256(folder / name) for name in there}, indent=2) + "\n"


def read(folder: str | Path, platform: str) -> Bundle:
    """Read a bundle whose files are complete and unchanged, in the newest schema.

    Parameters
    ----------
    folder : path
        The folder of the bundle.
    platform : str
        The name that its platform has in this study; its machine has the same.
    """
    folder = Path(folder)
    machine, provenance = converted(read_json(folder / MACHINE), read_json(folder / PROVENANCE))
    there = files(folder)
    tables = {
        name: table.read_table(folder / file) if file in there else pd.DataFrame(columns=columns)
        for name, (file, columns) in TABLES.items()
    }
    for name, content in tables.items():
        named = {key: platform for key in ("platform", "machine") if key in content}
        tables[name] = content.assign(**named)
    return Bundle(machine, provenance, tables, sha256(folder / MANIFEST))


def converted(machine: dict, provenance: dict) -> tuple[dict, dict]:
    """Return machine.json and provenance.json of any known schema in the newest one."""
    while machine["schema"] < SCHEMA:
        machine, provenance = CONVERSIONS[machine["schema"]](machine, provenance)
    return machine, provenance


def sha256(file: Path) -> str:
    """Return the hash of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def texts(file: Path) -> pd.DataFrame:
    """Return a table with each cell as text; raise StudyError for a file that is no table."""
    try:
        return pd.read_csv(file, dtype=str, keep_default_na=False)
    except (ValueError, OSError, EOFError, zlib.error) as error:
        reason = " ".join(str(error).split())
        raise StudyError(f"{file} is not a table: {reason}") from error


def cell_problems(name: str, content: pd.DataFrame) -> list[str]:
    """Return the problems of columns, and the first wrong cell of each column."""
    file, asked = TABLES[name]
    found = [f"{file} lacks the column {column}" for column in asked if column not in content]
    found += [
        f"{file} has a foreign column {column!r}" for column in content if column not in asked
    ]
    for column in content.columns.intersection(asked):
        pattern, allowed = CELLS.get(column, _NUMBER)
        cells = content[column]
        wrong = ~cells.str.fullmatch(pattern)
        if column not in _KEYS[name]:
            wrong &= cells != ""
        if wrong.any():
            line = int(wrong.to_numpy().argmax())
            value = cells.iloc[line] if re.match(r"\S", cells.iloc[line]) else "empty"
            found.append(f"{file}, line {line + 2}: {column} is {value!r}; allowed: {allowed}")
    return found
