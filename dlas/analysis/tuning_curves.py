"""Figure of the searches for schedules: the speed found over the trials."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from dlas.analysis import marks, panels
from dlas.analysis.columns import MODEL, VARIANT
from dlas.analysis.style import GREY, Looks, style

# Panels in a line.
COLUMNS = 4


def relative(curves: pd.DataFrame) -> pd.DataFrame:
    """Return the trials of searches with the speed relative to the default schedules.

    Parameters
    ----------
    curves : DataFrame
        tuning_curves.csv.

    Returns
    -------
    DataFrame
        The trials from which on every layer has a time. `speed` is the network's latency with
        default schedules over that with the fastest schedules so far.
    """
    timed = curves.dropna(subset=["network_ms", "default_network_ms"])
    timed = timed.sort_values("trial", kind="stable")
    return timed.assign(speed=timed["default_network_ms"] / timed["network_ms"])


@style()
def draw(curves: pd.DataFrame, looks: Looks) -> Figure:
    """Return the figure of the speed of each search over its trials.

    There is a panel for each network and platform. Speeds are relative to the default schedules. A
    line has the style of its way to schedule, and ends with the mark of its primitive.

    Parameters
    ----------
    curves : DataFrame
        tuning_curves.csv.
    looks : Looks
        Labels, order and looks of the methods.
    """
    platforms = looks.ordered("platform", curves["platform"])
    lines = [
        (platform, networks[start : start + COLUMNS])
        for platform in platforms
        for here in [curves[curves["platform"] == platform]]
        for places in [looks.sort(here[MODEL].drop_duplicates(), MODEL)]
        for networks in [list(places.itertuples(index=False, name=None))]
        for start in range(0, len(networks), COLUMNS)
    ]
    figure = Figure(
        figsize=(panels.PAGE_INCHES, 0.8 + 1.75 * max(1, len(lines))), layout="constrained"
    )
    FigureCanvasAgg(figure)
    width = max((len(networks) for _, networks in lines), default=1)
    axes = figure.subplots(max(1, len(lines)), width, squeeze=False, sharey=True)
    if curves.empty:
        marks.note(axes[0, 0], "no configuration was searched")
        return figure
    speeds = relative(curves)
    for row, (platform, networks) in zip(axes, lines, strict=True):
        row[0].set_ylabel(f"{looks.label(platform)}\nspeed / default schedules")
        for axis in row[len(networks) :]:
            axis.set_axis_off()
        for axis, (dataset, model) in zip(row, networks, strict=False):
            axis.set_title(f"{looks.label(model)}, {looks.label(dataset)}")
            _panel(axis, looks, speeds[panels.of(speeds, platform, dataset, model)])
    for column in range(width):
        lowest = max(line for line, (_, networks) in enumerate(lines) if column < len(networks))
        axes[lowest, column].set_xlabel("trials")
    panels.log_axis(
        axes[0, 0].yaxis, min([*speeds["speed"], 1]), max([*speeds["speed"], 1.1]), fine=2.5
    )
    panels.legend_below(
        figure,
        looks.legend(curves, "compression"),
        [*looks.legend(curves, "primitive", "format"), *_searches(curves, looks)],
    )
    return figure


def _searches(curves: pd.DataFrame, looks: Looks) -> list[Line2D]:
    """Return the legend entries of the ways to schedule, in their line styles."""
    ways = looks.ordered("tuning", curves["tuning"])
    entries = looks.handles("tuning", ways)
    for entry, way in zip(entries, ways, strict=True):
        entry.set(linestyle=looks.line(way), linewidth=0.8)
    return entries


def _panel(axis: Axes, looks: Looks, speeds: pd.DataFrame) -> None:
    axis.axhline(1, color=GREY, linewidth=0.6, zorder=0)
    if speeds.empty:
        marks.not_measured(axis, "some layer has no time")
    for (compression, primitive, weight_format, tuning), curve in speeds.groupby(VARIANT):
        look: dict[str, Any] = {"color": looks.colour(compression)}
        steps = curve[(curve["speed"] != curve["speed"].shift()).to_numpy() | _last(curve)]
        line = {"drawstyle": "steps-post", "linestyle": looks.line(tuning), "linewidth": 0.8}
        axis.plot(steps["trial"], steps["speed"], **line, **look)
        mark: dict[str, Any] = {"marker": looks.marker(primitive), "linestyle": ""}
        look |= {"fillstyle": looks.fill(tuning), **looks.edge(weight_format)}
        axis.plot(steps["trial"].iloc[-1:], steps["speed"].iloc[-1:], zorder=3, **mark, **look)
    axis.set_xlim(left=0)
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def _last(curve: pd.DataFrame) -> np.ndarray:
    return np.arange(len(curve)) == len(curve) - 1
