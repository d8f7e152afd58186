"""The tables that everything else is drawn from: study, noise_floor, peers, accuracy_curves and observations."""

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dlas.analysis.answers import read as read_answers
from dlas.analysis.columns import CONFIGURATION
from dlas.analysis.effects import rounds_of
from dlas.analysis.observation import NUMBERS, Module, Observation, Tables
from dlas.analysis.rows import NOISE_FLOOR_COLUMNS, PEERS_COLUMNS, STUDY_COLUMNS
from dlas.compression.elbow import CURVE_COLUMNS
from dlas.errors import StudyError
from dlas.files import atomic_write

CURVES_COLUMNS = ["dataset", "model", "compression", *CURVE_COLUMNS]
OBSERVATION_COLUMNS = (
    "observation claim origin verdict statistic estimate ci_low ci_high n generalizes "
    "generalizes_low generalizes_high reason rule_version rule"
).split()
TUNING_CURVE = (
    "trial layer latency_ms best_layer_ms default_layer_ms network_ms default_network_ms"
).split()
TUNING_LAYERS = ["layer", "calls", "trials", "default_ms", "latency_ms", "ratio"]
# Empty for a network that could not be made.
SIZES = ["params", "nonzero_params", "macs", "model_bytes"]


def study_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return study.csv's table from its rows."""
    types = dict.fromkeys(["scheduled_layers", "primitive_layers", *SIZES], "Int64") | {
        "native": "boolean"
    }
    return pd.DataFrame(list(rows), columns=STUDY_COLUMNS).astype(types)


def peers_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return peers.csv's table from its rows."""
    return pd.DataFrame(list(rows), columns=PEERS_COLUMNS)


def noise_floor_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return noise_floor.csv's table from its rows."""
    return pd.DataFrame(list(rows), columns=NOISE_FLOOR_COLUMNS)


def tuning_curves_table(
    configurations: Sequence[Mapping[str, str]], curves: Sequence[pd.DataFrame]
) -> pd.DataFrame:
    """Return the table of all searched configurations and their curves, each with the columns TUNING_CURVE."""
    named = [
        curve.assign(**{name: configuration[name] for name in CONFIGURATION})
        for configuration, curve in zip(configurations, curves, strict=True)
        if len(curve)
    ]
    columns = [*CONFIGURATION, *TUNING_CURVE]
    return pd.concat(named, ignore_index=True)[columns] if named else pd.DataFrame(columns=columns)


def tuning_layers_table(
    configurations: Sequence[Mapping[str, str]], records: Sequence[Mapping[str, Any]]
) -> pd.DataFrame:
    """Return the table of the layers of all searched configurations, one row each.

    `records` are what each search wrote, with what it found for a layer under "layers". What a
    layer lacks is empty.
    """
    rows = [
        {**configuration, **{name: layer.get(name) for name in TUNING_LAYERS}}
        for configuration, record in zip(configurations, records, strict=True)
        for layer in (record.get("layers") or {}).values()
    ]
    types = dict.fromkeys(["calls", "trials"], "Int64")
    types |= dict.fromkeys(["default_ms", "latency_ms", "ratio"], "float64")
    return pd.DataFrame(rows, columns=[*CONFIGURATION, *TUNING_LAYERS]).astype(types)


def curves_table(
    networks: Sequence[Mapping[str, str]], curves: Sequence[pd.DataFrame]
) -> pd.DataFrame:
    """Return accuracy_curves.csv's table from the curve of each network.

    `networks` have dataset, model and compression; `curves` the columns of dlas.compression.elbow.
    """
    named = [
        curve.assign(**{name: network[name] for name in ("dataset", "model", "compression")})
        for network, curve in zip(networks, curves, strict=True)
    ]
    table = pd.concat(named, ignore_index=True)[CURVES_COLUMNS]
    return table.astype(dict.fromkeys(SIZES, "Int64"))


def observation_row(record: Mapping[str, Any], claim: Mapping[str, str]) -> dict[str, Any]:
    """Return one row of observations.csv from the record of an observation and what it claims.

    `record` is that of `observation_record`, `claim` that of `dlas.study.descriptions.claim`.
    """
    return {name: {**claim, **record}[name] for name in OBSERVATION_COLUMNS}


def observation_record(number: str, module: Module, observation: Observation) -> dict[str, Any]:
    """Return everything about what was observed under a number, but the claim: values that JSON has."""
    rule = " ".join(module.RULE.split())
    version = {"rule_version": module.RULE_VERSION, "rule": rule}
    return {"observation": number, **version, **observation.record()}


def observations_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return observations.csv's table from its rows."""
    numbers = dict.fromkeys(NUMBERS, float)
    return pd.DataFrame(list(rows), columns=OBSERVATION_COLUMNS).astype(numbers)


def write_table(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table as CSV atomically, compressed where `path` ends in .gz.

    A cell without a number is empty. Equal tables are equal files.

    Raises
    ------
    StudyError
        For an infinite number.
    """
    numbers = table.select_dtypes("number")
    for name in numbers:
        if np.isinf(numbers[name].to_numpy(float, na_value=np.nan)).any():
            raise StudyError(
                f"{path} cannot be written: {name} is infinite in a row; allowed: finite numbers"
            )
    with atomic_write(path) as temporary:
        if temporary.suffix == ".gz":
            # Without the file's name and time.
            with open(temporary, "wb") as file, gzip.GzipFile("", "wb", 9, file, 0) as packed:
                table.to_csv(packed, index=False, mode="wb")
        else:
            table.to_csv(temporary, index=False)


def read_tables(
    files: Any,
    groups: Mapping[str, str] | None = None,
    steps: Mapping[str, Sequence[str]] | None = None,
) -> Tables:
    """Read what observations take.

    Parameters
    ----------
    files : object
        Has the paths as attributes: study, noise_floor, curves, samples and answers.
    groups, steps : mapping, optional
        See `Tables`.
    """
    study = read_table(files.study)
    return Tables(
        study=study,
        noise_floor=read_table(files.noise_floor),
        curves=read_table(files.curves),
        rounds=rounds_of(study, read_table(files.samples)),
        answers=read_answers(files.answers),
        groups=groups or {},
        steps=steps or {},
    )


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table; names such as "none" and numbers such as "01" stay text."""
    return pd.read_csv(path, keep_default_na=False, na_values=[""], dtype={"observation": str})
