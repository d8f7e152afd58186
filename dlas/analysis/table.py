"""Tables of the study as files: assembled from rows, written and read."""

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dlas.analysis.answers import from_correct_table
from dlas.analysis.answers import read as read_answers
from dlas.analysis.columns import CONFIGURATION
from dlas.analysis.effects import rounds_of
from dlas.analysis.observation import NUMBERS, Accuracy, Module, Observation, Tables
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
# They are empty for a network that could not be made.
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
    """Return the table of tuning_curves.csv.

    Parameters
    ----------
    configurations : sequence of mapping
        The configurations that were searched.
    curves : sequence of DataFrame
        TUNING_CURVE of each one.
    """
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

    Parameters
    ----------
    configurations : sequence of mapping
        The configurations that were searched.
    records : sequence of mapping
        The record of each search, with the result of each layer under "layers".

    Returns
    -------
    DataFrame
        CONFIGURATION and TUNING_LAYERS; a value that a layer lacks is empty.
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
    """Return the table of accuracy_curves.csv.

    Parameters
    ----------
    networks : sequence of mapping
        The dataset, model and compression of each curve.
    curves : sequence of DataFrame
        CURVE_COLUMNS of `dlas.compression.elbow` of each network.
    """
    named = [
        curve.assign(**{name: network[name] for name in ("dataset", "model", "compression")})
        for network, curve in zip(networks, curves, strict=True)
    ]
    table = pd.concat(named, ignore_index=True)[CURVES_COLUMNS]
    return table.astype(dict.fromkeys(SIZES, "Int64"))


def observation_row(record: Mapping[str, Any], claim: Mapping[str, str]) -> dict[str, Any]:
    """Return one row of observations.csv.

    Parameters
    ----------
    record : mapping
        The record of `observation_record`.
    claim : mapping of str to str
        The claim and its origin, see `dlas.study.descriptions.claim`.
    """
    return {name: {**claim, **record}[name] for name in OBSERVATION_COLUMNS}


def observation_record(number: str, module: Module, observation: Observation) -> dict[str, Any]:
    """Return an observation as values that JSON has, with its number, rule and version of the rule.

    Parameters
    ----------
    number : str
        The observation's number, e.g. "07".
    module : Module
        The module of the observation.
    observation : Observation
        The observation, as its module returned it.
    """
    rule = " ".join(module.RULE.split())
    version = {"rule_version": module.RULE_VERSION, "rule": rule}
    return {"observation": number, **version, **observation.record()}


def observations_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return observations.csv's table from its rows."""
    numbers = dict.fromkeys(NUMBERS, float)
    return pd.DataFrame(list(rows), columns=OBSERVATION_COLUMNS).astype(numbers)


def write_table(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, atomically; equal tables are equal files.

    Parameters
    ----------
    path : path
        A path that ends in .gz is compressed.
    table : DataFrame
        Missing values are empty cells.

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
            # The archive has no file name and no time.
            with open(temporary, "wb") as file, gzip.GzipFile("", "wb", 9, file, 0) as packed:
                table.to_csv(packed, index=False, mode="wb")
        else:
            table.to_csv(temporary, index=False)


def read_tables(
    files: Any,
    groups: Mapping[str, str] | None = None,
    steps: Mapping[str, Sequence[str]] | None = None,
    bundles: Mapping[str, Mapping[str, str]] | None = None,
) -> Tables:
    """Read the input of observations.

    Parameters
    ----------
    files : object
        Has the paths as attributes: study, noise_floor, curves, samples and answers.
    groups, steps : mapping, optional
        See `Tables`.
    bundles : mapping of str to mapping of str to path, optional
        By platform the tables "curves" and "correct" of its bundle. A study that made no network
        itself takes the answers of the first one.
    """
    study, answers = read_table(files.study), read_answers(files.answers)
    bundled = {
        name: Accuracy(read_table(one["curves"]), from_correct_table(read_table(one["correct"])))
        for name, one in (bundles or {}).items()
    }
    if bundled and not answers.answers:
        answers = next(iter(bundled.values())).answers
    return Tables(
        study=study,
        noise_floor=read_table(files.noise_floor),
        curves=read_table(files.curves),
        rounds=rounds_of(study, read_table(files.samples)),
        answers=answers,
        bundled=bundled,
        groups=groups or {},
        steps=steps or {},
    )


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a CSV; names such as "none" and digits such as "01" stay text."""
    return pd.read_csv(
        path, keep_default_na=False, na_values=[""], dtype={"observation": str, "correct": str}
    )
