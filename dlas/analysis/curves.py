"""The accuracy that a network keeps while it is compressed: how far pruning may go, and the curves as a figure."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from dlas.analysis import marks, panels, statistics
from dlas.analysis.columns import MODEL, NETWORK
from dlas.analysis.style import DARK, GREY, Looks, style

# Percentage points of test top-1 that an equally accurate network may lose.
LOSS = 1.0
ALLOWED = (
    f"top-1 on the test split at most {LOSS:g} point below the uncompressed network's, or one standard error of it "
    "if that is more"
)  # for the rules
FURTHER = 1.25  # a smaller ratio of two compressions may come from the spacing of the levels
RESAMPLES = 500
COLUMNS = 4  # of panels
BAND = "#E4E7EB"
RING: dict[str, Any] = {"fillstyle": "none", "markeredgewidth": 1.0}
# Percentage points of change that are drawn on a linear scale; more are on a logarithmic one.
LINEAR = 2.0


def reaches(curves: pd.DataFrame) -> pd.DataFrame:
    """Return how far each ladder compresses at equal accuracy: NETWORK, factor, low, high, bound.

    `factor` is the parameters of the uncompressed network over the non-zero ones that are left, see `reach`. `bound`
    says that the strongest level still holds, so that the factor is a lower bound. `low` and `high` are the limits of
    a 95 % parametric bootstrap interval: the top-1 of each level drawn again from its binomial distribution.
    """
    images = curves.groupby("dataset")["top1"].agg(statistics.fewest_images)
    rows = []
    for name, curve in curves.groupby(NETWORK):
        if len(curve) < 2:  # no ladder
            continue
        ladder = curve[["params", "nonzero_params", "top1"]].to_numpy(float)
        params, nonzero, top1 = ladder[curve["level"].to_numpy(float).argsort()].T
        factors, tested = params[0] / nonzero, images[name[0]]
        factor, bound = reach(factors, top1, tested)
        shares = (top1 / 100 * tested + 1) / (tested + 2)
        draw = np.random.default_rng(0)
        again = 100 * draw.binomial(tested, shares, (RESAMPLES, len(curve))) / tested
        limits = np.quantile(reach(factors, again, tested)[0], [0.025, 0.975])
        rows.append((*name, float(factor), *limits, bool(bound)))
    return pd.DataFrame(rows, columns=[*NETWORK, "factor", "low", "high", "bound"]).astype(
        {"bound": bool}
    )


def reach(
    factors: npt.ArrayLike, top1: npt.ArrayLike, images: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest compression at equal accuracy, and whether it is only a lower bound.

    `factors` [levels] and `top1` [..., levels], in percent of this number of test images, are those of the levels from
    the uncompressed network on; the results are arrays [...]. The last level that loses no more than allowed counts,
    and what the straight line to the next level's top-1, over the logarithm of the compression, adds to it. If that is
    the strongest level, it is a lower bound.
    """
    steps, accuracy = np.log(np.asarray(factors, float)), np.asarray(top1, float)
    loss = accuracy[..., :1] - accuracy
    error = np.sqrt(accuracy[..., :1] * (100 - accuracy[..., :1]) / images)
    beyond = loss - np.maximum(LOSS, error)  # positive where a level loses too much
    strongest = len(steps) - 1
    last = strongest - np.argmax(beyond[..., ::-1] <= 1e-9, axis=-1)
    following = np.minimum(last + 1, strongest)
    here, there = (
        np.take_along_axis(beyond, level[..., None], -1)[..., 0] for level in (last, following)
    )
    share = np.where(last < strongest, -here / np.where(there > here, there - here, 1), 0)
    return np.exp(steps[last] + share * (steps[following] - steps[last])), last == strongest


def comparable(factors: pd.Series, bounds: pd.Series) -> pd.Series:
    """Return factors that can be compared: none beyond the smallest at which a ladder ended that still held.

    Up to there every factor is known; a difference beyond it is not, and counts as none.
    """
    return np.minimum(factors, factors.to_numpy()[bounds].min(initial=np.inf))


def draw_reach(axis: Axes, looks: Looks, rows: pd.DataFrame, height: float) -> None:
    """Draw rows of `reaches` along x at one height; a lower bound gets an arrow."""
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
    """Return up to where an axis of rows of `reaches` must go, arrows included."""
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
    """Return top-1 against compression, one panel for each network.

    Both are relative to the uncompressed network: top-1 in percentage points of the same split, compression in bytes
    of the stored model. `tolerance` is what a chosen level was allowed to lose on the validation split.
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
    figure = Figure(figsize=(panels.PAGE_INCHES, 0.75 + 1.75 * len(lines)), layout="constrained")
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
    panels.legend_below(figure, looks.legend(curves, "compression"), _entries(tolerance))
    return figure


def relative(curves: pd.DataFrame) -> pd.DataFrame:
    """Return the curves with factor (compression), change, error and validation_change (points).

    The changes are from the uncompressed network's top-1 on the same split; the error is the standard error of the
    test top-1.
    """
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
        look: dict[str, Any] = {"color": looks.colour(compression)}
        if len(curve) > 1:
            axis.plot(curve["factor"], curve["change"], **look)
            axis.plot(curve["factor"], curve["validation_change"], ":", linewidth=0.8, **look)
            chosen = curve[curve["chosen"]]
            # Two may be chosen alike.
            ring = {**look, **RING, "markersize": 7 + 1.5 * (rank % 2)}
            axis.plot(chosen["factor"], chosen["change"], "o", **ring)
            # The uncompressed network has a point of its own.
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
