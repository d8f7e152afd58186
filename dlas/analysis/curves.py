"""Figures of the accuracy of networks under compression."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from dlas.analysis import marks, panels, statistics
from dlas.analysis.columns import MODEL
from dlas.analysis.style import DARK, GREY, Looks, style

# Panels in a line.
COLUMNS = 4
BAND = "#E4E7EB"
RING: dict[str, Any] = {"fillstyle": "none", "markeredgewidth": 1.0}
# Pipelines with the same first step share its colour and differ in their dashes.
DASHES: tuple[Any, ...] = ("--", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (9, 2)))
# Percentage points of change: the axis is linear up to here, and logarithmic beyond.
LINEAR = 2.0


def draw_reach(axis: Axes, looks: Looks, rows: pd.DataFrame, height: float) -> None:
    """Draw the compression that ladders reach along x, with an arrow for a lower bound.

    Parameters
    ----------
    axis : Axes
        The panel.
    looks : Looks
        Colours of the compressions.
    rows : DataFrame
        Rows of `reach.Reaches.table`.
    height : float
        Their common y coordinate.
    """
    for row in rows.itertuples():
        colour = looks.colour(row.compression)
        one = rows.loc[[row.Index]]
        marks.intervals(axis, one, [height], ("factor", "low", "high"), color=colour, marker="o")
        if row.bound:
            axis.annotate(
                "",
                (row.factor, height),
                (14, 0),
                textcoords="offset points",
                arrowprops={"arrowstyle": "<-", "color": colour, "shrinkA": 0, "shrinkB": 3},
            )


def right_end(rows: pd.DataFrame) -> float:
    """Return the right end of an axis that holds rows of `reach.Reaches.table` and their arrows."""
    arrows = 2 * rows.loc[rows["bound"], "factor"]
    return float(max([2, *(1.1 * rows["high"]), *arrows]))


def bound_handle() -> Line2D:
    """Return the legend entry of a lower bound."""
    return Line2D(
        [],
        [],
        color=DARK,
        linestyle="",
        marker=r"$\rightarrow$",
        markersize=7,
        markeredgewidth=0.2,
        label="at least",
    )


@style()
def draw(curves: pd.DataFrame, tolerance: float, looks: Looks) -> Figure:
    """Return the figure of top-1 over compression, one panel for each network.

    Both are relative to the uncompressed network: top-1 in percentage points of the same split,
    compression in bytes of the stored model. A pipeline has the colour of its first step and
    dashes, beside the curve without the further steps.

    Parameters
    ----------
    curves : DataFrame
        accuracy_curves.csv.
    tolerance : float
        Percentage points of validation top-1 that a chosen level was allowed to lose.
    looks : Looks
        Labels, order and colours of the methods.
    """
    if curves.empty:
        return panels.empty(looks, [], "no accuracy curve was measured")[0]
    curves = relative(curves)
    lines = [
        (dataset, models[start : start + COLUMNS])
        for dataset in looks.ordered("dataset", curves["dataset"])
        for group in [curves[curves["dataset"] == dataset]]
        for models in [looks.ordered("model", group["model"])]
        for start in range(0, len(models), COLUMNS)
    ]
    legend = _compressions(curves, looks)
    height = 0.6 + 1.75 * len(lines) + 0.15 * len(legend)
    figure = Figure(figsize=(panels.PAGE_INCHES, height), layout="constrained")
    FigureCanvasAgg(figure)
    width = max(len(models) for _, models in lines)
    axes = figure.subplots(len(lines), width, squeeze=False, sharex=True, sharey=True)
    for row, (dataset, models) in zip(axes, lines, strict=True):
        row[0].set_ylabel(f"{looks.label(dataset)}\nchange of top-1 (points)")
        for axis in row[len(models) :]:
            axis.set_axis_off()
        for axis, model in zip(row, models, strict=False):
            here = curves[(curves["dataset"] == dataset) & (curves["model"] == model)]
            baseline = here.loc[here["compression"] == "none", "top1"].iloc[0]
            axis.set_title(f"{looks.label(model)}, {baseline:.1f} %")
            _panel(axis, here, tolerance, looks)
    for column in range(width):
        lowest = max(line for line, (_, models) in enumerate(lines) if column < len(models))
        axes[lowest, column].set_xlabel("compression (stored bytes)")
        axes[lowest, column].tick_params(labelbottom=True)
    _scales(axes[0, 0], curves)
    panels.legend_below(figure, *legend, _entries(tolerance))
    return figure


def _look(looks: Looks, compression: str) -> dict[str, Any]:
    """Return the line of a compression's curve: colour of the first step, dashes for pipelines."""
    steps = looks.steps(compression)
    if len(steps) == 1:
        return {"color": looks.colour(compression)}
    alike = [
        name
        for name in looks.ordered("compression", looks.methods["compression"])
        if len(looks.steps(name)) > 1 and looks.steps(name)[0] == steps[0]
    ]
    dashes = DASHES[alike.index(compression) % len(DASHES)]
    return {"color": looks.colour(steps[0]), "linestyle": dashes}


