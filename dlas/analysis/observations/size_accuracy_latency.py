"""Model size, accuracy and inference time are not guaranteed to be correlated.

A guarantee falls with one clear counterexample, so the rule looks for pairs of networks that are ordered the other
way round, and for nothing else; Spearman's rho on the figure says how close the orders are on the whole. A network is
a model with a compression; its latency on a platform is that of its fastest untuned configuration there, so that no
counterexample comes from an unsuitable primitive, nor from tuning one network and not the other. A compression of
which no level was within the tolerance gives no network of its own. See RULE.
"""

from itertools import combinations, product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dlas.analysis import marks, panels, statistics
from dlas.analysis.columns import LATENCY
from dlas.analysis.observation import (
    Observation,
    Tables,
    distinct,
    distinct_names,
    fastest,
    floors,
    log_errors,
    measured,
    needs,
    untuned,
)
from dlas.analysis.style import Looks, face
from dlas.plugins import ObservationPlugin

PLUGIN = ObservationPlugin(
    label="model size, accuracy and inference time are not guaranteed to be correlated",
    order=1,
    origin="abstract",
    layer="Across the stack",
)

RULE = """
All pairs of networks (model and compression) on a data set and platform; a network is timed in its fastest untuned
configuration. A pair is discordant if the one of more bytes is clearly faster or clearly less accurate, or the more
accurate one is clearly faster.
Clear: latency differs by more than the A/A noise floor and its interval, top-1 by more than its binomial error, with a
family-wise error of 5 % over all comparisons. Supported: at least one discordant pair. Contradicted: none, and the 95 %
upper limit of their share among the clearly ordered pairs is below 25 %. Inconclusive otherwise.
"""
READING = """
A panel is a platform and a data set, a mark a network: across its stored size, up its latency with the 95 % interval,
both logarithmic; colour is the compression, shape the primitive that is fastest for it, a pale mark widened
arithmetic. If size decided about latency, the marks would rise from left to right: look for a mark that is further
right and yet lower than another. Dotted lines join the pairs that are discordant in size and latency, where they are
few. Below a panel are their number and Spearman's rank correlations.
"""
DATA = """
results/study.csv: of each network on each platform the fastest of the measured untuned rows; compressions without a
level within the tolerance are left out. results/noise_floor.csv: the largest noise floor of each platform and data
set.
"""
STATISTIC = "share of clearly ordered pairs of networks that are discordant"
LARGEST_SHARE = 0.25
PLACE = ["platform", "dataset"]
RELATIONS = (("size", "latency"), ("size", "accuracy"), ("accuracy", "latency"))
NETWORK = ["model", "compression"]
SHOWN = [*PLACE, *NETWORK, "primitive", "model_bytes", "top1", *LATENCY, "status"]
DISCORDANT = "#B34700"
# Of discordant pairs in a panel: more would hide the points.
MOST_LINES = 10


def networks(study: pd.DataFrame) -> pd.DataFrame:
    """Return the fastest untuned configuration of each network on each platform."""
    return fastest(untuned(distinct(measured(study))), ["dataset", "platform", *NETWORK])


def observe(tables: Tables) -> Observation:
    """Return the verdict under RULE; the evidence is one row for each clearly ordered pair."""
    rows = networks(tables.study)
    return _verdict(rows, floors(tables.noise_floor)).showing(
        networks=rows[SHOWN],
        correlations=_correlations(rows),
        platform=distinct_names(tables.study, "platform"),
        dataset=distinct_names(tables.study, "dataset"),
    )


def _verdict(rows: pd.DataFrame, floor: dict[tuple[str, str], float]) -> Observation:
    groups = {
        place: group for place, group in rows.groupby(PLACE) if len(group) > 1 and place in floor
    }
    if not groups:
        return needs("two networks timed on one data set and platform", STATISTIC)
    pairs = _clear_pairs(groups, floor)
    discordant = pairs[pairs["discordant"]]
    share = statistics.proportion(len(discordant), len(pairs))
    if len(discordant):
        counts = discordant["relation"].value_counts()
        found = ", ".join(f"{count} in {relation}" for relation, count in counts.items())
        reason = f"discordant among the {len(pairs)} clearly ordered pairs: {found}"
        return Observation("supported", reason, STATISTIC, *share, n=len(pairs), evidence=pairs)
    reason = f"none of the {len(pairs)} clearly ordered pairs is discordant"
    if share.high < LARGEST_SHARE:
        return Observation("contradicted", reason, STATISTIC, *share, n=len(pairs), evidence=pairs)
    reason += ", too few to exclude that some are"
    return Observation("inconclusive", reason, STATISTIC, *share, n=len(pairs), evidence=pairs)


