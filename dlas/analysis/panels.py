"""Layout of figures: panels and rows, legends, texts around them, and files."""

import textwrap
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.textpath import TextPath
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from dlas.analysis import marks
from dlas.analysis.captions import sentence
from dlas.analysis.columns import MODEL, NETWORK
from dlas.analysis.judging import EXPLAINED
from dlas.analysis.observation import Module, Observation
from dlas.analysis.style import DARK, DOTS_PER_INCH, VERDICT_COLOURS, Looks, style
from dlas.files import atomic_write

Name = TypeVar("Name", bound=Hashable)

# Widths of print: one column, two columns, and each platform after the second one.
COLUMN_INCHES = 3.5
PAGE_INCHES = 7.2
PLATFORM_INCHES = 1.5
# Titles and x labels of more columns of panels are wrapped.
MAX_WIDE_COLUMNS = 3
# Share of a figure's width that its panels and their gaps take.
LABEL_SHARE = 0.9
# Mean width of a letter in ems, with a margin for words of wide letters.
LETTER_EMS = 0.55
# The size of a legend's text in points, and of a handle and its space in multiples of that.
LEGEND_POINTS, HANDLE_SIZE = 7, 3.3


def columns(
    looks: Looks,
    platforms: Sequence[str],
    rows: int = 1,
    height: float = 2.2,
    width: float = COLUMN_INCHES,
    **share: Any,
) -> tuple[Figure, np.ndarray]:
    """Return a figure with a column of panels for each platform, titled with its name.

    Parameters
    ----------
    looks : Looks
        Labels of the platforms.
    platforms : sequence of str
        The platforms, in order. There is one column if it is empty.
    rows : int
        The lines of panels.
    height, width : float
        In inches; many platforms need a larger width.
    **share
        Keywords of `Figure.subplots`.

    Returns
    -------
    figure : Figure
        Its layout is constrained.
    axes : np.ndarray
        Axes [rows, platforms].
    """
    needed = COLUMN_INCHES + PLATFORM_INCHES * max(0, len(platforms) - 2)
    figure = Figure(figsize=(max(width, needed), height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, max(1, len(platforms)), squeeze=False, **share)
    for axis, platform in zip(axes[0], platforms, strict=False):
        axis.set_title(looks.label(platform))
    return figure, axes


def empty(looks: Looks, platforms: Sequence[str], text: str) -> tuple[Figure, list[Line2D]]:
    """Return a figure with a text in each panel, and no entries of a legend.

    Parameters
    ----------
    looks : Looks
        Labels of the platforms.
    platforms : sequence of str
        See `columns`.
    text : str
        Why the panels are empty.
    """
    figure, axes = columns(looks, platforms, height=1.2)
    for axis in axes[0]:
        marks.note(axis, text)
    return figure, []


@style()
def draw(module: Module, observation: Observation, claim: str, looks: Looks) -> Figure:
    """Return the figure of an observation, with its claim, verdict and rule.

    Parameters
    ----------
    module : Module
        The module of the observation.
    observation : Observation
        The observation, as its module returned it.
    claim : str
        The claim in words.
    looks : Looks
        Labels, order and looks of the methods.
    """
    figure, legend = module.draw(observation, looks)
    return finish(figure, claim, observation, module.RULE, legend, looks)


def finish(
    figure: Figure,
    claim: str,
    observation: Observation,
    rule: str,
    legend: Sequence[Line2D],
    looks: Looks,
) -> Figure:
    """Add the texts and the legend around a figure, and enlarge it by their height.

    Claim and verdict stand above the panels; the legend, the reason and the rule stand below. All
    texts are wrapped to the figure's width.

    Parameters
    ----------
    figure : Figure
        The panels, in a constrained layout.
    claim : str
        The claim in words.
    observation : Observation
        The verdict.
    rule : str
        The decision rule.
    legend : sequence of Line2D
        The entries of the legend, possibly none.
    looks : Looks
        Labels of the methods.

    Returns
    -------
    Figure
        The same figure.
    """
    width, height = figure.get_size_inches()
    title = _wrapped(claim[0].upper() + claim[1:], int(16.5 * width))
    verdict = _wrapped(looks.text(observation.headline), int(15.5 * width))
    texts = ["Rule: " + " ".join(rule.split())]
    if not observation.reason.startswith("needs"):
        texts = [sentence(looks.text(observation.reason)), EXPLAINED, *texts]
    below = _paragraphs(texts, int(22 * width))
    columns = _legend_columns([str(entry.get_label()) for entry in legend], width)
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
    figure.text(0.02, 0.03 / total, below, va="bottom", fontsize=6, color=DARK, linespacing=1.1)
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


def _legend_columns(labels: Sequence[str], width: float) -> int:
    """Return how many legend columns fit into a width in inches, filled column by column."""
    sizes = [TextPath((0, 0), label, size=LEGEND_POINTS).get_extents().width for label in labels]
    for columns in range(min(len(labels), int(width / 1.15)), 1, -1):
        longest = sum(max(column) for column in np.array_split(sizes, columns))
        if longest + columns * HANDLE_SIZE * LEGEND_POINTS <= 72 * width:
            return columns
    return 1


def _paragraphs(texts: Sequence[str], width: int) -> str:
    return "\n".join(_wrapped(text, width) for text in texts)


def _wrapped(text: str, width: int) -> str:
    return textwrap.fill(text, width, break_on_hyphens=False)


def log_axis(axis: Any, low: float, high: float, fine: float = 1.6) -> None:
    """Make an axis logarithmic, with plain numbers as ticks.

    Parameters
    ----------
    axis : XAxis or YAxis
        The axis of a panel.
    low, high : float
        The range that it shows at least.
    fine : float
        Up to this many decades ticks are at 1, 2 and 5, beyond at 1 only.
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


def legend_below(figure: Figure, *rows: Sequence[Artist]) -> None:
    """Put a legend below a figure.

    Parameters
    ----------
    figure : Figure
        The figure.
    *rows : sequence of Artist
        The entries of each line of the legend; a line without entries is left out.
    """
    longest = max(map(len, rows))
    blank = Line2D([], [], linestyle="", label=" ")
    filled = [[*row, *[blank] * (longest - len(row))] for row in rows if row]
    # matplotlib fills a legend column by column.
    by_column = [row[column] for column in range(longest) for row in filled]
    figure.legend(
        handles=by_column,
        loc="outside lower center",
        ncols=longest,
        handletextpad=0.4,
        columnspacing=1.2,
    )


def rows_of(
    axes: np.ndarray,
    places: pd.DataFrame,
    naming: Callable[[str], str],
    heading: float = 0.8,
) -> dict[tuple[str, str], float]:
    """Lay out one row for each model on the shared y-axis of a line of panels.

    Data sets stand apart, each below a heading with its name. Other groups and members can take the
    place of data sets and models.

    Parameters
    ----------
    axes : np.ndarray
        Axes [1, panels] with a shared y-axis.
    places : DataFrame
        The distinct (dataset, model), sorted.
    naming : callable
        Returns the text of a data set or model.
    heading : float
        The height of a heading, in rows.

    Returns
    -------
    dict of (dataset, model) to float
        The y coordinate of each row.
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


def model_rows(
    looks: Looks, platforms: Sequence[str], rows: pd.DataFrame, inches: float, **options: Any
) -> tuple[Figure, np.ndarray, dict[tuple[str, str], float]]:
    """Return a figure with one row for each model.

    Parameters
    ----------
    looks : Looks
        Labels and order of the methods.
    platforms : sequence of str
        The columns of panels.
    rows : DataFrame
        Its distinct (dataset, model) get a row.
    inches : float
        The height of a row.
    **options
        Keywords of `columns`; `height` is added to that of the rows.

    Returns
    -------
    figure : Figure
        The figure.
    axes : np.ndarray
        Axes [1, platforms].
    heights : dict of (dataset, model) to float
        The y coordinate of each row.
    """
    places = looks.sort(rows[MODEL].drop_duplicates(), MODEL)
    height = options.pop("height", 0.0) + inches * len(places)
    figure, axes = columns(looks, platforms, height=height, sharey=True, **options)
    return figure, axes, rows_of(axes, places, looks.label)


def network_rows(
    looks: Looks, platforms: Sequence[str], rows: pd.DataFrame, inches: float, below: float = 0.0
) -> tuple[Figure, np.ndarray, dict[tuple[str, str], float]]:
    """Return a figure of one section of networks.

    Parameters
    ----------
    looks, platforms : Looks, sequence of str
        See `network_sections`.
    rows : DataFrame
        The networks of the section.
    inches : float
        The height of a line.
    below : float
        See `network_sections`.

    Returns
    -------
    figure : Figure
        The figure.
    axes : np.ndarray
        Axes [1, platforms].
    heights : dict of (network, variant) to float
        The y coordinate of each line, by the keys that `at` takes.
    """
    figure, axes, (heights,) = network_sections(looks, platforms, [(rows, inches)], below)
    return figure, axes, heights


def network_sections(
    looks: Looks,
    platforms: Sequence[str],
    sections: Sequence[tuple[pd.DataFrame, float]],
    below: float = 0.0,
) -> tuple[Figure, np.ndarray, list[dict[tuple[str, str], float]]]:
    """Return a figure as wide as a page, with one line for each compression and format of a model.

    Parameters
    ----------
    looks : Looks
        Labels and order of the methods.
    platforms : sequence of str
        The columns of panels.
    sections : sequence of (DataFrame, float)
        For each line of panels, the rows whose networks it shows, and the height of a line in
        inches.
    below : float
        Inches that the labels of the x-axis take beyond one line.

    Returns
    -------
    figure : Figure
        The figure.
    axes : np.ndarray
        Axes [sections, platforms].
    heights : list of dict of (network, variant) to float
        The y coordinate of each line of each section, by the keys that `at` takes.
    """
    kinds = [*NETWORK, "format"]
    named = []
    for rows, _ in sections:
        places = looks.sort(rows[kinds].drop_duplicates(), kinds)
        variant = places["compression"] + places["format"].map(
            lambda weight_format: "" if weight_format == "dense" else f", {weight_format}"
        )
        network = places["model"] + ", " + places["dataset"]
        named.append(pd.DataFrame({"network": network, "variant": variant}))
    lines = [
        inches * (len(places) + 0.8 * places["network"].nunique())
        for places, (_, inches) in zip(named, sections, strict=True)
    ]
    figure, axes = columns(
        looks,
        platforms,
        len(sections),
        sum(lines) + len(lines) * (0.65 + below),
        PAGE_INCHES,
        sharey="row",
        height_ratios=lines,
    )
    heights = [
        rows_of(axes[[section]], places, looks.labels) for section, places in enumerate(named)
    ]
    return figure, axes, heights


def set_title(axis: Axes, looks: Looks, platform: str, ways: Sequence[str]) -> None:
    """Title a panel with its platform and the ways to schedule that it compares.

    Parameters
    ----------
    axis : Axes
        The panel.
    looks : Looks
        Labels of the methods.
    platform : str
        The platform.
    ways : sequence of str
        The ways to schedule, in order.
    """
    axis.set_title(f"{looks.label(platform)}\n{' to '.join(map(looks.label, ways))}")


def of(rows: pd.DataFrame, platform: str, dataset: str, model: str) -> pd.Series:
    """Return which rows are of a model on a platform.

    Parameters
    ----------
    rows : DataFrame
        Rows with platform, dataset and model.
    platform, dataset, model : str
        The names to look for.

    Returns
    -------
    Series
        bool [rows].
    """
    return (rows["platform"] == platform) & (rows["dataset"] == dataset) & (rows["model"] == model)


def technique_marks(
    axis: Axes,
    looks: Looks,
    rows: pd.DataFrame,
    platform: str,
    heights: Mapping[tuple[str, str], float],
    offsets: Mapping[tuple[str, ...], float],
    limits: Sequence[str],
) -> None:
    """Draw the marks of a platform in the rows of `model_rows`.

    Parameters
    ----------
    axis : Axes
        The panel of the platform.
    looks : Looks
        Looks of the methods.
    rows : DataFrame
        One row for each mark, all untuned.
    platform : str
        The platform whose rows are drawn.
    heights : mapping of (dataset, model) to float
        See `model_rows`.
    offsets : mapping of (compression, primitive) to float
        The distance of a mark from the middle of its row.
    limits : sequence of str
        The columns of the estimate and its lower and upper limit.
    """
    for (dataset, model), height in heights.items():
        here = rows[of(rows, platform, dataset, model)]
        if here.empty:
            marks.absent(axis, height)
    here = rows[rows["platform"] == platform].assign(tuning="untuned")
    places = [
        heights[row.dataset, row.model] + offsets[row.compression, row.primitive]
        for row in here.itertuples()
    ]
    marks.configurations(axis, looks, here, places, limits)


def at(rows: pd.DataFrame, network: str, variant: str) -> pd.Series:
    """Return which rows are of a line of `network_sections`.

    Parameters
    ----------
    rows : DataFrame
        Rows with model, dataset, compression and format.
    network : str
        The key's "model, dataset".
    variant : str
        The key's "compression" or "compression, format", the former for dense.

    Returns
    -------
    Series
        bool [rows].
    """
    model, dataset = network.split(", ")
    compression, weight_format = (*variant.split(", "), "dense")[:2]
    return (
        (rows["model"] == model)
        & (rows["dataset"] == dataset)
        & (rows["compression"] == compression)
        & (rows["format"] == weight_format)
    )


def spread(names: Sequence[Name]) -> dict[Name, float]:
    """Return the offset of each name from the middle of a row, one above another."""
    step = min(0.24, 0.75 / max(1, len(names)))
    return {name: step * ((len(names) - 1) / 2 - index) for index, name in enumerate(names)}


def _wrap_labels(figure: Figure) -> None:
    """Wrap titles and x labels of many columns of panels, which would overlap otherwise."""
    for axis in figure.axes:
        place = axis.get_subplotspec()
        if place is None or (columns := place.get_gridspec().ncols) <= MAX_WIDE_COLUMNS:
            continue
        points = 72 * LABEL_SHARE * figure.get_figwidth() / columns
        for label in (axis.title, axis.xaxis.label):
            letters = int(points / (LETTER_EMS * float(label.get_fontsize())))
            label.set_text(_paragraphs(label.get_text().split("\n"), letters))


def save(figure: Figure, paths: Iterable[str | Path]) -> None:
    """Write a figure to each path atomically; the same figure gives the same bytes.

    Parameters
    ----------
    figure : Figure
        The figure.
    paths : iterable of path
        The suffix (pdf, svg, png) is the format. All files have the layout of the PNG. That of a
        figure wider than a page has fewer dots per inch.
    """
    _wrap_labels(figure)
    dpi = DOTS_PER_INCH * min(1, PAGE_INCHES / figure.get_figwidth())
    # Rounding to pixels makes letters wider, so the layout of the PNG has room for all formats.
    for path in sorted(map(Path, paths), key=lambda path: path.suffix != ".png"):
        metadata = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}.get(path.suffix)
        with style(), atomic_write(path) as temporary:
            figure.savefig(temporary, dpi=dpi, metadata=metadata)
            # A layout takes longer than the drawing.
            figure.set_layout_engine(None)