def _compressions(curves: pd.DataFrame, looks: Looks) -> list[list[Line2D]]:
    """Return the legend entries of the techniques and of the pipelines, in rows."""
    names = looks.ordered("compression", curves["compression"])
    alone = [name for name in names if len(looks.steps(name)) == 1]
    lines = [
        Line2D([], [], label=looks.label(name), **_look(looks, name))
        for name in names
        if name not in alone
    ]
    techniques = looks.handles("compression", alone)
    # The names of pipelines are long.
    return [*_rows(techniques, 4 if lines else 5), *_rows(lines, 3)]


def _rows(entries: list[Line2D], length: int) -> list[list[Line2D]]:
    """Return entries in rows of at most this length."""
    return [entries[start : start + length] for start in range(0, len(entries), length)]


def relative(curves: pd.DataFrame) -> pd.DataFrame:
    """Return the curves relative to the uncompressed network.

    Parameters
    ----------
    curves : DataFrame
        accuracy_curves.csv.

    Returns
    -------
    DataFrame
        The levels that could be made, with further columns. `factor` is the bytes of the
        uncompressed model over those of the level. `change` and `validation_change` are changes of
        top-1 on the test and the validation split, `error` is the standard error of the test top-1,
        all in percentage points.
    """
    curves = curves.dropna(subset=["top1"])
    baseline = curves[curves["compression"] == "none"].set_index(MODEL)
    of = baseline.reindex(pd.MultiIndex.from_frame(curves[MODEL]))
    images = curves.groupby("dataset")["top1"].transform(statistics.fewest_images)
    return curves.assign(
        factor=of["model_bytes"].to_numpy() / curves["model_bytes"],
        change=curves["top1"] - of["top1"].to_numpy(),
        error=np.sqrt(curves["top1"] * (100 - curves["top1"]) / images),
        validation_change=curves["validation_top1"] - of["validation_top1"].to_numpy(),
    )


def _panel(axis: Axes, curves: pd.DataFrame, tolerance: float, looks: Looks) -> None:
    axis.axhspan(-tolerance, 0, color=BAND, linewidth=0, zorder=0)
    axis.axhline(0, color=GREY, linewidth=0.6, zorder=0)
    for rank, compression in enumerate(looks.ordered("compression", curves["compression"])):
        curve = curves[curves["compression"] == compression].sort_values("level")
        line = _look(looks, compression)
        look = {"color": line["color"]}
        if len(curve) > 1:
            axis.plot(curve["factor"], curve["change"], **line)
            if line == look:
                axis.plot(curve["factor"], curve["validation_change"], ":", linewidth=0.8, **look)
            chosen = curve[curve["chosen"]]
            # Rings differ in size, as two chosen levels may coincide.
            ring = {**look, **RING, "markersize": 7 + 1.5 * (rank % 2)}
            axis.plot(chosen["factor"], chosen["change"], "o", **ring)
            # Level 0 is drawn as another compression: none, or a pipeline's other step alone.
            curve = curve[curve["level"] != 0]
        axis.errorbar(
            curve["factor"],
            curve["change"],
            yerr=curve["error"],
            fmt="o",
            markersize=3,
            elinewidth=0.7,
            zorder=3,
            **look,
        )


def _scales(axis: Axes, curves: pd.DataFrame) -> None:
    panels.log_axis(axis.xaxis, min(curves["factor"].min(), 1), max(curves["factor"].max(), 2))
    low = min((curves["change"] - curves["error"]).min(), curves["validation_change"].min(), -2)
    high = max((curves["change"] + curves["error"]).max(), curves["validation_change"].max(), 1)
    axis.set_yscale("symlog", linthresh=LINEAR, linscale=1.2)
    axis.set_ylim(1.25 * low, 1.25 * high)
    ticks = [tick for tick in (5, 2, 0, -2, -5, -10, -20, -50, -100) if low <= tick <= high]
    axis.yaxis.set_major_locator(FixedLocator(ticks))
    axis.yaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+g}" if value else "0"))


def _entries(tolerance: float) -> list[Artist]:
    test, chosen = "test split, \N{PLUS-MINUS SIGN}1 standard error", "chosen on validation"
    grey: dict[str, Any] = {"color": DARK}
    return [
        Line2D([], [], marker="o", markersize=3, label=test, **grey),
        Line2D([], [], linestyle=":", label="validation split", **grey),
        Line2D([], [], linestyle="", marker="o", markersize=7, label=chosen, **RING, **grey),
        Patch(color=BAND, label=f"tolerance: {tolerance:g} point{'s' * (tolerance != 1)}"),
    ]
