"""The tables that everything else is drawn from: study, noise_floor, peers, accuracy_curves and observations."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dlas.analysis.observation import Observation, Tables
from dlas.analysis.rows import NOISE_FLOOR_COLUMNS, PEERS_COLUMNS, STUDY_COLUMNS, VARIANT
from dlas.compression.elbow import CURVE_COLUMNS
from dlas.files import whole

CURVES_COLUMNS = ["dataset", "model", "compression", *CURVE_COLUMNS]
OBSERVATION_COLUMNS = (
    "observation claim origin verdict statistic estimate ci_low ci_high n reason rule"
).split()
CONFIGURATION = ["dataset", "model", *VARIANT, "platform"]
TUNING_CURVE = ["trial", "layer", "latency_ms", "best_layer_ms", "network_ms"]


def study_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return study.csv's table from its rows."""
    types = {"tuned_layers": "Int64", "native": "boolean"}
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
    """Return the table of all auto-scheduled configurations and their curves, each with the columns TUNING_CURVE."""
    named = [
        curve.assign(**{name: configuration[name] for name in CONFIGURATION})
        for configuration, curve in zip(configurations, curves, strict=True)
        if len(curve)
    ]
    columns = [*CONFIGURATION, *TUNING_CURVE]
    return pd.concat(named, ignore_index=True)[columns] if named else pd.DataFrame(columns=columns)


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
    return pd.concat(named, ignore_index=True)[CURVES_COLUMNS]


def observation_row(number: str, module: Any, observation: Observation) -> dict[str, Any]:
    """Return one row of observations.csv from an observation's module and what it observed."""
    return {
        "observation": number,
        "claim": module.PLUGIN.label,
        "origin": module.PLUGIN.origin,
        "verdict": observation.verdict,
        "statistic": observation.statistic,
        "estimate": observation.estimate,
        "ci_low": observation.ci_low,
        "ci_high": observation.ci_high,
        "n": observation.n,
        "reason": observation.reason,
        "rule": " ".join(module.RULE.split()),
    }


def observations_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return observations.csv's table from its rows."""
    return pd.DataFrame(list(rows), columns=OBSERVATION_COLUMNS)


def write_table(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, whole or not at all."""
    with whole(path) as temporary:
        table.to_csv(temporary, index=False)


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table; names such as "none" and numbers such as "01" stay text."""
    return pd.read_csv(path, keep_default_na=False, na_values=[""], dtype={"observation": str})


def read_tables(study: str, noise_floor: str, curves: str) -> Tables:
    """Read what an observation reads, each from its path."""
    return Tables(read_table(study), read_table(noise_floor), read_table(curves))
