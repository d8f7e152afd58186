"""The study at a glance: every latency that was measured."""

from itertools import product

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dlas.analysis import figures
from dlas.analysis.observation import distinct, measured, unreached


@figures.style()
def draw(study: pd.DataFrame) -> Figure:
    """Return the latency of every network by compression, primitive and platform, with intervals.

    A model has one line for each compression, and on it one mark for each primitive; a thin line joins them.
    """
    study = study[study["format"] == "dense"]
    rows, no_level = distinct(measured(study)), unreached(study)
    platforms = figures.ordered(study["platform"], figures.NAMES)
    compressions = figures.ordered(study["compression"], figures.COLOURS)
    tunings = figures.ordered(study["tuning"], figures.FILLS)
    lines = list(product(compressions, tunings))
    places = study[["dataset", "model"]].drop_duplicates().sort_values(["dataset", "model"])
    inches = max(0.3, 0.13 * len(lines))  # of one model
    figure, axes = figures.columns(
        platforms, height=0.9 + inches * (len(places) + 0.8), sharey=True
    )
    width, height = figure.get_size_inches()
    figure.set_size_inches(max(figures.PAGE_INCHES, width), height)
    heights = figures.rows_of(axes, places, heading=0.35)
    offsets = {
        line: 0.85 * offset for line, offset in _even(lines).items()
    }  # a gap between the models
    for axis, platform in zip(axes[0], platforms, strict=False):
        for (dataset, model), centre in heights.items():
            here = _at(rows, dataset, model, platform)
            missing = _at(no_level, dataset, model, platform)
            if here.empty:
                figures.absent(axis, centre)
            for (compression, tuning), offset in offsets.items():
                if ((missing["compression"] == compression) & (missing["tuning"] == tuning)).any():
                    figures.no_level(axis, centre + offset, compression)
                one = here[(here["compression"] == compression) & (here["tuning"] == tuning)]
                _line(axis, one, centre + offset, compression, tuning)
        if len(rows):
            figures.log_axis(
                axis.xaxis, rows["latency_ms_low"].min(), rows["latency_ms_high"].max(), fine=2.7
            )
        axis.set_xlabel("latency (ms, log scale)")
    _legend(figure, study, rows, tunings)
    return figure


def _even(lines: list[tuple[str, str]]) -> dict[tuple[str, str], float]:
    """Return an offset for each line, so that they share a row of height 1 evenly."""
    return {line: 0.5 - (index + 0.5) / len(lines) for index, line in enumerate(lines)}


def _at(rows: pd.DataFrame, dataset: str, model: str, platform: str) -> pd.DataFrame:
    return rows[
        (rows["dataset"] == dataset) & (rows["model"] == model) & (rows["platform"] == platform)
    ]


def _line(axis: Axes, rows: pd.DataFrame, height: float, compression: str, tuning: str) -> None:
    """Draw the primitives of one network at one height."""
    colour = figures.colour(compression)
    axis.hlines(
        height, rows["latency_ms"].min(), rows["latency_ms"].max(), colors=colour, linewidth=0.4
    )
    for primitive, one in rows.groupby("primitive"):
        figures.intervals(
            axis,
            one,
            [height] * len(one),
            color=colour,
            marker=figures.marker(primitive),
            fillstyle=figures.fill(tuning),
            markersize=3.2,
            elinewidth=0.6,
            capsize=1,
            capthick=0.6,
            markeredgewidth=0.5,
        )


def _legend(figure: Figure, study: pd.DataFrame, rows: pd.DataFrame, tunings: list[str]) -> None:
    first = figures.handles("compression", figures.ordered(study["compression"], figures.COLOURS))
    second = figures.handles("primitive", figures.ordered(study["primitive"], figures.MARKERS))
    if len(tunings) > 1:
        second += figures.handles("tuning", tunings)
    if (rows["status"] == "emulated").any():
        second.append(figures.emulated_handle())
    if len(unreached(study)):
        second.append(figures.no_level_handle())
    figures.legend_below(figure, first, second)
