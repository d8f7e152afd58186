"""Marks and texts within the panels of figures."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from dlas.analysis.columns import LATENCY
from dlas.analysis.style import GREY, Looks, face
from dlas.status import OK


def intervals(
    axis: Axes,
    rows: pd.DataFrame,
    at: Sequence[float],
    names: Sequence[str] = LATENCY,
    **look: Any,
) -> None:
    """Draw estimates along x with their intervals.

    Marks of rows with widened arithmetic are pale.

    Parameters
    ----------
    axis : Axes
        The panel.
    rows : DataFrame
        The estimates; a column `status` is optional.
    at : sequence of float
        The y coordinate of each row.
    names : sequence of str
        The columns of the estimate and its lower and upper limit.
    **look
        Keywords of `Axes.errorbar`, among them `color`.
    """
    style: dict[str, Any] = {
        "linestyle": "",
        "markersize": 4.2,
        "elinewidth": 0.8,
        "capsize": 1.5,
        "capthick": 0.8,
    }
    fillstyle = look.get("fillstyle", "full")
    status = rows["status"] if "status" in rows else pd.Series(OK, rows.index)
    for kind in status.unique():
        some, heights = rows[status == kind], np.asarray(at, float)[(status == kind).to_numpy()]
        centre, low, high = (some[name].to_numpy(float) for name in names)
        error = np.clip(np.nan_to_num([centre - low, high - centre]), 0, None)
        axis.errorbar(
            centre, heights, xerr=error, **style | look | face(look["color"], kind, fillstyle)
        )


def configurations(
    axis: Axes,
    looks: Looks,
    rows: pd.DataFrame,
    at: Sequence[float],
    names: Sequence[str] = LATENCY,
    **look: Any,
) -> None:
    """Draw the `intervals` of configurations in the looks of their methods.

    Configurations of one look are one artist. A figure with an artist for each takes several times
    as long.
    """
    heights = pd.Series(at, rows.index, dtype=float)
    kinds = ["compression", "primitive", "format", "tuning"]
    for (compression, primitive, weight_format, tuning), alike in rows.groupby(kinds, sort=False):
        own = {
            "color": looks.colour(compression),
            "marker": looks.marker(primitive),
            "fillstyle": looks.fill(tuning),
            **looks.edge(weight_format),
        }
        intervals(axis, alike, heights[alike.index], names, **own, **look)


def peers(axis: Axes, looks: Looks, rows: pd.DataFrame, low: float, high: float) -> None:
    """Draw the latency of each peer as an upright line behind all marks.

    Parameters
    ----------
    axis : Axes
        The panel.
    looks : Looks
        Lines of the runtimes.
    rows : DataFrame
        Rows of peers.csv.
    low, high : float
        y coordinates of the ends of the lines.
    """
    for peer in rows.itertuples():
        axis.vlines(peer.latency_ms, low, high, zorder=1.5, **looks.runtime(peer.runtime))


def no_level(axis: Axes, height: float, colour: str) -> None:
    """Mark at the left end of a row that no level of a compression was within the tolerance.

    Parameters
    ----------
    axis : Axes
        The panel.
    height : float
        The y coordinate of the row.
    colour : str
        The colour of the compression.
    """
    where = axis.get_yaxis_transform()
    look: dict[str, Any] = {"color": colour, "markersize": 3, "clip_on": False}
    axis.plot(0.025, height, "x", transform=where, **look)


def absent(axis: Axes, height: float, text: str = "not measured") -> None:
    """Write in a row why it has no data in this panel.

    Parameters
    ----------
    axis : Axes
        The panel.
    height : float
        The y coordinate of the row.
    text : str
        The reason.
    """
    axis.text(
        0.5,
        height,
        text,
        transform=axis.get_yaxis_transform(),
        color=GREY,
        fontsize=6,
        ha="center",
        va="center",
        # The outline keeps the lines of the axis apart from the text.
        path_effects=[withStroke(linewidth=2, foreground="white")],
    )


def note(axis: Axes, text: str) -> None:
    """Write in an otherwise empty panel why it is empty, without ticks."""
    axis.set_xticks([])
    axis.set_yticks([])
    axis.text(
        0.5,
        0.5,
        textwrap.fill(text, 22, break_on_hyphens=False),
        ha="center",
        va="center",
        transform=axis.transAxes,
        color=GREY,
    )


def not_measured(axis: Axes, text: str = "not measured") -> None:
    """Write in a panel that shares its axes with others why it is empty."""
    axis.text(0.5, 0.5, text, transform=axis.transAxes, ha="center", color=GREY)


def remark(axis: Axes, height: float, text: str, strong: bool) -> None:
    """Write a short result at the right end of a row.

    Parameters
    ----------
    axis : Axes
        The panel.
    height : float
        The y coordinate of the row.
    text : str
        The result.
    strong : bool
        Whether the result is clear: it is bold then, and grey otherwise.
    """
    axis.text(
        0.985,
        height,
        text,
        transform=axis.get_yaxis_transform(),
        ha="right",
        va="center",
        fontsize=5.8,
        fontweight="bold" if strong else "normal",
        color="#202020" if strong else GREY,
    )


def name_points(
    axis: Axes,
    points: Sequence[tuple[float, float]],
    names: Sequence[str],
    panel: tuple[float, float] = (105.0, 85.0),
    others: Sequence[tuple[float, float]] = (),
    gap: float = 4.0,
) -> None:
    """Write a name of two lines beside each point, where it covers least of points and other names.

    The names are placed one after another, each at the cheapest of its possible places.

    Parameters
    ----------
    axis : Axes
        The panel, with its final limits and scales.
    points : sequence of (float, float)
        The points in data coordinates.
    names : sequence of str
        The name of each point.
    panel : (float, float)
        Width and height of the panel in points of print, roughly.
    others : sequence of (float, float)
        Points without a name, which are not to be covered either.
    gap : float
        Points of print between a name and the middle of its mark.
    """

    def place(point: tuple[float, float]) -> np.ndarray:
        return axis.transAxes.inverted().transform(axis.transData.transform(point)) * panel

    taken = [(*place(point) - 3, *place(point) + 3) for point in (*points, *others)]
    for point, name in zip(points, names, strict=True):
        x, y = place(point)
        width, height = 3.4 * max(map(len, name.splitlines())), 6.5 * len(name.splitlines())
        options = [
            (x + gap if side == 1 else x - gap - width, y + shift - height / 2, side, shift)
            for shift in sorted(range(-16, 17, 2), key=abs)
            for side in (1, -1)
        ]

        def cost(option: tuple[float, float, int, int]) -> float:
            left, bottom, _, shift = option
            box = (left, bottom, left + width, bottom + height)  # noqa: B023 (used in this turn only)
            outside = max(0, -left, box[2] - panel[0]) + max(0, -bottom, box[3] - panel[1])
            return sum(_overlap(box, other) for other in taken) + 10 * outside + 0.5 * abs(shift)

        left, bottom, side, shift = min(options, key=cost)
        taken.append((left, bottom, left + width, bottom + height))
        text = axis.annotate(
            name,
            point,
            (gap * side, shift),
            textcoords="offset points",
            ha="left" if side == 1 else "right",
            va="center",
            fontsize=5.8,
            linespacing=0.95,
        )
        text.set_path_effects([withStroke(linewidth=1.5, foreground="white")])


def size_in_points(axis: Axes) -> tuple[float, float]:
    """Return the width and height in points of a panel whose figure has been drawn."""
    box, points = axis.get_window_extent(), 72 / axis.figure.dpi
    return box.width * points, box.height * points


def _overlap(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the common area of two boxes (left, bottom, right, top)."""
    sides = [
        min(first[axis + 2], second[axis + 2]) - max(first[axis], second[axis]) for axis in (0, 1)
    ]
    return max(0.0, sides[0]) * max(0.0, sides[1])
