"""Conclusions from the small-input dataset do not carry over to the large-input one.

A conclusion is that one configuration (compression, format, primitive) of a model is clearly faster
than another on a platform. On the other data set it can hold, be reversed, or stay unclear. Models
that both data sets have are compared: nothing differs but the data set and its consequences, such
as the level of pruning. The geometric means over all models of each data set, whose models differ
too, are drawn beside them and not judged.

study.csv does not say which images are larger, and MACs do not tell: networks for small images keep
their resolution longer. Conclusions of either data set count, in whichever direction they are
carried.

With a family-wise error of 5 % all clear orders are true at once with 95 % confidence. This gives
the interval of the share that is reversed. Its lower limit counts the clearly reversed conclusions
alone, its upper limit also the ones that are unclear on one of the data sets. The interval holds
for the configurations of the study, and needs no independence of their pairs. Configurations of a
model are compared in paired samples. See RULE.
"""

from itertools import combinations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dlas.analysis import judging, marks, panels, statistics
from dlas.analysis.columns import LATENCY, PLACE
from dlas.analysis.effects import Rounds, effects
from dlas.analysis.observation import (
    Observation,
    Tables,
    distinct,
    distinct_names,
    floors,
    log_errors,
    needs,
    timed,
    untuned,
)
from dlas.analysis.style import GREY, Looks, face
from dlas.plugins import ObservationPlugin

PLUGIN = ObservationPlugin(
    label="conclusions from the small-input dataset do not carry over to the large-input one",
    order=12,
    origin="formulated",
    layer="1 Datasets",
)

THRESHOLD = 0.25
# A share of fewer conclusions says nothing.
MIN_COUNT = 10
RULE_VERSION = 2
RULE = f"""
Conclusions: on each platform, for each model that two data sets have, all pairs of its
configurations (compression, format, primitive; untuned) that are clearly ordered on at least one of
the two. A conclusion is reversed if the order is clear on both and opposite, it holds if it is
clear on both and the same. Clear: by more than the A/A noise floor and the interval of paired
samples, with a family-wise error of 5 % over all comparisons. Interval of the share that is
reversed: from the reversed ones alone to all but those that hold. Supported: it lies above
{THRESHOLD:.0%}. Contradicted: it lies below. Inconclusive otherwise, and with fewer than
{MIN_COUNT} conclusions. For other networks: the exact interval of the share of shared models of
whose conclusions more than {THRESHOLD:.0%} are reversed; yes above {judging.COMMON:.0%}, no below.
"""
READING = """
A panel is a platform and a model that two data sets have; the last row of panels has the means over
all models, which are not judged. A mark is a configuration: its latency over that of the fastest,
across on one data set, up on the other, with 95 % intervals on logarithmic axes. On the diagonal
the data sets agree exactly, but what counts is the order: two marks are a reversed conclusion where
the one further right is the lower one, clearly both ways. Dotted lines join these, where they are
few; their number is below the panel.
"""
DATA = """
results/study.csv: the measured untuned rows of models that take part on two data sets, in the same
compression, format and primitive. results/noise_floor.csv: the largest noise floor of each platform
and data set.
"""
STATISTIC = "share of conclusions that are reversed on another data set, among those clear on both"
METHOD = ["compression", "format", "primitive"]
# Stands in place of a model for the means, which are not judged.
EVERY = "all models"
COLUMNS = ["platform", "model", "first", "second", "one", "other", "outcome"]
REVERSED = "#B34700"
# The lines of more reversed pairs in a panel would hide the points.
MAX_LINES = 10
# The width of the figure, and the height of a row of panels.
LEAST_INCHES, ROW_INCHES = 5.2, 2.4

SHOWN = [*LATENCY, "status"]

# (platform, model, first data set, second data set), and the rows of the model on each of both.
Place = tuple[str, str, str, str]
Sides = tuple[pd.DataFrame, pd.DataFrame]


def pairs(rows: pd.DataFrame) -> dict[Place, Sides]:
    """Return the rows of the same configurations of a model on two data sets.

    Parameters
    ----------
    rows : DataFrame
        Rows of `observation.timed`.

    Returns
    -------
    dict of (platform, model, data set, data set) to (DataFrame, DataFrame)
        LATENCY, status and row by METHOD. The model EVERY has the geometric means over all models
        of a data set, without row.
    """
    rows = untuned(distinct(rows))[[*PLACE, *METHOD, *SHOWN, "row"]]
    found: dict[Place, Sides] = {}
    for platform, here in rows.groupby("platform"):
        for first, second in combinations(sorted(set(here["dataset"])), 2):
            both = [here[here["dataset"] == name] for name in (first, second)]
            shared = sorted(set(both[0]["model"]) & set(both[1]["model"]))
            sides = {
                model: [own[own["model"] == model].set_index(METHOD) for own in both]
                for model in shared
            }
            sides[EVERY] = [_means(own) for own in both]
            for model, (one, other) in sides.items():
                alike = one.index.intersection(other.index)
                if len(alike) > 1:
                    found[platform, model, first, second] = one.loc[alike], other.loc[alike]
    return found


