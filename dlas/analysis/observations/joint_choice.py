"""The best joint configuration beats the one chosen layer by layer: co-design is needed.

What is compared on each network and platform, and how its interval comes about, is in dlas/analysis/choices.py. The
interval of the mean holds for the networks of the study, it says nothing on others. See RULE.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dlas.analysis import choices, curves, figures, statistics
from dlas.analysis.choices import PLACE, Choice, Place
from dlas.analysis.observation import Observation, Tables, Verdict, floors, needs
from dlas.plugins import ObservationPlugin

PLUGIN = ObservationPlugin(
    label="the best joint configuration beats the one chosen layer by layer: co-design is needed",
    order=13,
    origin="abstract",
    layer="Across the stack",
)
CLAIM = PLUGIN.label

WORTH = 1.1
RULE = f"""
Configurations: compression with its format, primitive and tuning, of compressions with equal accuracy: compiled
{curves.ALLOWED}. Combination: the fastest of each of the three, the other two at their default (uncompressed and dense;
untuned; the primitive that is fastest so on average on the platform). A network whose combination was not measured is
left out. Speedup: latency of the combination over that of the fastest configuration, 1 where that is not clearly
faster. Its limits: the largest lower and upper limit of any configuration's speedup, family-wise 95 % over all pairs of
configurations of all networks, widened by the A/A noise floor. Geometric mean over networks and platforms. Supported:
its interval lies above {WORTH}, which makes a joint choice worthwhile. Contradicted: it lies below {WORTH}.
Inconclusive otherwise.
"""
READING = """
A panel is a platform, a row a network. The upper mark is what choosing each layer by itself comes to, the lower one
the joint optimum, both as the speedup over the default configuration with a 95 % interval, on a logarithmic axis;
colour is the compression, shape the primitive, an open mark auto-scheduled. It supports the claim where the lower mark
is to the right of the upper one. At the right stands by which factor, where that is clear; "same" says that both
choices are the same configuration.
"""
DATA = """
results/study.csv: every measured row, untuned and auto-scheduled, of compressions that are as accurate as the
uncompressed network. results/noise_floor.csv: the largest noise floor of each platform and data set.
"""
STATISTIC = (
    "geometric mean speedup of the joint optimum over the configuration chosen layer by layer"
)
COLUMNS = [*PLACE, "configurations", "combination", "joint", "speedup", "low", "high"]
LIMITS = ("speedup", "low", "high")
STEPS = (
    0.2,
    -0.2,
)  # of the marks of combination and joint optimum, from the middle of a network's line
TEXT_SHARE = 0.15  # of a panel's width, kept free for the speedup


def observe(tables: Tables) -> Observation:
    """Return the verdict under RULE; the evidence is one row for each network whose combination was measured: COLUMNS.

    `low` and `high` are the limits of its speedup, `configurations` is how many there were.
    """
    found = choices.by_network(tables.study)
    evidence = _speedups(found, floors(tables.noise_floor))
    if evidence.empty:
        return needs(
            "a network with options on two layers of the stack and the combination of those that are fastest alone",
            STATISTIC,
        )
    mean = statistics.Interval(*np.exp(np.log(evidence[list(LIMITS)]).mean()))
    verdict: Verdict = "inconclusive"
    if mean.low > WORTH:
        verdict = "supported"
    elif mean.high < WORTH:
        verdict = "contradicted"
    clear = evidence[evidence["low"] > 1]
    reason = f"the joint optimum is clearly faster on {len(clear)} of {len(evidence)} networks"
    if len(clear):
        top = clear.loc[clear["speedup"].idxmax()]
        reason += (
            f"; most, {top['speedup']:.2f} times [{top['low']:.2f}, {top['high']:.2f}], on "
            f"{figures.label(top['model'])}, {figures.label(top['dataset'])} on {figures.label(top['platform'])} with "
            f"{top['joint']} in place of {top['combination']}"
        )
    unmeasured = sum(choice.combination.empty for choice in found.values())
    if unmeasured:
        reason += f"; left out, as the combination was not measured: {unmeasured}"
    return Observation(verdict, reason, STATISTIC, *mean, n=len(evidence), evidence=evidence)


def _speedups(found: dict[Place, Choice], floor: dict[tuple[str, str], float]) -> pd.DataFrame:
    """Return COLUMNS of the networks whose combination was measured and that have a noise floor."""
    lines = []
    for place, gain in choices.gains(found, floor).items():
        choice = found[place]
        words = [choices.in_words(rows.iloc[0]) for rows in (choice.combination, choice.joint)]
        lines.append((*place, len(choice.configurations), *words, *gain))
    return pd.DataFrame(lines, columns=COLUMNS)


@figures.style()
def draw(tables: Tables, observation: Observation) -> Figure:
    """Return the speedups of combination and joint optimum over the default, and their ratio where it is clear."""
    found = choices.by_network(tables.study)
    platforms = figures.ordered(tables.study["platform"], figures.NAMES)
    if not found:
        figure, axes = figures.columns(platforms, height=1.2)
        for axis in axes[0]:
            figures.note(axis, "no network has options on two layers of the stack")
        return figures.finish(figure, CLAIM, observation, RULE)
    marks = {
        place: [_over_default(rows, choice.default) for rows in (choice.combination, choice.joint)]
        for place, choice in found.items()
    }
    shown = pd.concat([rows for pair in marks.values() for rows in pair])
    low, high = min(0.9, shown["low"].min()), max(1.1, shown["high"].max())
    room = (high / low) ** (TEXT_SHARE / (1 - TEXT_SHARE))
    places = pd.DataFrame(list(found), columns=PLACE)[["dataset", "model"]].drop_duplicates()
    places = places.sort_values(["dataset", "model"])
    figure, axes = figures.columns(
        platforms, height=0.7 + 0.33 * len(places), width=figures.PAGE_INCHES, sharey=True
    )
    heights = figures.rows_of(axes, places)
    for axis, platform in zip(axes[0], platforms, strict=True):
        for (dataset, model), height in heights.items():
            pair = marks.get((platform, dataset, model), [])
            if not pair:
                figures.absent(axis, height)
            for rows, step in zip(pair, STEPS, strict=False):
                _marks(axis, rows, height + step)
        for row in observation.evidence.itertuples():
            if row.platform == platform:
                _gain(axis, row, heights[row.dataset, row.model])
        figures.log_axis(axis.xaxis, low, high * room)
        axis.axvline(1, color=figures.GREY, linewidth=0.8)
        axis.set_xlabel("speedup over the default\nabove: layer by layer, below: joint")
    return figures.finish(figure, CLAIM, observation, RULE, _legend(shown))


def _over_default(rows: pd.DataFrame, default: pd.DataFrame) -> pd.DataFrame:
    """Return rows with LIMITS, their speedup over the default's median latency."""
    before = default["latency_ms"].iloc[0]
    return rows.assign(
        speedup=before / rows["latency_ms"],
        low=before / rows["latency_ms_high"],
        high=before / rows["latency_ms_low"],
    )


