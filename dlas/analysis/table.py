"""The tables that everything else is drawn from: study, noise_floor, peers, accuracy_curves and observations."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dlas.analysis import statistics
from dlas.analysis.observation import USABLE, Observation, Tables
from dlas.compression.elbow import CURVE_COLUMNS
from dlas.errors import StudyError
from dlas.files import whole

Record = Mapping[str, Any]

STUDY_COLUMNS = (
    "dataset model compression level primitive format dtype tuning platform params nonzero_params macs model_bytes "
    "library_bytes tuned_layers top1 top1_compiled latency_ms latency_ms_low latency_ms_high repeats threads gflops "
    "peak_fraction native status"
).split()
PEERS_COLUMNS = (
    "platform dataset model runtime latency_ms latency_ms_low latency_ms_high threads"
).split()
NOISE_FLOOR_COLUMNS = ["platform", "dataset", "model", "ratio", "low", "high"]
CURVES_COLUMNS = ["dataset", "model", "compression", *CURVE_COLUMNS]
OBSERVATION_COLUMNS = (
    "observation claim origin verdict statistic estimate ci_low ci_high n reason rule"
).split()
VARIANT = ["compression", "primitive", "format", "tuning"]
CONFIGURATION = ["dataset", "model", *VARIANT, "platform"]
EMULATED = (
    "emulated processor: its times mean nothing"  # the status of rows that stand for no measurement
)
OWN = ["measured", "repeat", "reference"]  # the roles of samples that are not a peer's
TUNING_CURVE = ["trial", "layer", "latency_ms", "best_layer_ms", "network_ms"]


def study_row(
    configuration: Mapping[str, str],
    summary: Record,
    platform: Record,
    build: Record | None,
    check: Record | None,
    samples: pd.DataFrame | None,
) -> dict[str, Any]:
    """Return one row of study.csv, with the keys STUDY_COLUMNS.

    `configuration` has dataset, model, platform and VARIANT; `summary`, `platform`, `build` and `check` are the records
    of the network, the platform, the library and its check; `samples` are the raw timings of the model on the platform.
    Where the configuration could not be measured the measurements are None and `status` says why. On an emulated
    processor it is EMULATED: the latency is there, and what is made of it is None.

    Raises a StudyError for a configuration that should have been timed and has no samples.
    """
    row: dict[str, Any] = dict.fromkeys(STUDY_COLUMNS) | dict(configuration)
    for name in "level dtype params nonzero_params macs model_bytes top1".split():
        row[name] = summary[name]
    row["threads"] = platform["threads"]
    row["native"] = platform["native"][row["dtype"]]
    row["status"] = _status(platform, build, check)
    if build is not None:
        for name in ("library_bytes", "tuned_layers"):
            row[name] = build.get(name)
    if check is not None:
        row["top1_compiled"] = check.get("top1_compiled")
    if row["status"] not in USABLE:
        return row
    latencies = _measured(configuration, samples)
    if latencies.empty:
        raise StudyError(
            f"no timing samples of {' / '.join(configuration.values())}, which has the status {row['status']}"
        )
    latency = statistics.median(latencies)
    row["latency_ms"], row["latency_ms_low"], row["latency_ms_high"] = latency
    row["repeats"] = len(latencies)
    if platform.get("emulated"):
        row["status"] = EMULATED
        return row
    # CSR kernels multiply non-zeros only.
    done = summary["nonzero_macs" if configuration["format"] == "csr" else "macs"]
    row["gflops"] = 2 * done / latency.estimate / 1e6
    if platform["peak_gflops"] is not None:
        row["peak_fraction"] = row["gflops"] / platform["peak_gflops"][row["dtype"]]
    return row


def _status(*records: Record | None) -> str:
    """Return the first reason against measuring; else "emulated" if a record says so, else "ok"."""
    found = ["missing" if record is None else record.get("status", "ok") for record in records]
    reasons = [status for status in found if status not in USABLE]
    return reasons[0] if reasons else max(found, key=USABLE.index)


def _measured(configuration: Mapping[str, str], samples: pd.DataFrame | None) -> pd.Series:
    if samples is None:
        return pd.Series(dtype=float)
    chosen = samples["role"] == "measured"
    for name in VARIANT:
        chosen &= samples[name] == configuration[name]
    return samples.loc[chosen, "latency_ms"]


def study_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return study.csv's table from its rows."""
    types = {"tuned_layers": "Int64", "native": "boolean"}
    return pd.DataFrame(list(rows), columns=STUDY_COLUMNS).astype(types)


def peer_rows(
    platform: str, dataset: str, model: str, threads: int, samples: pd.DataFrame
) -> list[dict[str, Any]]:
    """Return one row of peers.csv for each peer among a model's timings on a platform, which had so many threads."""
    rows = []
    for runtime, own in samples[~samples["role"].isin(OWN)].groupby("role"):
        latency = statistics.median(own["latency_ms"])
        values = (platform, dataset, model, runtime, *latency, threads)
        rows.append(dict(zip(PEERS_COLUMNS, values, strict=True)))
    return rows


def peers_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return peers.csv's table from its rows."""
    return pd.DataFrame(list(rows), columns=PEERS_COLUMNS)


def noise_floor_row(
    platform: str, dataset: str, model: str, samples: pd.DataFrame
) -> dict[str, Any]:
    """Return one row of noise_floor.csv: the A/A pair that differs most among a model's timings on a platform.

    A pair is a library and its twin; its ratio is the median over the rounds of the twin's latency by the library's,
    with the 95 % interval. Raises a StudyError if the samples hold no pair.
    """
    both = samples[samples["role"].isin(["measured", "repeat"])]
    table = both.pivot_table(index=[*VARIANT, "round"], columns="role", values="latency_ms")
    if "repeat" not in table:
        raise StudyError(
            f"no A/A samples of {platform} / {dataset} / {model}; a timing needs at least one twin"
        )
    pairs = table.dropna().groupby(level=VARIANT)
    ratios = [statistics.median_ratio(pair["repeat"], pair["measured"]) for _, pair in pairs]
    ratio = max(ratios, key=statistics.noise_floor)
    return dict(zip(NOISE_FLOOR_COLUMNS, (platform, dataset, model, *ratio), strict=True))


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
