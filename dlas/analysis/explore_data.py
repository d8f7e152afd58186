"""Data that results/explore.html embeds: rows, raw samples, and looks of methods.

Arrays are base64 of their little-endian bytes. They load in a tenth of the time of JSON numbers and
take a third of their size.
"""

import base64
from collections.abc import Iterable
from itertools import cycle, islice
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from dlas import status
from dlas.analysis.columns import LATENCY
from dlas.analysis.effects import rounds_of
from dlas.analysis.observation import floors
from dlas.analysis.rows import STUDY_COLUMNS
from dlas.analysis.style import Looks, palette

# The layers of the stack from the hardware up, as the page lists them.
LAYERS = {
    "platform": "Platform",
    "dataset": "Dataset",
    "model": "Model",
    "compression": "Compression",
    "primitive": "Primitive",
    "format": "Format",
    "tuning": "Tuning",
    "dtype": "Type",
    "status": "Status",
}
# Columns that can be an axis.
AXES = {
    "top1": "Accuracy: top-1 (%)",
    "top1_compiled": "Accuracy, compiled: top-1 (%)",
    "latency_ms": "Latency (ms)",
    "model_bytes": "Model size (bytes)",
    "library_bytes": "Library size (bytes)",
    "macs": "MACs",
    "params": "Parameters",
    "nonzero_params": "Non-zero parameters",
    "gflops": "Speed (10^9 operations/s)",
    "peak_fraction": "Fraction of the peak",
}
TITLES = {
    **LAYERS,
    **AXES,
    "level": "Level",
    "scheduled_layers": "Scheduled layers",
    "primitive_layers": "Primitive layers",
    "latency_ms_low": "Latency, low (ms)",
    "latency_ms_high": "Latency, high (ms)",
    "repeats": "Samples",
    "threads": "Threads",
    "native": "Native",
}
# The first columns of the table.
FIRST = (*list(LAYERS)[:-1], "level", *LATENCY, "top1", "status")
STATUSES = (status.OK, status.WIDENED, status.SIMULATED, *status.KINDS)
TEXTS = (*LAYERS, "native")

# Bokeh's names of matplotlib's markers. explore.js knows their shapes.
MARKERS = {
    "o": "circle",
    "s": "square",
    "^": "triangle",
    "v": "inverted_triangle",
    "D": "diamond",
    "*": "star",
    "P": "plus",
    "h": "hex",
    "x": "x",
    "+": "cross",
}


def content(
    study: pd.DataFrame, noise_floor: pd.DataFrame, samples: pd.DataFrame, looks: Looks
) -> dict[str, Any]:
    """Return the data of the page as values that JSON has.

    Parameters
    ----------
    study, noise_floor, samples : DataFrame
        study.csv, noise_floor.csv and samples.csv.gz, see docs/reference/columns.md.
    looks : Looks
        Labels, order and looks of the methods.

    Returns
    -------
    dict
        "columns" has one entry for each column of study.csv, in its order: its "name" and "title",
        and either "numbers", float64 [rows], or "codes", int32 [rows], that index its "names" and
        "labels". "layers" has one entry for each layer: "kinds" maps a code of its column to an
        index of its "labels", "colours" and "markers". "measured", uint8 [rows], marks the rows
        that are points. "latencies", float32 [rows, "rounds"], is in ms, with NaN where there is no
        sample; rows of equal "jobs", int32 [rows], are pairs in each round. "floors", float64
        [rows], is the noise floor of the row's platform and dataset. "axes", "table" and "tooltip"
        are names of columns.
    """
    columns = [_column(study, name, looks) for name in STUDY_COLUMNS]
    by_name = {column["name"]: column for column in columns}
    floor = floors(noise_floor)
    places = study[["platform", "dataset"]].itertuples(index=False, name=None)
    latencies, jobs = _rounds(study, samples)
    return {
        "columns": columns,
        "layers": [_layer(name, by_name[name]["names"], looks) for name in LAYERS],
        "axes": list(AXES),
        "table": list(dict.fromkeys((*FIRST, *STUDY_COLUMNS))),
        "tooltip": [*FIRST, "model_bytes", "macs", "peak_fraction"],
        "rows": len(study),
        "measured": _packed(study["status"].isin(status.MEASURED), np.uint8),
        "rounds": latencies.shape[1],
        "latencies": _packed(latencies, np.float32),
        "jobs": _packed(jobs, np.int32),
        "floors": _packed([floor.get(place, np.nan) for place in places], np.float64),
    }


def _rounds(study: pd.DataFrame, samples: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the latencies of each row in ms, [rows, rounds], and its timing job."""
    if study.empty or samples.empty:
        return np.empty((len(study), 0)), np.zeros(len(study))
    rounds = rounds_of(study, samples)
    return np.exp(rounds.log), rounds.job


def _column(study: pd.DataFrame, name: str, looks: Looks) -> dict[str, Any]:
    column = {"name": name, "title": TITLES.get(name, name.replace("_", " ").capitalize())}
    if name not in TEXTS and pd.api.types.is_numeric_dtype(study[name]):
        return column | {"numbers": _packed(study[name], np.float64)}
    texts = study[name].astype(object).where(study[name].notna(), "").astype(str)
    names = _ordered(name, texts, looks)
    codes = texts.map({text: code for code, text in enumerate(names)})
    labels = [looks.label(text) if name in looks.methods else text for text in names]
    return column | {"names": names, "labels": labels, "codes": _packed(codes, np.int32)}


def _ordered(kind: str, texts: Iterable[str], looks: Looks) -> list[str]:
    """Return distinct texts in the order of their methods or statuses."""
    found = looks.ordered(kind, texts)
    if kind == "status":
        places = {one: place for place, one in enumerate(STATUSES)}
        found.sort(key=lambda text: places.get(status.kind(text), len(places)))
    return found


def _layer(kind: str, names: list[str], looks: Looks) -> dict[str, Any]:
    """Return the look of each value of a layer; a kind of status is one value."""
    values = [status.kind(name) if kind == "status" else name for name in names]
    shown = list(dict.fromkeys(values))
    colours, markers = palette(len(shown)), list(islice(cycle(MARKERS.values()), len(shown)))
    if kind == "compression":
        colours = [looks.colour(value) for value in shown]
    if kind == "primitive":
        # Bokeh may lack the marker that a plugin describes.
        own = [MARKERS.get(str(looks.marker(value))) for value in shown]
        every = list(MARKERS.values())
        free = cycle([marker for marker in every if marker not in own] or every)
        markers = [marker or next(free) for marker in own]
    return {
        "name": kind,
        "title": LAYERS[kind],
        "kinds": [shown.index(value) for value in values],
        "labels": [looks.label(value) if kind in looks.methods else value for value in shown],
        "colours": colours,
        "markers": markers,
    }


def _packed(values: npt.ArrayLike, dtype: npt.DTypeLike) -> str:
    """Return an array's little-endian bytes as base64."""
    array = np.asarray(values, np.dtype(dtype).newbyteorder("<"))
    return base64.b64encode(array.tobytes()).decode()
