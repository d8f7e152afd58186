"""What the search for schedules finds, and when: all tuning curves in one table, and as a figure."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dlas.analysis import marks, panels
from dlas.analysis.columns import CONFIGURATION, MODEL, VARIANT
from dlas.analysis.style import GREY, Looks, style

COLUMNS = 4  # of panels


def relative(curves: pd.DataFrame) -> pd.DataFrame:
    """Return the trials since every layer has a time, with `share`: the network's over that with default schedules.

    The first time of each layer is that of its default schedule.
    """
    timed = curves.dropna(subset=["network_ms"]).sort_values("trial", kind="stable")
    first = timed.groupby(CONFIGURATION)["network_ms"].transform("first")
    return timed.assign(share=timed["network_ms"] / first)


@style()
def draw(curves: pd.DataFrame, looks: Looks) -> Figure:
    """Return the time of each network's layers over the trials of its search, one panel for each network and platform.

    It is relative to the default schedules. A line ends with the mark of its primitive.
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
        marks.note(axes[0, 0], "no configuration was auto-tuned")
        return figure
    shares = relative(curves)
    for row, (platform, networks) in zip(axes, lines, strict=True):
        row[0].set_ylabel(f"{looks.label(platform)}\nlatency / default schedules")
        for axis in row[len(networks) :]:
            axis.set_axis_off()
        for axis, (dataset, model) in zip(row, networks, strict=False):
            axis.set_title(f"{looks.label(model)}, {looks.label(dataset)}")
            here = (shares["dataset"] == dataset) & (shares["model"] == model)
            _panel(axis, looks, shares[here & (shares["platform"] == platform)])
    for column in range(width):
        lowest = max(line for line, (_, networks) in enumerate(lines) if column < len(networks))
        axes[lowest, column].set_xlabel("trials")
    panels.log_axis(axes[0, 0].yaxis, min([*shares["share"], 0.9]), 1)
    panels.legend_below(
        figure, looks.legend(curves, "compression"), looks.legend(curves, "primitive", "format")
    )
    return figure


def _panel(axis: Axes, looks: Looks, shares: pd.DataFrame) -> None:
    axis.axhline(1, color=GREY, linewidth=0.6, zorder=0)
    if shares.empty:
        marks.not_measured(axis, "some layer has no time")
    for (compression, primitive, format, tuning), curve in shares.groupby(VARIANT):
        look: dict[str, Any] = {"color": looks.colour(compression)}
        steps = curve[(curve["share"] != curve["share"].shift()).to_numpy() | _last(curve)]
        axis.plot(steps["trial"], steps["share"], drawstyle="steps-post", linewidth=0.8, **look)
        mark: dict[str, Any] = {"marker": looks.marker(primitive), "linestyle": ""}
        look |= {"fillstyle": looks.fill(tuning), **looks.edge(format)}
        axis.plot(steps["trial"].iloc[-1:], steps["share"].iloc[-1:], zorder=3, **mark, **look)
    axis.set_xlim(left=0)
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def _last(curve: pd.DataFrame) -> np.ndarray:
    return np.arange(len(curve)) == len(curve) - 1
