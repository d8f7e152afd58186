"""Conclusions from the small-input dataset do not carry over to the large-input one.

A conclusion is that one configuration (compression, format, primitive) of a model is clearly faster than another on a
platform. On the other data set it can hold, be reversed, or stay unclear. Compared are models that both data sets have,
so that nothing but the data set and what follows from it, such as the level of pruning, differs; the geometric means
over all models of each data set, whose models differ too, are drawn beside them and not judged.

study.csv does not say which images are larger, and MACs do not tell: networks for small images keep their resolution
longer. So conclusions of either data set count, in whichever direction they are carried.

The interval of the share that is reversed: with a family-wise error of 5 % all clear orders are true at once with 95 %
confidence, so that at least those are reversed which clearly are, and at most those too which are unclear on one of the
data sets. It holds for the configurations of the study, and needs no independence of its pairs. See RULE.
"""

from itertools import combinations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dlas.analysis import figures, statistics
from dlas.analysis.observation import (
    LATENCY,
    Observation,
    Tables,
    Verdict,
    distinct,
    floors,
    log_errors,
    measured,
    needs,
    untuned,
)
from dlas.plugins import ObservationPlugin

PLUGIN = ObservationPlugin(
    label="conclusions from the small-input dataset do not carry over to the large-input one",
    order=12,
    origin="formulated",
    layer="1 Datasets",
)
CLAIM = PLUGIN.label

LARGEST_SHARE = 0.25
FEWEST = 10  # a share of fewer conclusions says nothing
RULE = f"""
Conclusions: on each platform, for each model that two data sets have, all pairs of its configurations (compression,
format, primitive; untuned) that are clearly ordered on at least one of the two. A conclusion is reversed if the order
is clear on both and opposite, it holds if it is clear on both and the same. Clear: by more than the A/A noise floor and
the intervals, with a family-wise error of 5 % over all comparisons. Interval of the share that is reversed: from the
reversed ones alone to all but those that hold. Supported: it lies above {100 * LARGEST_SHARE:g} %.
Contradicted: it lies below. Inconclusive otherwise, and with fewer than {FEWEST} conclusions.
"""
READING = """
A panel is a platform and a model that two data sets have; the last row of panels has the means over all models, which
are not judged. A mark is a configuration: its latency over that of the fastest, across on one data set, up on the
other, with 95 % intervals on logarithmic axes. On the diagonal the data sets agree exactly, but what counts is the
order: two marks are a reversed conclusion where the one further right is the lower one, clearly both ways. Dotted
lines join these, where they are few; their number is below the panel.
"""
DATA = """
results/study.csv: the measured untuned rows of models that take part on two data sets, in the same compression, format
and primitive. results/noise_floor.csv: the largest noise floor of each platform and data set.
"""
STATISTIC = "share of conclusions that are reversed on another data set, among those clear on both"
VARIANT = ["compression", "format", "primitive"]
EVERY = "all models"  # in the place of a model: the means, which are not judged
COLUMNS = ["platform", "model", "first", "second", "one", "other", "outcome"]
REVERSED = "#B34700"
MOST_LINES = 10  # of reversed pairs in a panel; more would hide the points
LEAST_INCHES, ROW_INCHES = 5.2, 2.4  # the figure's width, and the height of a row of panels

Place = tuple[str, str, str, str]  # platform, model, and the two data sets
Sides = tuple[pd.DataFrame, pd.DataFrame]  # a model on one and on the other of them


def pairs(study: pd.DataFrame) -> dict[Place, Sides]:
    """Return the latencies of the same configurations of a model on two data sets: LATENCY and status by VARIANT.

    EVERY stands for the geometric mean over all models of a data set.
    """
    rows = untuned(distinct(measured(study)))
    rows = rows[["platform", "dataset", "model", *VARIANT, *LATENCY, "status"]]
    found: dict[Place, Sides] = {}
    for platform, here in rows.groupby("platform"):
        for first, second in combinations(sorted(set(here["dataset"])), 2):
            both = [here[here["dataset"] == name] for name in (first, second)]
            shared = sorted(set(both[0]["model"]) & set(both[1]["model"]))
            sides = {
                model: [own[own["model"] == model].set_index(VARIANT) for own in both]
                for model in shared
            }
            sides[EVERY] = [_means(own) for own in both]
            for model, (one, other) in sides.items():
                alike = one.index.intersection(other.index)
                if len(alike) > 1:
                    found[platform, model, first, second] = (
                        one[[*LATENCY, "status"]].reindex(alike),
                        other[[*LATENCY, "status"]].reindex(alike),
                    )
    return found