def _clear_pairs(
    groups: dict[tuple[str, str], pd.DataFrame], floor: dict[tuple[str, str], float]
) -> pd.DataFrame:
    """Return the pairs of networks that are clearly ordered in both quantities of a relation.

    Size and accuracy are the same on every platform, so their relation is counted on one platform only.
    """
    # each pair has two orders in latency and in accuracy, and each of them could be a false one
    comparisons = 4 * sum(len(group) * (len(group) - 1) // 2 for group in groups.values())
    found, seen = [], set()
    for (platform, dataset), group in groups.items():
        images = statistics.fewest_images(group["top1"])
        slower = statistics.clear_orders(
            group["latency_ms"], log_errors(group), floor[platform, dataset], comparisons
        )
        for pair in combinations(enumerate(group.itertuples()), 2):
            (at, first), (other_at, second) = pair
            order = {
                "size": int(np.sign(first.model_bytes - second.model_bytes)),
                "accuracy": _accuracy_order(first.top1, second.top1, images, comparisons),
                "latency": int(slower[at, other_at]),
            }
            names = [(row.model, row.compression) for _, row in pair]
            for one, other in RELATIONS:
                key = (
                    (dataset, *names, one, other)
                    if other == "accuracy"
                    else (platform, dataset, *names, one, other)
                )
                if order[one] and order[other] and key not in seen:
                    seen.add(key)
                    found.append(
                        (platform, dataset, f"{one}-{other}", *names, order[one] != order[other])
                    )
    return pd.DataFrame(
        found, columns=["platform", "dataset", "relation", "first", "second", "discordant"]
    ).astype({"discordant": bool})


def _accuracy_order(first: float, second: float, images: int, comparisons: int) -> int:
    """Return 1 if the first top-1 is clearly higher, -1 if it is clearly lower, else 0."""
    better = statistics.accuracy_clearly_above(first, second, images, comparisons)
    return better - statistics.accuracy_clearly_above(second, first, images, comparisons)


def _correlations(rows: pd.DataFrame) -> pd.DataFrame:
    """Return Spearman's rho of each relation on each platform and data set, with its interval."""
    names = {"size": "model_bytes", "accuracy": "top1", "latency": "latency_ms"}
    found = [
        (*place, *relation, *statistics.rank_correlation(*(here[names[one]] for one in relation)))
        for place, here in rows.groupby(PLACE)
        for relation in RELATIONS
    ]
    return pd.DataFrame(found, columns=[*PLACE, "one", "other", "rho", "low", "high"])


def draw(observation: Observation, looks: Looks) -> tuple[Figure, list[Line2D]]:
    """Return latency over size, with top-1 beside each model.

    Lines join the pairs that are discordant in size and latency, unless they are many.
    """
    rows, correlations = observation.shown["networks"], observation.shown["correlations"]
    platforms, datasets = (looks.ordered(kind, observation.names(kind)) for kind in PLACE)
    if rows.empty:
        return panels.empty(looks, platforms, "no network was measured")
    figure, axes = panels.columns(
        looks, platforms, len(datasets), 0.3 + 1.75 * len(datasets), sharex="row", sharey="row"
    )
    discordant = {
        place: _size_latency(observation.evidence, *place) for place in product(platforms, datasets)
    }
    few = max(map(len, discordant.values()), default=0) <= MOST_LINES
    for (line, dataset), (column, platform) in product(enumerate(datasets), enumerate(platforms)):
        axis, rows_here = axes[line, column], rows[rows["dataset"] == dataset]
        axis.set_title(f"{looks.label(platform)}, {looks.label(dataset)}")
        panels.log_axis(axis.xaxis, *_range(rows_here["model_bytes"] / 1e6, 3.0))
        panels.log_axis(axis.yaxis, *_range(rows_here["latency_ms"], 1.4))
        if column == 0:
            axis.set_ylabel("latency (ms)")
        pairs = discordant[platform, dataset]
        here = rows_here[rows_here["platform"] == platform]
        _panel(axis, looks, here, pairs if few else pairs.head(0))
        own = correlations[(correlations[PLACE] == [platform, dataset]).all(axis=1)]
        texts = ["model size (MB)", f"size-latency discordant: {len(pairs)}"]
        axis.set_xlabel("\n".join([*texts, *_rhos(own)]), fontsize=6.2, linespacing=1.15)
    legend = looks.legend(rows, "primitive")
    if rows["compression"].nunique() > 1:
        legend += looks.legend(rows, "compression")
    legend += looks.legend(rows, "status")
    if few:
        legend.append(Line2D([], [], color=DISCORDANT, linestyle=":", label="discordant pair"))
    return figure, legend


def _size_latency(evidence: pd.DataFrame, platform: str, dataset: str) -> pd.DataFrame:
    """Return the pairs of a panel that are discordant in size and latency."""
    if evidence.empty:
        return evidence
    here = (evidence["platform"] == platform) & (evidence["dataset"] == dataset)
    return evidence[here & evidence["discordant"] & (evidence["relation"] == "size-latency")]


def _range(values: pd.Series, margin: float) -> tuple[float, float]:
    return (values.min() / margin, values.max() * margin) if len(values) else (0.1, 10)


def _rhos(correlations: pd.DataFrame) -> list[str]:
    """Return the rank correlations of a panel in words."""
    texts = ["Spearman's \N{GREEK SMALL LETTER RHO} [95 % interval]"]
    for row in correlations.itertuples():
        value = "undefined"
        if np.isfinite(row.rho):
            value = f"{row.rho:.1f} [{row.low:.1f}, {row.high:.1f}]"
        texts.append(f"{row.one}-{row.other}: {value}")
    return texts


def _panel(axis: Axes, looks: Looks, here: pd.DataFrame, pairs: pd.DataFrame) -> None:
    if here.empty:
        marks.not_measured(axis)
        return
    points = {
        (row.model, row.compression): (row.model_bytes / 1e6, row.latency_ms)
        for row in here.itertuples()
    }
    for pair in pairs.itertuples():
        ends = zip(points[pair.first], points[pair.second], strict=True)
        axis.plot(*ends, ":", color=DISCORDANT, zorder=1)
    for row in here.itertuples():
        low, centre, high = row.latency_ms_low, row.latency_ms, row.latency_ms_high
        axis.errorbar(
            row.model_bytes / 1e6,
            centre,
            yerr=[[centre - low], [high - centre]],
            capsize=1.5,
            elinewidth=0.8,
            color=looks.colour(row.compression),
            marker=looks.marker(row.primitive),
            **face(looks.colour(row.compression), row.status),
        )
    # With compressed networks there is no room for names.
    if set(here["compression"]) == {"none"}:
        names = [f"{looks.label(row.model)}\n{row.top1:.1f} %" for row in here.itertuples()]
        marks.name_points(axis, list(points.values()), names)
