"""Rows of the tables of the study, each from the records of its jobs."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from dlas import status
from dlas.analysis import statistics
from dlas.analysis.columns import AA_REPLICATE, MEASURED, MODEL, REFERENCE, VARIANT
from dlas.analysis.effects import effects

Record = Mapping[str, Any]

STUDY_COLUMNS = (
    "dataset model compression level primitive format dtype tuning platform params nonzero_params "
    "macs model_bytes library_bytes scheduled_layers primitive_layers top1 top1_compiled "
    "latency_ms latency_ms_low latency_ms_high repeats threads gflops peak_fraction native status"
).split()
PEERS_COLUMNS = (
    "platform dataset model runtime latency_ms latency_ms_low latency_ms_high threads status"
).split()
NOISE_FLOOR_COLUMNS = ["platform", "dataset", "model", "ratio", "low", "high"]
SAMPLES_COLUMNS = [*MODEL, "machine", "platform", *VARIANT, "role", "round", "latency_ms"]


def study_row(
    configuration: Mapping[str, str],
    summary: Record,
    target: Record,
    platform: Record,
    build: Record,
    check: Record,
    timed: str,
    samples: pd.DataFrame,
) -> dict[str, Any]:
    """Return one row of study.csv.

    Parameters
    ----------
    configuration : mapping
        The choice on each layer of the stack.
    summary, target, platform, build, check : record
        Of the network, the platform's target, the platform, the library and its check.
    timed : str
        The status of the library in its timing.
    samples : DataFrame
        The raw samples of the model on the platform.

    Returns
    -------
    dict
        The values of `STUDY_COLUMNS`. The status is the first reason of any stage against a
        measurement, from the compression of the network on. Measurements of later stages are None.
        A simulated platform has a latency, but no gflops and no peak_fraction.
    """
    row: dict[str, Any] = dict.fromkeys(STUDY_COLUMNS) | dict(configuration)
    for name in "level dtype params nonzero_params macs model_bytes top1".split():
        row[name] = summary[name]
    row["threads"] = target["threads"]
    row["native"] = target["native"][row["dtype"]]
    for name in ("library_bytes", "scheduled_layers", "primitive_layers"):
        row[name] = build.get(name)
    row["top1_compiled"] = check.get("top1_compiled")
    simulated = status.SIMULATED if platform.get("simulated") else status.OK
    stages = [*map(status.of, (summary, platform, build, check)), timed, simulated]
    row["status"] = status.combined(stages)
    if not status.ran(row["status"]):
        return row
    latencies = _measured(configuration, samples)
    if latencies.empty:
        row["status"] = status.because(status.FAILED, "no timing samples")
        return row
    if not (np.isfinite(latencies) & (latencies > 0)).all():
        row["status"] = status.because(status.FAILED, "timing samples that are not above 0 ms")
        return row
    latency = statistics.median(latencies)
    row["latency_ms"], row["latency_ms_low"], row["latency_ms_high"] = latency
    row["repeats"] = len(latencies)
    if row["status"] == status.SIMULATED:
        return row
    # Kernels of sparse formats skip zeros.
    done = summary["macs" if configuration["format"] == "dense" else "nonzero_macs"]
    row["gflops"] = 2 * done / latency.estimate / 1e6
    if platform["peak_gflops"] is not None:
        row["peak_fraction"] = row["gflops"] / platform["peak_gflops"][row["dtype"]]
    return row


def _measured(configuration: Mapping[str, str], samples: pd.DataFrame) -> pd.Series:
    chosen = samples["role"] == MEASURED
    for name in VARIANT:
        chosen &= samples[name] == configuration[name]
    return samples.loc[chosen, "latency_ms"]


def peer_rows(
    place: Mapping[str, str], threads: int, samples: pd.DataFrame, statuses: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return the rows of peers.csv of a model on a platform, one for each peer.

    Parameters
    ----------
    place : mapping
        The "platform", "dataset" and "model".
    threads : int
        The platform's number of threads.
    samples : DataFrame
        The raw samples of the model on the platform.
    statuses : mapping of str to str
        Why a peer was not timed, by its name.

    Returns
    -------
    list of dict
        The values of `PEERS_COLUMNS`.
    """
    shared = {name: place[name] for name in ("platform", "dataset", "model")}
    rows = []
    for runtime, own in samples.groupby("role"):
        if runtime not in (MEASURED, AA_REPLICATE, REFERENCE):
            latency = dict(
                zip(PEERS_COLUMNS[4:7], statistics.median(own["latency_ms"]), strict=True)
            )
            rows.append({**shared, "runtime": runtime, **latency, "status": status.OK})
    rows += [{**shared, "runtime": name, "status": reason} for name, reason in statuses.items()]
    return [dict.fromkeys(PEERS_COLUMNS) | row | {"threads": threads} for row in rows]


def noise_floor_row(place: Mapping[str, str], samples: pd.DataFrame) -> dict[str, Any] | None:
    """Return one row of noise_floor.csv: the A/A pair of a model on a platform that differs most.

    A pair is a library and its replicate. Its ratio is the replicate's latency over the library's
    in paired samples, with the 95 % interval.

    Parameters
    ----------
    place : mapping
        The "platform", "dataset" and "model".
    samples : DataFrame
        The raw samples of the model on the platform.

    Returns
    -------
    dict or None
        The values of `NOISE_FLOOR_COLUMNS`; None without a pair.
    """
    both = samples[samples["role"].isin([MEASURED, AA_REPLICATE])]
    table = both.pivot_table(index=[*VARIANT, "round"], columns="role", values="latency_ms")
    if AA_REPLICATE not in table:
        return None
    series = np.log(table[AA_REPLICATE] / table[MEASURED]).dropna().unstack("round")
    if series.empty:
        return None
    ratios = map(statistics.Interval, *effects(series.to_numpy()).interval())
    ratio = max(ratios, key=statistics.noise_floor)
    values = (place["platform"], place["dataset"], place["model"], *ratio)
    return dict(zip(NOISE_FLOOR_COLUMNS, values, strict=True))


def samples_table(
    timings: Iterable[tuple[Mapping[str, str], pd.DataFrame]],
) -> pd.DataFrame:
    """Return the table of samples.csv.gz: every raw sample of the study with its keys.

    Parameters
    ----------
    timings : iterable of (mapping, DataFrame)
        The "dataset", "model" and "machine" of each timing job, and its raw samples. The mapping
        may be empty if the samples have these columns.

    Returns
    -------
    DataFrame
        SAMPLES_COLUMNS.
    """
    named = [
        samples.assign(**{name: place[name] for name in SAMPLES_COLUMNS[:3] if name in place})[
            SAMPLES_COLUMNS
        ]
        for place, samples in timings
        if len(samples)
    ]
    return pd.concat(named, ignore_index=True) if named else pd.DataFrame(columns=SAMPLES_COLUMNS)