def _means(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the geometric mean of the latencies over the models, for each configuration that all of them have."""
    values = rows.assign(logarithm=np.log(rows["latency_ms"]), variance=np.square(log_errors(rows)))
    groups = values.groupby(VARIANT)
    models, logarithm = groups.size(), groups["logarithm"].mean()
    reach = statistics.REACH * np.sqrt(groups["variance"].sum()) / models
    limits = zip(LATENCY, (0, -reach, reach), strict=True)
    means = pd.DataFrame({name: np.exp(logarithm + by) for name, by in limits})
    return means.assign(status=groups["status"].first())[models == rows["model"].nunique()]


def observe(tables: Tables) -> Observation:
    """Return the verdict under RULE; the evidence is one row for each conclusion, with COLUMNS.

    `first` and `second` are the data sets, `one` and `other` the configurations, `outcome` is reversed, holds or
    unclear. The means over all models are in it too.
    """
    floor = floors(tables.noise_floor)
    found = {
        place: sides
        for place, sides in pairs(tables.study).items()
        if all((place[0], dataset) in floor for dataset in place[2:])
    }
    shared = {place: sides for place, sides in found.items() if place[1] != EVERY}
    if not shared:
        return needs("a model measured in the same configurations on two data sets", STATISTIC)
    evidence = _conclusions(found, floor)
    outcomes = evidence.loc[evidence["model"] != EVERY, "outcome"]
    turned, held, total = (outcomes == "reversed").sum(), (outcomes == "holds").sum(), len(outcomes)
    share = turned / (turned + held) if turned + held else np.nan
    low, high = (turned / total, (total - held) / total) if total else (np.nan, np.nan)
    verdict: Verdict = "inconclusive"
    if total >= FEWEST and low > LARGEST_SHARE:
        verdict = "supported"
    elif total >= FEWEST and high < LARGEST_SHARE:
        verdict = "contradicted"
    reason = f"of {total} conclusions {turned} are reversed and {held} hold; {_cost(shared)}"
    return Observation(verdict, reason, STATISTIC, share, low, high, n=total, evidence=evidence)


def _conclusions(found: dict[Place, Sides], floor: dict[tuple[str, str], float]) -> pd.DataFrame:
    """Return the evidence."""
    # each pair has two orders on each of two data sets, and each of them could be a false one
    comparisons = sum(2 * len(one) * (len(one) - 1) for one, _ in found.values())
    tables = []
    for (platform, *names), sides in found.items():
        model, *datasets = names
        upper = np.triu_indices(len(sides[0]), 1)
        orders = np.array(
            [
                statistics.clear_orders(
                    rows["latency_ms"], log_errors(rows), floor[platform, dataset], comparisons
                )[upper]
                for dataset, rows in zip(datasets, sides, strict=True)
            ]
        )
        agreement = orders.prod(axis=0)
        variants = sides[0].index.to_flat_index()
        table = pd.DataFrame({"one": variants[upper[0]], "other": variants[upper[1]]})
        table["outcome"] = np.select(
            [agreement < 0, agreement > 0], ["reversed", "holds"], "unclear"
        )
        table = table.assign(platform=platform, model=model, first=datasets[0], second=datasets[1])
        tables.append(table.loc[orders.any(axis=0), COLUMNS])
    return pd.concat(tables, ignore_index=True)


def _cost(shared: dict[Place, Sides]) -> str:
    """Return in words what it costs at most to choose the fastest configuration on the other data set."""
    costs = {}
    for (platform, model, first, second), (one, other) in shared.items():
        for chosen, used, here, there in ((first, second, one, other), (second, first, other, one)):
            latencies = there["latency_ms"]
            cost = float(latencies.loc[here["latency_ms"].idxmin()] / latencies.min())
            costs[platform, model, chosen, used] = cost
    worst = max(costs, key=lambda choice: costs[choice])
    platform, model, chosen, used = map(figures.label, worst)
    return (
        f"what is fastest on one data set takes at most {costs[worst]:.2f} times as long as the fastest on the other: "
        f"{model} on {platform}, chosen on {chosen}, used on {used}"
    )


@figures.style()
def draw(tables: Tables, observation: Observation) -> Figure:
    """Return the latency of each configuration on one data set over that on the other, each over the fastest there.

    On the line the data sets agree. Dotted lines join the reversed pairs, unless they are many.
    """
    found = pairs(tables.study)
    platforms = figures.ordered(tables.study["platform"], figures.NAMES)
    lines = sorted({place[1:] for place in found}, key=lambda line: (line[0] == EVERY, line))
    if not lines:
        figure, axes = figures.columns(platforms, height=1.2)
        for axis in axes[0]:
            figures.note(axis, "no configuration was measured on two data sets")
        return figures.finish(figure, CLAIM, observation, RULE)
    figure, axes = figures.columns(platforms, len(lines), ROW_INCHES * len(lines))
    width, height = figure.get_size_inches()
    figure.set_size_inches(max(LEAST_INCHES, width), height)
    evidence = observation.evidence if len(observation.evidence) else pd.DataFrame(columns=COLUMNS)
    few = False
    for row, (model, first, second) in zip(axes, lines, strict=True):
        for axis, platform in zip(row, platforms, strict=True):
            axis.set_title(f"{figures.label(platform)}, {figures.label(model)}")
            if (platform, model, first, second) not in found:
                figures.note(axis, "not measured on both data sets")
                continue
            here = (evidence[COLUMNS[:4]] == [platform, model, first, second]).all(axis=1)
            conclusions = evidence[here]
            counted = _count(conclusions) + (", not judged" if model == EVERY else "")
            axis.set_xlabel(f"{figures.label(first)}: latency / fastest\n{counted}", fontsize=6.2)
            axis.set_ylabel(f"{figures.label(second)}: latency / fastest", fontsize=6.2)
            few |= _panel(axis, *found[platform, model, first, second], conclusions)
    drawn = pd.concat([rows for sides in found.values() for rows in sides]).reset_index()
    legend = figures.handles("primitive", figures.ordered(drawn["primitive"], figures.MARKERS))
    legend += figures.handles("compression", figures.ordered(drawn["compression"], figures.COLOURS))
    if (drawn["format"] == "csr").any():
        legend += figures.handles("format", ["csr"])
    if (drawn["status"] == "emulated").any():
        legend.append(figures.emulated_handle())
    if few:
        legend.append(Line2D([], [], color=REVERSED, linestyle=":", label="reversed pair"))
    return figures.finish(figure, CLAIM, observation, RULE, legend)


def _count(conclusions: pd.DataFrame) -> str:
    """Return in words what became of a panel's conclusions."""
    if conclusions.empty:
        return "no conclusion"
    turned, held = ((conclusions["outcome"] == name).sum() for name in ("reversed", "holds"))
    return f"{len(conclusions)} conclusions:\n{turned} reversed, {held} hold"


def _panel(
    axis: Axes, first: pd.DataFrame, second: pd.DataFrame, conclusions: pd.DataFrame
) -> bool:
    """Draw a panel, and return whether lines join its reversed pairs."""
    x, y = (rows[LATENCY] / rows["latency_ms"].min() for rows in (first, second))
    low = min(x["latency_ms_low"].min(), y["latency_ms_low"].min(), 0.95)
    high = max(x["latency_ms_high"].max(), y["latency_ms_high"].max(), 1.2)
    for side in (axis.xaxis, axis.yaxis):
        figures.log_axis(side, low, high)
    axis.plot([low, high], [low, high], color=figures.GREY, linewidth=0.8, zorder=1)
    turned = conclusions[conclusions["outcome"] == "reversed"]
    joined = 0 < len(turned) <= MOST_LINES
    if joined:
        for pair in turned.itertuples():
            ends = (rows.loc[[pair.one, pair.other], "latency_ms"] for rows in (x, y))
            axis.plot(*ends, ":", color=REVERSED, zorder=1)
    for variant, status in first["status"].items():
        compression, format, primitive = variant
        (across, *width), (up, *height) = x.loc[variant], y.loc[variant]
        colour = figures.colour(compression)
        axis.errorbar(
            across,
            up,
            xerr=[[across - width[0]], [width[1] - across]],
            yerr=[[up - height[0]], [height[1] - up]],
            elinewidth=0.6,
            markersize=3.6,
            color=colour,
            marker=figures.marker(primitive),
            **figures.edge(format) | figures.face(colour, status),
        )
    return joined
