"""How close each network comes to what its platform allows: the roofline.

The model is that of Williams, Waterman and Patterson, "Roofline: An Insightful Visual Performance
Model for Multicore Architectures", CACM 52(4), 2009: at most min(peak, intensity x bandwidth), both
measured, see dlas/hardware/peak.py.

The intensity is an upper bound, because only what has to be moved in any case is in its
denominator: every weight, once an inference. Feature maps are not counted, as they may stay in the
caches, and neither are the copies that a primitive makes (im2col, packing) nor what is read again.
Where the weights themselves stay in a cache from one inference to the next the memory does not
limit, and a network may lie above the slope.
"""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dlas.analysis import marks, panels
from dlas.analysis.columns import DEPLOYED
from dlas.analysis.observation import distinct, fastest, macs_done, measured
from dlas.analysis.style import DARK, Looks, face, style
from dlas.status import OK

DTYPES = ("float32", "float16", "int8")
# Of a non-zero's place in CSR.
INDEX_BYTES = np.dtype("int32").itemsize
# Of the peak, which lines stand for.
PERCENTAGES = (100, 50, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1)
LINE = "#D0D4D8"
ROW_INCHES = 2.3
# Of networks in a panel; where there are more, uncompressed ones only are named.
MAX_NAMES = 8
# Of the axes, beyond the marks and the ceilings.
MARGIN = 1.6


def networks(study: pd.DataFrame) -> pd.DataFrame:
    """Return the fastest configuration of each network where a peak is known, with `intensity`, in operations a byte.

    Operations are those of gflops: two for each MAC, in CSR of non-zero weights only; bytes are
    `weight_bytes`.
    """
    rows = distinct(measured(study))
    rows = fastest(rows[rows["peak_fraction"].notna()], DEPLOYED)
    return rows.assign(intensity=2 * macs_done(rows) / weight_bytes(rows))


def weight_bytes(rows: pd.DataFrame) -> pd.Series:
    """Return the bytes of each configuration's parameters in the format and type that its kernels read.

    Dense: all parameters in the type of the network. Sparse: those that are not zero, each with a
    32-bit index; row pointers are not counted. Biases and the scales of integers are wider than is
    counted, batch normalizations that are folded into convolutions smaller: together at most a few
    per cent.
    """
    size = rows["dtype"].map(lambda dtype: np.dtype(dtype).itemsize)
    sparse = rows["nonzero_params"] * (size + INDEX_BYTES)
    return sparse.where(rows["format"] != "dense", rows["params"] * size)


def ceiling(intensity: np.ndarray, peak: float, bandwidth: float) -> np.ndarray:
    """Return the 10^9 operations/s that a platform allows at most at these operations a byte.

    `peak` is in 10^9 operations/s, `bandwidth` in 10^9 bytes/s.
    """
    return np.minimum(peak, intensity * bandwidth)


@style()
def draw(study: pd.DataFrame, platforms: Mapping[str, Mapping[str, Any]], looks: Looks) -> Figure:
    """Return GFLOP/s over intensity of every network, a line of panels for each type of numbers.

    `platforms` are the records of `dlas.hardware.peak.measure_platform` by name. Lines stand for
    shares of the platform's peak in the panel's type.
    """
    rows = networks(study)
    names = looks.ordered("platform", platforms)
    dtypes = [dtype for dtype in DTYPES if dtype in set(rows["dtype"])] or list(DTYPES[:1])
    height = 0.6 + ROW_INCHES * len(dtypes)
    figure, axes = panels.columns(
        looks, names, len(dtypes), height, panels.PAGE_INCHES, sharex="row", sharey="row"
    )
    filled = {}
    for line, dtype in zip(axes, dtypes, strict=True):
        of_dtype = rows[rows["dtype"] == dtype]
        if len(of_dtype):
            limits = [_limits(platforms[name], dtype) for name in of_dtype["platform"].unique()]
            _scales(line[0], of_dtype, limits)
        for axis, name in zip(line, names, strict=False):
            here = of_dtype[of_dtype["platform"] == name]
            axis.set_title(f"{looks.label(name)}, {dtype}")
            if here.empty:
                _absent(axis, platforms[name])
                continue
            filled[axis] = here
            _ceilings(axis, *_limits(platforms[name], dtype))
            for row in here.itertuples():
                _mark(axis, looks, row)
            axis.set_xlabel("operations a byte, at most (log scale)")
        line[0].set_ylabel("10\N{SUPERSCRIPT NINE} operations/s (log scale)")
    panels.legend_below(figure, *_legend(looks, rows))
    # The panels get their size, which the names are placed by.
    figure.canvas.draw()
    for axis, here in filled.items():
        _names(axis, looks, here)
    return figure


