"""The one visual language of all figures.

Colour is the compression, marker the primitive, hatch of a bar, line style of a curve and fill of a marker the tuning,
column the platform. A pale marker stands for arithmetic that the hardware emulates. A grey line is a peer, its style
the runtime. The colours are those of Okabe and Ito (2008), which colour-blind readers can tell apart.
"""

import logging
import textwrap
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import matplotlib
import numpy as np
import pandas as pd
import seaborn
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from dlas.analysis.captions import sentence
from dlas.analysis.observation import Observation
from dlas.files import whole

Name = TypeVar("Name", bound=Hashable)

logging.getLogger("fontTools").setLevel(logging.WARNING)  # else it tells each glyph of a PDF

COLOURS = {
    "none": "#0072B2",
    "weight_pruning": "#E69F00",
    "channel_pruning": "#009E73",
    "float16": "#CC79A7",
    "int8": "#D55E00",
}
MARKERS = {"direct": "o", "gemm": "s", "spatial_pack": "^"}
LINES = {"untuned": "-", "auto_scheduled": "--"}
FILLS = {"untuned": "full", "auto_scheduled": "none"}
EDGES = {"dense": None, "csr": "#000000"}
HATCHES = {"untuned": "", "auto_scheduled": "////"}
VERDICT_COLOURS = {"supported": "#007A5A", "contradicted": "#B34700", "inconclusive": "#5A5A5A"}
OTHER_COLOUR, OTHER_MARKER, OTHER_LINE, OTHER_FILL = (
    "#56B4E9",
    "D",
    ":",
    "left",
)  # of a method that has no place in the palette yet
GREY = "#8C8C8C"
RUNTIMES: dict[str, Any] = {"pytorch": "--", "onnxruntime": (0, (1, 1))}  # line styles of peers
OTHER_RUNTIME = "-."
PALE = 0.5  # of the colour that is left for emulated arithmetic
COLUMN_INCHES = 3.5  # of print; a figure of one or two platforms is this wide
PAGE_INCHES = 7.2  # the width of two columns
PLATFORM_INCHES = 1.5  # more for each further platform

NAMES = {
    "resnet18": "ResNet18",
    "resnet50": "ResNet50",
    "vgg16": "VGG-16",
    "mobilenet_v1": "MobileNetV1",
    "mobilenet_v2": "MobileNetV2",
    "densenet161": "DenseNet161",
    "efficientnet_b0": "EfficientNetB0",
    "cifar10": "CIFAR-10",
    "imagenet": "ImageNet",
    "gemm": "GEMM",
    "csr": "CSR",
    "none": "no compression",
    "auto_scheduled": "auto-scheduled",
    "pytorch": "PyTorch",
    "onnxruntime": "ONNX Runtime",
    "local_cpu": "this CPU",
    "local_cpu_avx2": "this CPU, AVX2",
}
_STYLE = {
    "font.size": 7.5,
    # DejaVu Sans comes with matplotlib: the same on every machine. A browser without it takes the next for an SVG.
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "Helvetica"],
    "axes.titlesize": 7.5,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "grid.linewidth": 0.4,
    "lines.linewidth": 1.0,
    "lines.markersize": 4.0,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "dlas",  # else every SVG has random identifiers
    "savefig.dpi": 300,
}


@contextmanager
def style() -> Iterator[None]:
    """Draw in the study's style; serves as a decorator too."""
    with seaborn.axes_style("whitegrid"), matplotlib.rc_context(_STYLE):
        yield


def label(name: str) -> str:
    """Return the name that readers know a method by."""
    return NAMES.get(name, name.replace("_", " "))


def labels(names: str) -> str:
    """Return the names that readers know methods by; ", " stands between them."""
    return ", ".join(map(label, names.split(", ")))


def colour(compression: str) -> str:
    """Return the colour of a compression."""
    return COLOURS.get(compression, OTHER_COLOUR)


def marker(primitive: str) -> str:
    """Return the marker of a primitive."""
    return MARKERS.get(primitive, OTHER_MARKER)


def line(tuning: str) -> str:
    """Return the line style of a tuning."""
    return LINES.get(tuning, OTHER_LINE)


def fill(tuning: str) -> Any:
    """Return the marker fill of a tuning."""
    return FILLS.get(tuning, OTHER_FILL)


def edge(format: str) -> dict[str, Any]:
    """Return the edge of a mark: black for weights in CSR, else as its style says."""
    colour = EDGES.get(format)
    return {} if colour is None else {"markeredgecolor": colour}


def face(colour: str, status: str, fillstyle: str = "full") -> dict[str, Any]:
    """Return the face of a mark, or the edge of an open one: pale for emulated arithmetic, else as its style says."""
    if status != "emulated":
        return {}
    pale = [PALE * part + 1 - PALE for part in to_rgb(colour)]
    return {"markeredgecolor" if fillstyle == "none" else "markerfacecolor": pale}