def _means(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the geometric mean latency over the models of each configuration that all have."""
    values = rows.assign(logarithm=np.log(rows["latency_ms"]), variance=np.square(log_errors(rows)))
    groups = values.groupby(METHOD)
    models, logarithm = groups.size(), groups["logarithm"].mean()
    reach = statistics.REACH * np.sqrt(groups["variance"].sum()) / models
    limits = zip(LATENCY, (0, -reach, reach), strict=True)
    means = pd.DataFrame({name: np.exp(logarithm + by) for name, by in limits})
    return means.assign(status=groups["status"].first())[models == rows["model"].nunique()]


def observe(tables: Tables) -> Observation:
    """Return the verdict under RULE.

    Returns
    -------
    Observation
        The evidence has one row for each conclusion: COLUMNS. `first` and `second` are the data
        sets, `one` and `other` the configurations. `outcome` is "reversed", "holds" or "unclear".
    """
    found = pairs(timed(tables))
    return _verdict(found, tables).showing(
        latencies=_table(found), platform=distinct_names(tables.study, "platform")
    )


def _table(found: dict[Place, Sides]) -> pd.DataFrame:
    """Return the latencies of `pairs` in one table: place, METHOD, LATENCY twice, and status."""
    parts = [
        one[SHOWN]
        .join(other[LATENCY].add_suffix("_other"))
        .reset_index()
        .assign(**dict(zip(COLUMNS[:4], place, strict=True)))
        for place, (one, other) in found.items()
    ]
    others = [f"{name}_other" for name in LATENCY]
    columns = [*COLUMNS[:4], *METHOD, *LATENCY, *others, "status"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _verdict(found: dict[Place, Sides], tables: Tables) -> Observation:
    floor = floors(tables.noise_floor)
    shared = {
        place: sides
        for place, sides in found.items()
        if place[1] != EVERY and all((place[0], dataset) in floor for dataset in place[2:])
    }
    if not shared:
        return needs("a model measured in the same configurations on two data sets", STATISTIC)
    evidence = _conclusions(shared, floor, tables.rounds)
    turned, held, total = _counts(evidence["outcome"])
    share = turned / (turned + held) if turned + held else np.nan
    low, high = (turned / total, (total - held) / total) if total else (np.nan, np.nan)
    verdict: judging.Verdict = "inconclusive"
    if total >= MIN_COUNT:
        verdict = judging.any_beyond(low, high, THRESHOLD)
    models = [_counts(own["outcome"]) for _, own in evidence.groupby("model")]
    differing = sum(turned > THRESHOLD * total for turned, _, total in models)
    reason = f"of {total} conclusions {turned} are reversed and {held} hold; {_cost(shared)}"
    return Observation(
        verdict,
        reason,
        STATISTIC,
        share,
        low,
        high,
        n=total,
        others=judging.for_others_by_share(differing, len(models)),
        evidence=evidence,
    )


def _counts(outcomes: pd.Series) -> tuple[int, int, int]:
    """Return the numbers of conclusions that are reversed, that hold, and of all."""
    return int((outcomes == "reversed").sum()), int((outcomes == "holds").sum()), len(outcomes)


def _conclusions(
    found: dict[Place, Sides], floor: dict[tuple[str, str], float], rounds: Rounds
) -> pd.DataFrame:
    """Return the evidence."""
    comparisons = sum(len(one) * (len(one) - 1) for one, _ in found.values())
    tables = []
    for (platform, *names), sides in found.items():
        model, *datasets = names
        upper = np.triu_indices(len(sides[0]), 1)
        orders = np.array(
            [
                effects(rounds.ratios(*(rows["row"].to_numpy()[at] for at in upper))).orders(
                    floor[platform, dataset], comparisons
                )
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
    """Return in words the highest cost of the choice made on the other data set."""
    costs = {}
    for (platform, model, first, second), (one, other) in shared.items():
        for chosen, used, here, there in ((first, second, one, other), (second, first, other, one)):
            latencies = there["latency_ms"]
            cost = float(latencies.loc[here["latency_ms"].idxmin()] / latencies.min())
            costs[platform, model, chosen, used] = cost
    worst = max(costs, key=lambda choice: costs[choice])
    platform, model, chosen, used = worst
    return (
        f"what is fastest on one data set takes at most {costs[worst]:.2f} times as long as the "
        f"fastest on the other: `{model}` on `{platform}`, chosen on `{chosen}`, used on `{used}`"
    )


def draw(observation: Observation, looks: Looks) -> tuple[Figure, list[Line2D]]:
    """Return the figure of the latencies on one data set over those on the other.

    Each latency is relative to the fastest of its data set. On the diagonal the data sets agree.
    Dotted lines join the reversed pairs, unless they are many.
    """
    shown = observation.shown["latencies"]
    platforms = looks.ordered("platform", observation.names("platform"))
    if shown.empty:
        return panels.empty(looks, platforms, "no configuration was measured on two data sets")
    found = {place: rows for place, rows in shown.groupby(COLUMNS[:4])}
    lines = shown[COLUMNS[1:4]].drop_duplicates().itertuples(index=False, name=None)
    lines = sorted(lines, key=lambda line: (line[0] == EVERY, line))
    figure, axes = panels.columns(
        looks, platforms, len(lines), ROW_INCHES * len(lines), LEAST_INCHES
    )
    evidence = observation.evidence if len(observation.evidence) else pd.DataFrame(columns=COLUMNS)
    few = False
    for row, (model, first, second) in zip(axes, lines, strict=True):
        for axis, platform in zip(row, platforms, strict=True):
            axis.set_title(f"{looks.label(platform)}, {looks.label(model)}")
            if (platform, model, first, second) not in found:
                marks.note(axis, "not measured on both data sets")
                continue
            here = (evidence[COLUMNS[:4]] == [platform, model, first, second]).all(axis=1)
            conclusions = evidence[here]
            counted = "not judged" if model == EVERY else _count(conclusions)
            axis.set_xlabel(f"{looks.label(first)}: latency / fastest\n{counted}", fontsize=6.2)
            axis.set_ylabel(f"{looks.label(second)}: latency / fastest", fontsize=6.2)
            few |= _panel(axis, looks, found[platform, model, first, second], conclusions)
    legend = looks.legend(shown, "primitive", "compression", "format", "status")
    if few:
        legend.append(Line2D([], [], color=REVERSED, linestyle=":", label="reversed pair"))
    return figure, legend


def _count(conclusions: pd.DataFrame) -> str:
    """Return the outcomes of the conclusions of a panel in words."""
    if conclusions.empty:
        return "no conclusion"
    turned, held = ((conclusions["outcome"] == name).sum() for name in ("reversed", "holds"))
    return f"{len(conclusions)} conclusions:\n{turned} reversed, {held} hold"


def _panel(axis: Axes, looks: Looks, rows: pd.DataFrame, conclusions: pd.DataFrame) -> bool:
    """Draw a panel, and return whether lines join its reversed pairs."""
    indexed = rows.set_index(METHOD)
    x = indexed[LATENCY] / indexed["latency_ms"].min()
    y = indexed[[f"{name}_other" for name in LATENCY]].set_axis(LATENCY, axis=1)
    y = y / y["latency_ms"].min()
    low = min(x["latency_ms_low"].min(), y["latency_ms_low"].min(), 0.95)
    high = max(x["latency_ms_high"].max(), y["latency_ms_high"].max(), 1.2)
    for side in (axis.xaxis, axis.yaxis):
        panels.log_axis(side, low, high)
    axis.plot([low, high], [low, high], color=GREY, linewidth=0.8, zorder=1)
    turned = conclusions[conclusions["outcome"] == "reversed"]
    joined = 0 < len(turned) <= MAX_LINES
    if joined:
        for pair in turned.itertuples():
            ends = (side.loc[[pair.one, pair.other], "latency_ms"] for side in (x, y))
            axis.plot(*ends, ":", color=REVERSED, zorder=1)
    for variant, status in indexed["status"].items():
        compression, weight_format, primitive = variant
        (across, *width), (up, *height) = x.loc[variant], y.loc[variant]
        colour = looks.colour(compression)
        axis.errorbar(
            across,
            up,
            xerr=[[across - width[0]], [width[1] - across]],
            yerr=[[up - height[0]], [height[1] - up]],
            elinewidth=0.6,
            markersize=3.6,
            color=colour,
            marker=looks.marker(primitive),
            **looks.edge(weight_format) | face(colour, status),
        )
    return joined
