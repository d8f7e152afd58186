"""The Pareto front of accuracy, latency and size on every platform.

A network is a model with a compression, in its fastest configuration. It is on the front unless
another one of the data set and platform is at least as good in top-1, latency and bytes and better
in one of them. Medians and the top-1 of the test split decide without their errors: a front of
clear differences alone would leave out hardly a network. The figure draws the errors of both.
"""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dlas.analysis import choices, marks, panels, statistics
from dlas.analysis.columns import DEPLOYED
from dlas.analysis.observation import distinct, fastest, measured
from dlas.analysis.style import Looks, style

FRONT = "#404040"
# Diameters in points, of the largest model and of the smallest mark.
LARGEST_MARK, SMALLEST_MARK = 9.0, 1.8
ROW_INCHES = 2.6
# Points between a mark and the ring around it.
RING_POINTS = 2.6
# Points between the middle of a ring and a name.
NAME_POINTS = 6.5
# Rings are drawn above marks and names.
RING_ORDER = 4
RING: dict[str, Any] = {"marker": "o", "fillstyle": "none", "markeredgewidth": 0.9, "color": FRONT}


def networks(study: pd.DataFrame) -> pd.DataFrame:
    """Return the fastest configuration of each network, with its accuracy.

    Parameters
    ----------
    study : DataFrame
        study.csv.

    Returns
    -------
    DataFrame
        Rows of study.csv with three more columns. `accuracy` is the top-1 of the compiled network
        in percent, `error` its binomial standard error in percentage points. `front` says whether
        the network is on the front of its data set and platform.
    """
    rows = fastest(distinct(measured(study)), DEPLOYED)
    images = rows.groupby("dataset")["top1"].transform(statistics.fewest_images)
    accuracy = choices.top1(rows)
    rows = rows.assign(
        accuracy=accuracy, error=np.sqrt(accuracy * (100 - accuracy) / images), front=False
    )
    for _, here in rows.groupby(["platform", "dataset"]):
        rows.loc[here.index, "front"] = front(
            -here["accuracy"], here["latency_ms"], here["model_bytes"]
        )
    return rows


def front(*costs: pd.Series) -> np.ndarray:
    """Return which points are on the Pareto front.

    One point dominates another if it is nowhere worse and somewhere better.

    Parameters
    ----------
    *costs : Series
        Quantities of the points, of which less is better.

    Returns
    -------
    np.ndarray
        bool [points]: not dominated.
    """
    values = np.column_stack(costs)
    no_worse = (values[:, None] <= values).all(axis=2)
    better = (values[:, None] < values).any(axis=2)
    return np.logical_not((no_worse & better).any(axis=0))


@style()
def draw(study: pd.DataFrame, looks: Looks) -> Figure:
    """Return the figure of top-1 over latency of every network.

    There is a line of panels for each data set, and in it a panel for each platform. The area of a
    mark is the model's bytes. Networks on the front are ringed and named.

    Parameters
    ----------
    study : DataFrame
        study.csv.
    looks : Looks
        Labels, order and looks of the methods.
    """
    rows = networks(study)
    platforms, datasets = (looks.ordered(kind, study[kind]) for kind in ("platform", "dataset"))
    height = 0.75 + ROW_INCHES * len(datasets)
    lines = max(1, len(datasets))
    figure, axes = panels.columns(
        looks, platforms, lines, height, panels.PAGE_INCHES, sharex="row", sharey="row"
    )
    largest = float(rows["model_bytes"].max()) if len(rows) else 1.0
    for (line, dataset), (column, platform) in product(enumerate(datasets), enumerate(platforms)):
        axis, of_dataset = axes[line, column], rows[rows["dataset"] == dataset]
        here = of_dataset[of_dataset["platform"] == platform]
        axis.set_title(f"{looks.label(platform)}, {looks.label(dataset)}")
        if len(of_dataset):
            _scales(axis, of_dataset)
        if here.empty:
            marks.not_measured(axis)
            continue
        for row in here.sort_values("model_bytes", ascending=False).itertuples():
            _mark(axis, looks, here.loc[[row.Index]], row, largest)
        axis.set_xlabel("latency (ms, log scale)")
    for axis in axes[:, 0]:
        axis.set_ylabel("top-1 (%)")
    panels.legend_below(figure, *_legend(looks, rows, largest))
    # The layout gives the panels the size that the places of the names depend on.
    figure.draw_without_rendering()
    for (line, dataset), (column, platform) in product(enumerate(datasets), enumerate(platforms)):
        here = rows[(rows["dataset"] == dataset) & (rows["platform"] == platform)]
        _names(axes[line, column], looks, here)
    return figure