def emulated_handle(text: str = "emulated arithmetic") -> Line2D:
    """Return the legend entry of pale marks."""
    look: dict[str, Any] = {"color": "#404040", "markerfacecolor": "#D0D0D0", "linestyle": ""}
    return Line2D([], [], marker="o", label=text, **look)


def peers(axis: Axes, rows: pd.DataFrame, low: float, high: float) -> None:
    """Draw the latency of each peer, rows of peers.csv, as a line over these heights, behind all marks."""
    for peer in rows.itertuples():
        axis.vlines(peer.latency_ms, low, high, zorder=1.5, **_of_runtime(peer.runtime))


def peer_handles(runtimes: Iterable[str]) -> list[Line2D]:
    """Return the legend entries of `peers`."""
    return [
        Line2D([], [], label=label(name), **_of_runtime(name))
        for name in ordered(runtimes, RUNTIMES)
    ]


def _of_runtime(name: str) -> dict[str, Any]:
    return {"color": GREY, "linestyle": RUNTIMES.get(name, OTHER_RUNTIME), "linewidth": 0.9}


def no_level(axis: Axes, height: float, compression: str) -> None:
    """Mark in a row that no level of a compression was within the tolerance."""
    where = axis.get_yaxis_transform()
    look: dict[str, Any] = {"color": colour(compression), "markersize": 3, "clip_on": False}
    axis.plot(0.025, height, "x", transform=where, **look)


def no_level_handle() -> Line2D:
    """Return the legend entry of `no_level`."""
    look: dict[str, Any] = {"color": "#404040", "markersize": 3, "linestyle": ""}
    return Line2D([], [], marker="x", label="no level within the tolerance", **look)


def ordered(values: Iterable[str], known: Iterable[str] = ()) -> list[str]:
    """Return the distinct values: the known ones in their order, then the others by name."""
    present = set(values)
    first = [value for value in known if value in present]
    return first + sorted(present - set(first))


def columns(
    platforms: Sequence[str],
    rows: int = 1,
    height: float = 2.2,
    width: float = COLUMN_INCHES,
    **share: Any,
) -> tuple[Figure, np.ndarray]:
    """Return a figure and its axes [rows, platforms], one column for each platform, titled with its name.

    It is at least this many inches wide.
    """
    needed = COLUMN_INCHES + PLATFORM_INCHES * max(0, len(platforms) - 2)
    figure = Figure(figsize=(max(width, needed), height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, max(1, len(platforms)), squeeze=False, **share)
    for axis, platform in zip(axes[0], platforms, strict=False):
        axis.set_title(label(platform))
    return figure, axes


def finish(
    figure: Figure, claim: str, observation: Observation, rule: str, legend: Sequence[Line2D] = ()
) -> Figure:
    """Put claim and verdict above a figure, and legend, reason and decision rule below it, wrapped to its width."""
    width, height = figure.get_size_inches()
    title = _wrapped(claim[0].upper() + claim[1:], int(16.5 * width))
    verdict = _wrapped(observation.headline, int(15.5 * width))
    texts = [] if observation.reason.startswith("needs") else [sentence(observation.reason)]
    below = _paragraphs([*texts, "Rule: " + " ".join(rule.split())], int(22 * width))
    columns = max(1, int(width / 1.15))
    lines = {
        name: text.count("\n") + 1
        for name, text in (("title", title), ("verdict", verdict), ("below", below))
    }
    above_inches = 0.135 * (lines["title"] + lines["verdict"]) + 0.1
    below_inches = 0.092 * lines["below"] + 0.08
    legend_inches = 0.15 * -(-len(legend) // columns)
    total = height + above_inches + below_inches + legend_inches
    figure.set_size_inches(width, total)
    bottom = (below_inches + legend_inches) / total
    figure.set_layout_engine("constrained", rect=(0, bottom, 1, height / total))
    figure.text(0.02, 1 - 0.03 / total, title, va="top", fontsize=7.5)
    top = 1 - (0.05 + 0.135 * lines["title"]) / total
    look: dict[str, Any] = {
        "color": VERDICT_COLOURS[observation.verdict],
        "fontweight": "bold",
        "fontsize": 7.5,
    }
    figure.text(0.02, top, verdict, va="top", **look)
    figure.text(
        0.02, 0.03 / total, below, va="bottom", fontsize=6, color="#404040", linespacing=1.1
    )
    if legend:
        figure.legend(
            handles=legend,
            loc="lower center",
            bbox_to_anchor=(0.5, below_inches / total),
            ncols=min(columns, len(legend)),
            handletextpad=0.3,
            columnspacing=1.0,
            borderpad=0.1,
            labelspacing=0.25,
        )
    return figure


def _paragraphs(texts: Sequence[str], width: int) -> str:
    return "\n".join(_wrapped(text, width) for text in texts)


def _wrapped(text: str, width: int) -> str:
    return textwrap.fill(text, width, break_on_hyphens=False)


def note(axis: Axes, text: str) -> None:
    """Say in an otherwise empty panel why it is empty."""
    axis.set_xticks([])
    axis.set_yticks([])
    axis.text(
        0.5,
        0.5,
        _wrapped(text, 22),
        ha="center",
        va="center",
        transform=axis.transAxes,
        color=GREY,
    )


def log_axis(axis: Any, low: float, high: float, fine: float = 1.6) -> None:
    """Make an x- or y-axis logarithmic over at least this range, with plain numbers.

    They stand at 1, 2 and 5 up to this many decades, beyond at 1 only.
    """
    margin = max((high / low) ** 0.06, 1.03)
    limits = low / margin, high * margin
    axis.axes.set(**{f"{axis.axis_name}scale": "log", f"{axis.axis_name}lim": limits})
    decades = np.log10(high / low)
    if decades < 0.35:
        axis.set_major_locator(FixedLocator(_fine_ticks(*limits)))
    else:
        axis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5) if decades < fine else (1,)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _fine_ticks(low: float, high: float) -> list[float]:
    step = 10 ** np.floor(np.log10((high - low) / 2))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (factor * step) <= 4)
    return [
        float(f"{value:.6g}")
        for value in np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step
    ]