def _marks(axis: Axes, rows: pd.DataFrame, height: float) -> None:
    """Draw the one configuration of these rows, or say that it was not measured."""
    if rows.empty:
        figures.absent(axis, height, "not measured together")
    for row in rows.itertuples():
        figures.intervals(
            axis,
            rows.loc[[row.Index]],
            [height],
            LIMITS,
            color=figures.colour(row.compression),
            marker=figures.marker(row.primitive),
            fillstyle=figures.fill(row.tuning),
            **figures.edge(row.format),
        )


def _gain(axis: Axes, row: Any, height: float) -> None:
    """Write by how much the joint optimum of a row of the evidence is faster, where it clearly is."""
    clear, same = row.low > 1, row.joint == row.combination
    axis.text(
        0.985,
        height,
        f"{row.speedup:.2f}x" if clear else "same" if same else "unclear",
        transform=axis.get_yaxis_transform(),
        ha="right",
        va="center",
        fontsize=5.8,
        fontweight="bold" if clear else "normal",
        color="#202020" if clear else figures.GREY,
    )


def _legend(shown: pd.DataFrame) -> list[Line2D]:
    """Return the entries of what these rows have."""
    known = {
        "compression": figures.COLOURS,
        "primitive": figures.MARKERS,
        "tuning": figures.FILLS,
    }
    legend = [
        handle
        for kind, names in known.items()
        for handle in figures.handles(kind, figures.ordered(shown[kind], names))
    ]
    if (shown["format"] == "csr").any():
        legend += figures.handles("format", ["csr"])
    if (shown["status"] == "emulated").any():
        legend.append(figures.emulated_handle())
    return legend