def _scales(axis: Axes, rows: pd.DataFrame) -> None:
    panels.log_axis(
        axis.xaxis, rows["latency_ms_low"].min() / 1.3, rows["latency_ms_high"].max() * 1.3
    )
    low, high = ((rows["accuracy"] + sign * rows["error"]) for sign in (-1, 1))
    axis.set_ylim(
        low.min() - 0.12 * (high.max() - low.min()), high.max() + 0.06 * (high.max() - low.min())
    )


def _across(size: float, largest: float) -> float:
    """Return the diameter of a mark in points; its area is in proportion to the bytes."""
    return max(SMALLEST_MARK, LARGEST_MARK * float(np.sqrt(size / largest)))


def _mark(axis: Axes, looks: Looks, rows: pd.DataFrame, row: Any, largest: float) -> None:
    """Draw a network with the errors of latency and top-1, ringed if it is on the front."""
    colour, size = looks.colour(row.compression), _across(row.model_bytes, largest)
    reach = [[row.accuracy - row.error], [row.accuracy + row.error]]
    axis.plot(
        [row.latency_ms] * 2, np.ravel(reach), color=colour, linewidth=0.4, alpha=0.6, zorder=1
    )
    marks.intervals(
        axis,
        rows,
        [row.accuracy],
        color=colour,
        marker=looks.marker(row.primitive),
        fillstyle=looks.fill(row.tuning),
        markersize=size,
        markeredgewidth=0.7,
        capsize=0,
        **looks.edge(row.format),
    )
    if row.front:
        axis.plot(
            row.latency_ms,
            row.accuracy,
            markersize=size + 2 * RING_POINTS,
            zorder=RING_ORDER,
            **RING,
        )


def _names(axis: Axes, looks: Looks, here: pd.DataFrame) -> None:
    """Name the networks on the front, with their size."""
    best = here[here["front"]].sort_values("latency_ms")
    marks.name_points(
        axis,
        list(best[["latency_ms", "accuracy"]].itertuples(index=False, name=None)),
        [f"{looks.label(row.model)}\n{_bytes(row.model_bytes)}" for row in best.itertuples()],
        marks.size_in_points(axis),
        list(here[["latency_ms", "accuracy"]].itertuples(index=False, name=None)),
        NAME_POINTS,
    )


def _bytes(size: float) -> str:
    """Return a size in bytes as text, in the largest unit that gives 1 or more."""
    power = min(3, int(np.log10(size) // 3))
    return f"{size / 1000**power:.3g} {('B', 'kB', 'MB', 'GB')[power]}"


def _legend(looks: Looks, rows: pd.DataFrame, largest: float) -> tuple[Sequence[Artist], ...]:
    first, second = looks.legend(rows, "compression"), looks.legend(rows, "primitive", "tuning")
    third: list[Artist] = [Line2D([], [], linestyle="", markersize=7, label="Pareto front", **RING)]
    third += [_size_handle(largest * share, largest) for share in (1, 0.1)]
    return first, second, third + looks.legend(rows, "format", "status")


def _size_handle(size: float, largest: float) -> Line2D:
    look: dict[str, Any] = {"linestyle": "", "marker": "o", "color": "#A0A0A0"}
    return Line2D([], [], markersize=_across(size, largest), label=_bytes(size), **look)