def _limits(platform: Mapping[str, Any], dtype: str) -> tuple[float, float]:
    """Return a platform's peak in a type of numbers and its bandwidth."""
    return platform["peak_gflops"][dtype], platform["bandwidth_gbs"]


def _absent(axis: Axes, platform: Mapping[str, Any]) -> None:
    """Say in an empty panel why it is empty; its axes belong to its neighbours as well."""
    status, reason = platform["status"], "not measured"
    if status != OK:
        reason += f": {status}"
    elif platform["peak_gflops"] is None:
        reason = "its peak is not measured"
    marks.not_measured(axis, textwrap.fill(reason, 30))


def _scales(axis: Axes, rows: pd.DataFrame, limits: list[tuple[float, float]]) -> None:
    """Give the panels of a type their shared axes, over all marks and `limits`, which are those of the platforms."""
    ridges = [peak / bandwidth for peak, bandwidth in limits]
    low, high = min(rows["intensity"].min(), *ridges), max(rows["intensity"].max(), *ridges)
    top = max(peak for peak, _ in limits)
    panels.log_axis(axis.xaxis, low / MARGIN, high * MARGIN)
    panels.log_axis(axis.yaxis, rows["gflops"].min() / MARGIN, top * MARGIN)


def _ceilings(axis: Axes, peak: float, bandwidth: float) -> None:
    """Draw what a platform allows at most, and lines at shares of its peak."""
    (low, high), bottom = axis.get_xlim(), axis.get_ylim()[0]
    at = np.array([low / 10, peak / bandwidth, high * 10])
    axis.plot(at, ceiling(at, peak, bandwidth), color=DARK, linewidth=1.2, zorder=1)
    look: dict[str, Any] = {"fontsize": 5.8, "color": DARK, "textcoords": "offset points"}
    look |= {"xycoords": axis.get_yaxis_transform()}
    for side, place, text in (
        ("left", 0, f"memory {bandwidth:,.0f} GB/s"),
        ("right", 1, f"peak {peak:,.0f}"),
    ):
        inwards = (3 if side == "left" else -3, 2)
        axis.annotate(text, (place, peak), inwards, ha=side, va="bottom", **look)
    axis.grid(axis="y", visible=False)
    for percentage in PERCENTAGES:
        rate = percentage * peak / 100
        if rate > bottom:
            axis.axhline(rate, color=LINE, linewidth=0.5, zorder=0)
            axis.annotate(f"{percentage:g} %", (1, rate), (3, 0), va="center", **look)


def _mark(axis: Axes, looks: Looks, row: Any) -> None:
    colour = looks.colour(row.compression)
    axis.plot(
        row.intensity,
        row.gflops,
        linestyle="",
        color=colour,
        marker=looks.marker(row.primitive),
        fillstyle=looks.fill(row.tuning),
        **looks.edge(row.format) | face(colour, row.status, looks.fill(row.tuning)),
    )


def _names(axis: Axes, looks: Looks, here: pd.DataFrame) -> None:
    """Name the networks of a panel, or, where they are many, the uncompressed ones."""
    some = here if len(here) <= MAX_NAMES else here[here["compression"] == "none"]
    marks.name_points(
        axis,
        list(some[["intensity", "gflops"]].itertuples(index=False, name=None)),
        [f"{looks.label(row.model)}\n{looks.label(row.dataset)}" for row in some.itertuples()],
        marks.size_in_points(axis),
        list(here[["intensity", "gflops"]].itertuples(index=False, name=None)),
    )


def _legend(looks: Looks, rows: pd.DataFrame) -> tuple[Sequence[Artist], ...]:
    first, second = looks.legend(rows, "compression"), looks.legend(rows, "primitive", "tuning")
    third: list[Artist] = [Line2D([], [], color=DARK, linewidth=1.2, label="measured ceiling")]
    return first, second, third + looks.legend(rows, "format", "status")