def handles(kind: str, names: Sequence[str]) -> list[Line2D]:
    """Return legend entries for compressions (colour), primitives (marker), formats (edge) or tunings (fill)."""
    looks: dict[str, Callable[[str], dict[str, Any]]] = {
        "compression": lambda name: {"color": colour(name), "marker": "o", "linestyle": ""},
        "primitive": lambda name: {"color": "#404040", "marker": marker(name), "linestyle": ""},
        "format": lambda name: {
            "color": "#A0A0A0",
            "marker": "o",
            "linestyle": "",
            **edge(name),
        },
        "tuning": lambda name: {
            "color": "#404040",
            "marker": "o",
            "linestyle": "",
            "fillstyle": fill(name),
        },
    }
    return [Line2D([], [], label=label(name), **looks[kind](name)) for name in names]


def legend_below(figure: Figure, *rows: Sequence[Artist]) -> None:
    """Put a legend below a figure whose lines are these."""
    longest = max(map(len, rows))
    blank = Line2D([], [], linestyle="", label=" ")
    filled = [[*row, *[blank] * (longest - len(row))] for row in rows if row]
    by_column = [row[column] for column in range(longest) for row in filled]  # as matplotlib fills
    figure.legend(
        handles=by_column,
        loc="outside lower center",
        ncols=longest,
        handletextpad=0.4,
        columnspacing=1.2,
    )


def intervals(
    axis: Axes,
    rows: pd.DataFrame,
    at: Sequence[float],
    names: tuple[str, str, str] = ("latency_ms", "latency_ms_low", "latency_ms_high"),
    **look: Any,
) -> None:
    """Draw estimates along x with their intervals, at these heights; `names` are the three columns.

    Rows whose status is "emulated" have pale marks.
    """
    style: dict[str, Any] = {
        "linestyle": "",
        "markersize": 4.2,
        "elinewidth": 0.8,
        "capsize": 1.5,
        "capthick": 0.8,
    }
    fillstyle = look.get("fillstyle", "full")
    status = rows["status"] if "status" in rows else pd.Series("ok", rows.index)
    for kind in status.unique():
        some, heights = rows[status == kind], np.asarray(at, float)[(status == kind).to_numpy()]
        centre, low, high = (some[name].to_numpy(float) for name in names)
        error = np.clip(np.nan_to_num([centre - low, high - centre]), 0, None)
        axis.errorbar(
            centre, heights, xerr=error, **style | look | face(look["color"], kind, fillstyle)
        )


def name_points(
    axis: Axes,
    points: Sequence[tuple[float, float]],
    names: Sequence[str],
    panel: tuple[float, float] = (105.0, 85.0),
    others: Sequence[tuple[float, float]] = (),
    gap: float = 4.0,
) -> None:
    """Write a name of two lines beside each point, where it covers least of the points and of the other names.

    The axes' limits and scales must be final; `panel` is the panel's width and height in points, roughly. `others` are
    points that have no name and are not to be covered either. `gap` are the points between a name and the middle of
    its mark.
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
    """Return a panel's width and height in points; the figure must have been drawn, which gives it its size."""
    box, points = axis.get_window_extent(), 72 / axis.figure.dpi
    return box.width * points, box.height * points


