"""The study at a glance: every latency that was measured."""

from itertools import product
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from dlas.analysis import figures
from dlas.analysis.observation import distinct, measured, unreached

LINE = ["compression", "format", "tuning"]
LINE_INCHES = 0.145  # of print, for one of them
HEADING_INCHES = 0.22
SMALL: dict[str, Any] = {
    "markersize": 2.8,
    "markeredgewidth": 0.5,
    "elinewidth": 0.6,
    "capsize": 0.8,
    "capthick": 0.6,
}


@figures.style()
def draw(study: pd.DataFrame, peers: pd.DataFrame) -> Figure:
    """Return the latency of every network by compression, format, primitive and platform, with intervals.

    A model has one line for each compression and format of its weights, and on it one mark for each primitive, a little
    lower each. A grey line over all of them is the uncompressed network in another runtime, from peers.csv.
    """
    rows, no_level = distinct(measured(study)), unreached(study)
    platforms = figures.ordered(study["platform"], figures.NAMES)
    compressions = figures.ordered(study["compression"], figures.COLOURS)
    tunings = figures.ordered(study["tuning"], figures.FILLS)
    formats = figures.ordered(study["format"], figures.EDGES)
    there = set(study[LINE].itertuples(index=False, name=None))
    lines = [line for line in product(compressions, formats, tunings) if line in there]
    places = study[["dataset", "model"]].drop_duplicates().sort_values(["dataset", "model"])
    inches = LINE_INCHES * (len(lines) + 0.8)  # of one model, with a gap to the next
    headings = HEADING_INCHES * places["dataset"].nunique()
    figure, axes = figures.columns(
        platforms, height=0.9 + inches * len(places) + headings, sharey=True
    )
    width, height = figure.get_size_inches()
    figure.set_size_inches(max(figures.PAGE_INCHES, width), height)
    heights = figures.rows_of(axes, places, heading=HEADING_INCHES / inches)
    offsets = {
        line: ((len(lines) - 1) / 2 - index) * LINE_INCHES / inches
        for index, line in enumerate(lines)
    }
    primitives = figures.ordered(study["primitive"], figures.MARKERS)
    steps = {
        primitive: ((len(primitives) - 1) / 2 - index)
        * 0.7
        / len(primitives)
        * LINE_INCHES
        / inches
        for index, primitive in enumerate(primitives)
    }
    for axis, platform in zip(axes[0], platforms, strict=False):
        for (dataset, model), centre in heights.items():
            here = _at(rows, dataset, model, platform)
            missing = _at(no_level, dataset, model, platform)
            if here.empty:
                figures.absent(axis, centre)
            reach = len(lines) / 2 * LINE_INCHES / inches
            beside = _at(peers, dataset, model, platform)
            figures.peers(axis, beside, centre - reach, centre + reach)
            for line, offset in offsets.items():
                compression, format, tuning = line
                if (missing[LINE] == list(line)).all(axis=1).any():
                    figures.no_level(axis, centre + offset, compression)
                one = here[(here[LINE] == list(line)).all(axis=1)]
                for primitive, step in steps.items():
                    look = {"color": figures.colour(compression), "fillstyle": figures.fill(tuning)}
                    look |= figures.edge(format)
                    marks = one[one["primitive"] == primitive]
                    at = [centre + offset + step] * len(marks)
                    look |= {"marker": figures.marker(primitive)}
                    figures.intervals(axis, marks, at, **look, **SMALL)
        if len(rows):
            shown = [rows["latency_ms_low"], rows["latency_ms_high"], peers["latency_ms"]]
            limits = pd.concat(shown).astype(float)
            figures.log_axis(axis.xaxis, limits.min(), limits.max(), fine=2.7)
        axis.set_xlabel("latency (ms, log scale)")
    _legend(figure, study, rows, peers, formats, tunings)
    return figure


def _at(rows: pd.DataFrame, dataset: str, model: str, platform: str) -> pd.DataFrame:
    return rows[
        (rows["dataset"] == dataset) & (rows["model"] == model) & (rows["platform"] == platform)
    ]


def _legend(
    figure: Figure,
    study: pd.DataFrame,
    rows: pd.DataFrame,
    peers: pd.DataFrame,
    formats: list[str],
    tunings: list[str],
) -> None:
    compressions = figures.ordered(study["compression"], figures.COLOURS)
    first = figures.handles("compression", compressions if len(compressions) > 1 else [])
    second = figures.handles("primitive", figures.ordered(study["primitive"], figures.MARKERS))
    if len(tunings) > 1:
        second += figures.handles("tuning", tunings)
    third = figures.handles("format", formats if len(formats) > 1 else [])
    if (rows["status"] == "emulated").any():
        third.append(figures.emulated_handle())
    if len(unreached(study)):
        third.append(figures.no_level_handle())
    figures.legend_below(figure, first, second, third, figures.peer_handles(peers["runtime"]))
