"""The page results/explore.html: choose, filter and compare the configurations of a study.

Every configuration is a point and a row of a table. Bokeh draws the points and comes with the page,
which loads nothing from outside. Controls and table are plain HTML: all of them can be reached by
keyboard and are named to screen readers, which Bokeh's DataTable does not offer. explore.html is
the page, explore.js its behaviour.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from bokeh.embed import json_item
from bokeh.models import (
    Axis,
    ColumnDataSource,
    CustomJSHover,
    CustomJSTickFormatter,
    Grid,
    HoverTool,
    LinearAxis,
    LogAxis,
    Range1d,
    Scatter,
)
from bokeh.plotting import figure
from bokeh.resources import Resources
from jinja2 import Environment, FileSystemLoader, StrictUndefined

PARTS = Path(__file__).parent
# Columns of a point, which explore.js fills.
POINT = ("x", "y", "colour", "marker", "label", "row")
AXES: tuple[tuple[str, Literal["below", "left"], Literal[0, 1]], ...] = (
    ("x", "below", 0),
    ("y", "left", 1),
)


def html(data: Mapping[str, Any]) -> str:
    """Return the page; equal data gives equal pages in new processes.

    Parameters
    ----------
    data : mapping
        That of `dlas.analysis.explore_data.content`.

    Returns
    -------
    str
        HTML.
    """
    environment = Environment(
        loader=FileSystemLoader(PARTS), autoescape=True, undefined=StrictUndefined
    )
    bokeh = Resources(mode="inline", components=["bokeh", "bokeh-gl"])
    return environment.get_template("explore.html").render(
        bokeh="\n".join(bokeh.js_raw),
        script=(PARTS / "explore.js").read_text(),
        plot=_embedded(json_item(plot(data))),
        study=_embedded(data),
    )


def plot(data: Mapping[str, Any]) -> figure:
    """Return the plot without points.

    Each direction has a linear and a logarithmic axis, of which explore.js shows one.

    Parameters
    ----------
    data : mapping
        That of `dlas.analysis.explore_data.content`.
    """
    drawn = figure(
        name="plot",
        output_backend="webgl",
        height=460,
        sizing_mode="stretch_width",
        x_axis_type=None,
        y_axis_type=None,
        x_range=Range1d(),
        y_range=Range1d(),
        tools="pan,wheel_zoom,box_zoom,reset,save",
        toolbar_location="above",
    )
    drawn.toolbar.logo = None
    short = CustomJSTickFormatter(code="return shortNumber(tick)")
    for name, side, dimension in AXES:
        for scale, axis in (("linear", LinearAxis), ("log", LogAxis)):
            one: Axis = axis(name=f"{name}_{scale}", visible=False)
            one.formatter = short
            grid = Grid(name=f"{name}_{scale}_grid", dimension=dimension, axis=one, visible=False)
            drawn.add_layout(one, side)
            drawn.add_layout(grid)
    points = drawn.add_glyph(_points("points"), _mark(size=9, alpha=0.8))
    # Bokeh's own selection is not used: with WebGL it swaps points of different markers.
    drawn.add_glyph(_points("chosen"), _mark(size=16, alpha=1.0, edge=2.5))
    titles = {column["name"]: column["title"] for column in data["columns"]}
    drawn.add_tools(
        HoverTool(
            renderers=[points],
            limit=1,
            attachment="vertical",
            tooltips=[(titles[name], f"@row{{{name}}}") for name in data["tooltip"]],
            formatters={"@row": CustomJSHover(code="return cellText(format, value)")},
        ),
    )
    return drawn


def _points(name: str) -> ColumnDataSource:
    return ColumnDataSource({column: [] for column in POINT}, name=name)


def _mark(size: float, alpha: float, edge: float = 0.5) -> Scatter:
    return Scatter(
        x="x",
        y="y",
        marker="marker",
        size=size,
        fill_color="colour",
        fill_alpha=alpha,
        line_color="#202020",
        line_alpha=alpha,
        line_width=edge,
    )


def _embedded(value: Any) -> str:
    """Return JSON that is safe within a script element."""
    return json.dumps(value, allow_nan=False).replace("<", "\\u003c")