def _overlap(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the common area of two boxes (left, bottom, right, top)."""
    sides = [
        min(first[axis + 2], second[axis + 2]) - max(first[axis], second[axis]) for axis in (0, 1)
    ]
    return max(0.0, sides[0]) * max(0.0, sides[1])


def rows_of(
    axes: np.ndarray,
    places: pd.DataFrame,
    naming: Callable[[str], str] = label,
    heading: float = 0.8,
) -> dict[tuple[str, str], float]:
    """Lay out one row a model on the shared y-axis of one line of panels, and return the rows' heights.

    `places` are the distinct (dataset, model), sorted; data sets stand apart, with their name as a heading. Other
    groups and members can take their place; `naming` gives the text of both. A heading has this part of a row's height.
    """
    heights: dict[tuple[str, str], float] = {}
    first = axes[0, 0]
    height, last = 0.0, None
    for dataset, model in places.itertuples(index=False):
        height -= 1.0 if dataset == last else 1.0 + heading
        if dataset != last:
            first.text(
                -0.03,
                height + 0.5 + 0.15 * heading,
                naming(dataset),
                transform=first.get_yaxis_transform(),
                ha="right",
                va="bottom",
                fontweight="bold",
                fontsize=7,
            )
        heights[dataset, model] = height
        last = dataset
    for axis in axes[0]:
        axis.grid(axis="y", visible=False)
        for stripe in list(heights.values())[::2]:
            axis.axhspan(stripe - 0.5, stripe + 0.5, color="#F2F5F8", linewidth=0, zorder=0)
    first.set_yticks(list(heights.values()), [naming(model) for _, model in heights])
    first.set_ylim(min(heights.values(), default=0) - 0.6, -0.5)
    return heights


def network_rows(
    platforms: Sequence[str], rows: pd.DataFrame, inches: float, below: float = 0.0
) -> tuple[Figure, np.ndarray, dict[tuple[str, str], float]]:
    """Return a figure of the width of a page, its axes [1, platforms], and the height of each network in them.

    Models stand apart, with a line of this many inches for each of their compressions and formats that `rows` have;
    `below` are the inches that the axes' labels take beyond one line. The keys of the heights are as `at` takes them.
    """
    places = rows[["dataset", "model", "compression", "format"]].drop_duplicates()
    ranks = {name: rank for rank, name in enumerate([*COLOURS, *EDGES])}
    places = places.sort_values(
        ["dataset", "model", "compression", "format"],
        key=lambda names: names if names.name in ("dataset", "model") else names.map(ranks),
    )
    named = pd.DataFrame(
        {
            "network": places["model"] + ", " + places["dataset"],
            "variant": places["compression"]
            + places["format"].map(lambda format: "" if format == "dense" else f", {format}"),
        }
    )
    lines = len(named) + 0.8 * named["network"].nunique()
    figure, axes = columns(platforms, height=0.65 + below + inches * lines, sharey=True)
    width, height = figure.get_size_inches()
    figure.set_size_inches(max(PAGE_INCHES, width), height)
    return figure, axes, rows_of(axes, named, labels)


def at(rows: pd.DataFrame, network: str, variant: str) -> pd.Series:
    """Return which rows are of a line of `network_rows`."""
    model, dataset = network.split(", ")
    compression, format = (*variant.split(", "), "dense")[:2]
    return (
        (rows["model"] == model)
        & (rows["dataset"] == dataset)
        & (rows["compression"] == compression)
        & (rows["format"] == format)
    )


def spread(names: Sequence[Name]) -> dict[Name, float]:
    """Return an offset from a row's height for each name, so that their marks stand one above another."""
    step = min(0.24, 0.75 / max(1, len(names)))
    return {name: step * ((len(names) - 1) / 2 - index) for index, name in enumerate(names)}


def absent(axis: Axes, height: float, text: str = "not measured") -> None:
    """Say in a row that it has no data in this panel."""
    axis.text(
        0.5,
        height,
        text,
        transform=axis.get_yaxis_transform(),
        color=GREY,
        fontsize=6,
        ha="center",
        va="center",
        path_effects=[
            withStroke(linewidth=2, foreground="white")
        ],  # lines of the axis pass behind it
    )


def save(figure: Figure, paths: Iterable[str | Path]) -> None:
    """Write a figure to each path, whole or not at all; the suffix (pdf, svg, png) is the format.

    The same figure gives the same bytes.
    """
    for path in map(Path, paths):
        metadata = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}.get(path.suffix)
        with style(), whole(path) as temporary:
            figure.savefig(temporary, metadata=metadata)
