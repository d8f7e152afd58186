"""The roofline: how close each network comes to the limits of its platform.

The model is that of Williams, Waterman and Patterson, "Roofline: An Insightful Visual Performance
Model for Multicore Architectures", CACM 52(4), 2009: at most min(peak, intensity x bandwidth), both
measured, see dlas/hardware/peak.py.

The intensity is an upper bound: its denominator has only the bytes that must be moved, each weight
once an inference. Feature maps may stay in the caches and are not counted. Neither are the copies
that a primitive makes (im2col, packing), nor repeated reads. Where the weights stay in a cache from
one inference to the next, the memory does not limit, and a network may lie above the slope.
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
# CSR stores an index with each non-zero weight.
INDEX_BYTES = np.dtype("int32").itemsize
# Percentages of the peak at which lines are drawn.
PERCENTAGES = (100, 50, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1)
LINE = "#D0D4D8"
ROW_INCHES = 2.3
# In a panel of more networks only the uncompressed ones are named.
MAX_NAMES = 8
# Factor by which the axes extend beyond marks and ceilings.
MARGIN = 1.6


def networks(study: pd.DataFrame) -> pd.DataFrame:
    """Return the fastest configuration of each network on each platform whose peak is known.

    Parameters
    ----------
    study : DataFrame
        study.csv.

    Returns
    -------
    DataFrame
        With `intensity`, operations over `weight_bytes`. As in gflops, a MAC has two operations,
        and CSR computes only the MACs of non-zero weights.
    """
    rows = distinct(measured(study))
    rows = fastest(rows[rows["peak_fraction"].notna()], DEPLOYED)
    return rows.assign(intensity=2 * macs_done(rows) / weight_bytes(rows))


def weight_bytes(rows: pd.DataFrame) -> pd.Series:
    """Return the bytes of each configuration's parameters, as its kernels read them.

    Dense: all parameters in the dtype of the network. Sparse: non-zero parameters, each with a
    32-bit index, without row pointers. Biases and the scales of integers are wider than counted,
    batch normalizations that are folded into convolutions smaller: together at most a few per cent.
    """
    size = rows["dtype"].map(lambda dtype: np.dtype(dtype).itemsize)
    sparse = rows["nonzero_params"] * (size + INDEX_BYTES)
    return sparse.where(rows["format"] != "dense", rows["params"] * size)


def ceiling(intensity: np.ndarray, peak: float, bandwidth: float) -> np.ndarray:
    """Return the largest 10^9 operations/s that a platform allows.

    Parameters
    ----------
    intensity : np.ndarray
        Operations a byte.
    peak : float
        In 10^9 operations/s.
    bandwidth : float
        In 10^9 bytes/s.
    """
    return np.minimum(peak, intensity * bandwidth)


@style()
def draw(study: pd.DataFrame, platforms: Mapping[str, Mapping[str, Any]], looks: Looks) -> Figure:
    """Return the figure of 10^9 operations/s over intensity, a line of panels for each dtype.

    Parameters
    ----------
    study : DataFrame
        study.csv.
    platforms : mapping of str to mapping
        The records of `dlas.hardware.peak.measure_platform` by platform.
    looks : Looks
        Labels, order and looks of the methods.
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
    # The layout gives the panels the size that the places of the names depend on.
    figure.draw_without_rendering()
    for axis, here in filled.items():
        _names(axis, looks, here)
    return figure


def _limits(platform: Mapping[str, Any], dtype: str) -> tuple[float, float]:
    """Return a platform's peak in a dtype, in 10^9 operations/s, and its bandwidth in GB/s."""
    return platform["peak_gflops"][dtype], platform["bandwidth_gbs"]


def _absent(axis: Axes, platform: Mapping[str, Any]) -> None:
    """Write in an empty panel why it is empty."""
    status, reason = platform["status"], "not measured"
    if status != OK:
        reason += f": {status}"
    elif platform["peak_gflops"] is None:
        reason = "its peak is not measured"
    marks.not_measured(axis, textwrap.fill(reason, 30))


def _scales(axis: Axes, rows: pd.DataFrame, limits: list[tuple[float, float]]) -> None:
    """Set the axes that the panels of a dtype share, over all marks and ceilings."""
    ridges = [peak / bandwidth for peak, bandwidth in limits]
    low, high = min(rows["intensity"].min(), *ridges), max(rows["intensity"].max(), *ridges)
    top = max(peak for peak, _ in limits)
    panels.log_axis(axis.xaxis, low / MARGIN, high * MARGIN)
    panels.log_axis(axis.yaxis, rows["gflops"].min() / MARGIN, top * MARGIN)


def _ceilings(axis: Axes, peak: float, bandwidth: float) -> None:
    """Draw the ceiling of a platform, and lines at percentages of its peak."""
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
    """Name the networks of a panel, only the uncompressed ones if there are many."""
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
