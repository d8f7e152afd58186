"""The one visual language of all figures.

- Colour: the compression.
- Marker: the primitive.
- Line style of a curve, and fill of a marker: the tuning.
- Edge of a marker: the format of the weights.
- Column of panels: the platform.
- Pale marker: widened arithmetic.
- Grey line: a peer; its style is the runtime.

A method may describe its look. Any other method gets a look that no other has. The colours are
those of Okabe and Ito (2008), which colour-blind readers can tell apart, and after them the colours
that are farthest from all others.
"""

import colorsys
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, count, cycle, islice, product
from typing import Any

import matplotlib
import matplotlib.style
import pandas as pd
from matplotlib.colors import to_hex, to_rgb
from matplotlib.lines import Line2D

from dlas.analysis.words import Words
from dlas.status import OK, WIDENED

# fontTools logs each glyph of a PDF.
logging.getLogger("fontTools").setLevel(logging.WARNING)

VERDICT_COLOURS = {"supported": "#007A5A", "contradicted": "#B34700", "inconclusive": "#5A5A5A"}
GREY = "#8C8C8C"
DARK = "#404040"
# Of PNG files of figures as wide as a page.
DOTS_PER_INCH = 300
# The share of its colour that a mark of widened arithmetic keeps.
PALE = 0.5
_SETTINGS = {
    "font.size": 7.5,
    # DejaVu Sans comes with matplotlib and is the same on every machine. A browser without it
    # shows an SVG in the next font.
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "Helvetica"],
    "axes.titlesize": 7.5,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.linewidth": 0.6,
    # Without ticks, but with the space of them.
    "xtick.bottom": False,
    "ytick.left": False,
    "xtick.major.size": 3.5,
    "ytick.major.size": 3.5,
    "grid.linewidth": 0.4,
    "lines.linewidth": 1.0,
    "lines.markersize": 4.0,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    # Without a salt every SVG has random identifiers.
    "svg.hashsalt": "dlas",
    "savefig.dpi": DOTS_PER_INCH,
}


@contextmanager
def style() -> Iterator[None]:
    """Draw in the study's style, inside the context or in a decorated function."""
    with matplotlib.style.context(["seaborn-v0_8-whitegrid", _SETTINGS]):
        yield


class Looks(Words):
    """The words of methods, and the looks of their marks."""

    def colour(self, compression: str) -> str:
        """Return the colour of a compression."""
        return str(self._look("compression", "colour", compression, _colours))

    def marker(self, primitive: str) -> Any:
        """Return the matplotlib marker of a primitive."""
        return self._look("primitive", "marker", primitive, _markers)

    def line(self, tuning: str) -> Any:
        """Return the matplotlib line style of a tuning."""
        return self._look("tuning", "line", tuning, _lines)

    def fill(self, tuning: str) -> Any:
        """Return the matplotlib marker fill of a tuning."""
        return self._look("tuning", "fill", tuning, _fills)

    def edge(self, weight_format: str) -> dict[str, Any]:
        """Return the edge of a mark as a keyword: a colour for a sparse format, else nothing."""
        if not self.methods.get("format", {}).get(weight_format, {}).get("sparse"):
            return {}
        return {"markeredgecolor": self._look("format", "edge", weight_format, _edges)}

    def runtime(self, name: str) -> dict[str, Any]:
        """Return the line of a peer as keywords."""
        line = self._look("runtime", "line", name, _lines)
        return {"color": GREY, "linestyle": line, "linewidth": 0.9}

    def handles(self, kind: str, names: Sequence[str]) -> list[Line2D]:
        """Return legend entries of methods of one kind.

        Parameters
        ----------
        kind : {"compression", "primitive", "format", "tuning", "runtime"}
            The kind of the methods.
        names : sequence of str
            The methods, in order.
        """
        dark = {"color": DARK, "linestyle": ""}
        looks: dict[str, Callable[[str], dict[str, Any]]] = {
            "compression": lambda name: {**dark, "color": self.colour(name), "marker": "o"},
            "primitive": lambda name: {**dark, "marker": self.marker(name)},
            "format": lambda name: {**dark, "color": "#A0A0A0", "marker": "o", **self.edge(name)},
            "tuning": lambda name: {**dark, "marker": "o", "fillstyle": self.fill(name)},
            "runtime": self.runtime,
        }
        return [Line2D([], [], label=self.label(name), **looks[kind](name)) for name in names]

    def legend(self, rows: pd.DataFrame, *kinds: str) -> list[Line2D]:
        """Return the legend entries of the methods in columns of rows.

        Parameters
        ----------
        rows : DataFrame
            The rows that are drawn.
        *kinds : str
            Columns. Format, tuning and status get entries only if a mark differs from the usual
            one.
        """
        entries = []
        for kind in kinds:
            if kind == "status":
                entries += [widened_handle()] * int((rows[kind] == WIDENED).any())
                continue
            names = self.ordered(kind, rows[kind])
            if kind == "format":
                names = [name for name in names if self.edge(name)]
            if kind == "tuning" and all(self.fill(name) == "full" for name in names):
                names = []
            entries += self.handles(kind, names)
        return entries

    def _look(
        self, kind: str, attribute: str, name: str, others: Callable[[list[Any]], Iterator[Any]]
    ) -> Any:
        """Return the look that a method describes, or one of `others` that is free in its kind."""
        known = self.methods.get(kind, {})
        described = {
            other: _plain(look[attribute]) for other, look in known.items() if attribute in look
        }
        if name in described:
            return described[name]
        waiting = self.ordered(kind, [*(known.keys() - described.keys()), name])
        free = others(list(described.values()))
        return next(islice(free, waiting.index(name), None))


