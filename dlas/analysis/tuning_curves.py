"""What the search for schedules finds, and when: all tuning curves in one table, and as a figure."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dlas.analysis import figures
from dlas.analysis.table import CONFIGURATION

COLUMNS = 4  # of panels


def relative(curves: pd.DataFrame) -> pd.DataFrame:
    """Return the trials since every layer has a time, with `share`: the network's over that with default schedules.

    The first time of each layer is that of its default schedule.
    """
    timed = curves.dropna(subset=["network_ms"]).sort_values("trial", kind="stable")
    first = timed.groupby(CONFIGURATION)["network_ms"].transform("first")
    return timed.assign(share=timed["network_ms"] / first)


@figures.style()
def draw(curves: pd.DataFrame) -> Figure:
    """Return the time of each network's layers over the trials of its search, one panel for each network and platform.

    It is relative to the default schedules. A line ends with the mark of its primitive.
    """
    platforms = figures.ordered(curves["platform"], figures.NAMES)
    lines = [
        (platform, networks[start : start + COLUMNS])
        for platform in platforms
        for here in [curves[curves["platform"] == platform]]
        for networks in [sorted(set(zip(here["dataset"], here["model"], strict=True)))]
        for start in range(0, len(networks), COLUMNS)
    ]
    figure = Figure(
        figsize=(figures.PAGE_INCHES, 0.8 + 1.75 * max(1, len(lines))), layout="constrained"
    )
    FigureCanvasAgg(figure)
    width = max((len(networks) for _, networks in lines), default=1)
    axes = figure.subplots(max(1, len(lines)), width, squeeze=False, sharey=True)
    if curves.empty:
        figures.note(axes[0, 0], "no configuration was auto-scheduled")
        return figure
    shares = relative(curves)
    for row, (platform, networks) in zip(axes, lines, strict=True):
        row[0].set_ylabel(f"{figures.label(platform)}\nlatency / default schedules")
        for axis in row[len(networks) :]:
            axis.set_axis_off()
        for axis, (dataset, model) in zip(row, networks, strict=False):
            axis.set_title(f"{figures.label(model)}, {figures.label(dataset)}")
            here = (shares["dataset"] == dataset) & (shares["model"] == model)
            _panel(axis, shares[here & (shares["platform"] == platform)])
    for column in range(width):
        lowest = max(line for line, (_, networks) in enumerate(lines) if column < len(networks))
        axes[lowest, column].set_xlabel("trials")
    figures.log_axis(axes[0, 0].yaxis, min([*shares["share"], 0.9]), 1)
    _legend(figure, curves)
    return figure


def _panel(axis: Axes, shares: pd.DataFrame) -> None:
    axis.axhline(1, color=figures.GREY, linewidth=0.6, zorder=0)
    if shares.empty:
        axis.text(
            0.5,
            0.5,
            "some layer has no time",
            transform=axis.transAxes,
            ha="center",
            color=figures.GREY,
        )
    for (compression, primitive, format), curve in shares.groupby(
        ["compression", "primitive", "format"]
    ):
        look: dict[str, Any] = {"color": figures.colour(compression)}
        steps = curve[(curve["share"] != curve["share"].shift()).to_numpy() | _last(curve)]
        axis.plot(steps["trial"], steps["share"], drawstyle="steps-post", linewidth=0.8, **look)
        mark: dict[str, Any] = {"marker": figures.marker(primitive), "linestyle": ""}
        look |= {"fillstyle": figures.fill("auto_scheduled"), **figures.edge(format)}
        axis.plot(steps["trial"].iloc[-1:], steps["share"].iloc[-1:], zorder=3, **mark, **look)
    axis.set_xlim(left=0)
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def _last(curve: pd.DataFrame) -> np.ndarray:
    return np.arange(len(curve)) == len(curve) - 1


def _legend(figure: Figure, curves: pd.DataFrame) -> None:
    compressions = figures.ordered(curves["compression"], figures.COLOURS)
    primitives = figures.ordered(curves["primitive"], figures.MARKERS)
    formats = figures.ordered(curves["format"], figures.EDGES)
    figures.legend_below(
        figure,
        figures.handles("compression", compressions),
        figures.handles("primitive", primitives)
        + figures.handles("format", formats if len(formats) > 1 else []),
    )
