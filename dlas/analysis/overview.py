"""Figure of the study at a glance: every latency that was measured."""

from itertools import product
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dlas.analysis import marks, panels, statuses
from dlas.analysis.columns import MODEL
from dlas.analysis.observation import distinct, measured, unreached
from dlas.analysis.style import GREY, Looks, no_level_handle, style
from dlas.status import MEASURED

LINE = ["compression", "format", "tuning"]
# Heights in print, of a line and of the heading of a data set.
LINE_INCHES = 0.145
HEADING_INCHES = 0.22
SMALL: dict[str, Any] = {
    "markersize": 2.8,
    "markeredgewidth": 0.5,
    "elinewidth": 0.6,
    "capsize": 0.8,
    "capthick": 0.6,
}


@style()
def draw(study: pd.DataFrame, peers: pd.DataFrame, looks: Looks) -> Figure:
    """Return the figure of the latency of every configuration, with its interval.

    A model has one line for each compression, format and tuning. On a line the marks of the
    primitives stand a little lower each. A grey line over all of them is the uncompressed network
    in another runtime. The title counts the rows without a measurement.

    Parameters
    ----------
    study, peers : DataFrame
        study.csv and peers.csv.
    looks : Looks
        Labels, order and looks of the methods.
    """
    rows, no_level = distinct(measured(study)), unreached(study)
    peers = peers[peers["status"].isin(MEASURED)]
    platforms = looks.ordered("platform", study["platform"])
    there = set(study[LINE].itertuples(index=False, name=None))
    lines = [
        line
        for line in product(*(looks.ordered(kind, study[kind]) for kind in LINE))
        if line in there
    ]
    places = looks.sort(study[MODEL].drop_duplicates(), MODEL)
    # The height of a model, with a gap to the next one.
    inches = LINE_INCHES * (len(lines) + 0.8)
    headings = HEADING_INCHES * places["dataset"].nunique()
    figure, axes = panels.columns(
        looks,
        platforms,
        height=0.9 + inches * len(places) + headings,
        width=panels.PAGE_INCHES,
        sharey=True,
    )
    heights = panels.rows_of(axes, places, looks.label, heading=HEADING_INCHES / inches)
    share = LINE_INCHES / inches
    offsets = {line: ((len(lines) - 1) / 2 - index) * share for index, line in enumerate(lines)}
    primitives = looks.ordered("primitive", study["primitive"])
    steps = {
        primitive: ((len(primitives) - 1) / 2 - index) * 0.7 / len(primitives) * share
        for index, primitive in enumerate(primitives)
    }
    reach = len(lines) / 2 * share
    for axis, platform in zip(axes[0], platforms, strict=False):
        here, missing, beside = (
            table[table["platform"] == platform] for table in (rows, no_level, peers)
        )
        for (dataset, model), centre in heights.items():
            if not len(_at(here, dataset, model)):
                marks.absent(axis, centre)
            marks.peers(axis, looks, _at(beside, dataset, model), centre - reach, centre + reach)
        for row in missing.drop_duplicates([*MODEL, *LINE]).itertuples():
            offset = offsets[row.compression, row.format, row.tuning]
            height = heights[row.dataset, row.model] + offset
            marks.no_level(axis, height, looks.colour(row.compression))
        marks.configurations(
            axis,
            looks,
            here,
            [
                heights[row.dataset, row.model]
                + offsets[row.compression, row.format, row.tuning]
                + steps[row.primitive]
                for row in here.itertuples()
            ],
            **SMALL,
        )
        if len(rows):
            shown = [rows["latency_ms_low"], rows["latency_ms_high"], peers["latency_ms"]]
            limits = pd.concat(shown).astype(float)
            panels.log_axis(axis.xaxis, limits.min(), limits.max(), fine=2.7)
        axis.set_xlabel("latency (ms, log scale)")
    panels.legend_below(figure, *_legend(study, rows, peers, looks))
    if missing := statuses.counted(study):
        figure.suptitle(missing, fontsize=6, color=GREY)
    return figure


def _at(rows: pd.DataFrame, dataset: str, model: str) -> pd.DataFrame:
    return rows[(rows["dataset"] == dataset) & (rows["model"] == model)]


def _legend(
    study: pd.DataFrame, rows: pd.DataFrame, peers: pd.DataFrame, looks: Looks
) -> tuple[list[Line2D], ...]:
    several = study["compression"].nunique() > 1
    first = looks.legend(study, "compression") if several else []
    third = looks.legend(study, "format") + looks.legend(rows, "status")
    if len(unreached(study)):
        third.append(no_level_handle())
    return first, looks.legend(study, "primitive", "tuning"), third, looks.legend(peers, "runtime")