def _plain(look: Any) -> Any:
    """Return a look as matplotlib takes it, with lists (of dashes) as tuples."""
    return tuple(map(_plain, look)) if isinstance(look, list | tuple) else look


def palette(count: int) -> list[str]:
    """Return as many colours that colour-blind readers can tell apart, as hex codes."""
    named = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442"]
    return list(islice(chain(named, _colours(named)), count))


def _colours(used: list[str]) -> Iterator[str]:
    """Yield unused colours: the rest of the palette, then those farthest from all others."""
    used = list(map(str.upper, used))
    for colour in ("#56B4E9", "#F0E442"):
        if colour not in used:
            used.append(colour)
            yield colour
    every = [
        to_hex(colorsys.hls_to_rgb(hue / 36, lightness, 0.7)).upper()
        for hue, lightness in product(range(36), (0.3, 0.45, 0.6))
    ]
    while True:
        avoided = [to_rgb(colour) for colour in (*used, GREY, DARK)]
        used.append(max(every, key=lambda colour: _distance(to_rgb(colour), avoided)))
        yield used[-1]


def _distance(colour: Sequence[float], others: Sequence[Sequence[float]]) -> float:
    """Return the distance to the nearest of other colours, weighted as the eye does."""
    weights = (0.30, 0.59, 0.11)
    return min(
        sum(w * (a - b) ** 2 for w, a, b in zip(weights, colour, other, strict=True))
        for other in others
    )


def _edges(used: list[str]) -> Iterator[str]:
    """Yield unused colours of edges."""
    return (colour for colour in chain(["#000000"], _colours(used)) if colour not in used)


def _markers(used: list[Any]) -> Iterator[Any]:
    """Yield unused markers: matplotlib's own, then stars of ever more points."""
    every = chain("DvPXph<>d*8", ((points, 1, 0) for points in count(6)))
    return (marker for marker in every if marker not in used)


def _lines(used: list[Any]) -> Iterator[Any]:
    """Yield unused line styles: matplotlib's own, then ever longer dashes."""
    every = chain((":", "-.", "-", "--"), ((0, (dash, 1)) for dash in count(6)))
    return (line for line in every if line not in used)


def _fills(used: list[Any]) -> Iterator[Any]:
    """Yield unused fills of marks; matplotlib has few, and they repeat."""
    every = ["left", "right", "top", "bottom"]
    return cycle([fill for fill in every if fill not in used] or every)


def face(colour: str, status: str = OK, fill: str = "full") -> dict[str, Any]:
    """Return the face of a mark as a keyword: pale for widened arithmetic, else nothing.

    Parameters
    ----------
    colour : str
        The colour of the mark.
    status : str
        The status of its row.
    fill : str
        The fill of the mark; an open one, "none", has a pale edge instead.
    """
    if status != WIDENED:
        return {}
    pale = [PALE * part + 1 - PALE for part in to_rgb(colour)]
    return {"markeredgecolor" if fill == "none" else "markerfacecolor": pale}


def widened_handle(text: str = "widened arithmetic") -> Line2D:
    """Return the legend entry of pale marks."""
    look: dict[str, Any] = {"color": DARK, "markerfacecolor": "#D0D0D0", "linestyle": ""}
    return Line2D([], [], marker="o", label=text, **look)


def no_level_handle() -> Line2D:
    """Return the legend entry of `marks.no_level`."""
    look: dict[str, Any] = {"color": DARK, "markersize": 3, "linestyle": ""}
    return Line2D([], [], marker="x", label="no level within the tolerance", **look)
