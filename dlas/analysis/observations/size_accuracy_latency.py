"""Model size, accuracy and inference time are not guaranteed to be correlated.

A guarantee falls with one clear counterexample. So the rule looks for pairs of networks that are
ordered the other way round, and for nothing else. Spearman's rho on the figure says how close the
orders are on the whole.

A network is a model with a compression. Its latency on a platform is that of its fastest untuned
configuration there: no counterexample comes from an unsuitable primitive, nor from tuning one
network and not the other. A compression without a level within the tolerance gives no network.
Networks of one model are timed in one job and compared in paired samples, those of different models
by their intervals. Accuracies are compared on the same images. See RULE.
"""

from itertools import product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dlas.analysis import judging, marks, panels, statistics
from dlas.analysis.answers import Answers, level_name
from dlas.analysis.columns import LATENCY
from dlas.analysis.observation import (
    Observation,
    Tables,
    compared,
    distinct,
    distinct_names,
    fastest,
    floors,
    needs,
    timed,
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

THRESHOLD = 0.25
RULE_VERSION = 2
RULE = f"""
All pairs of networks (model and compression) on a data set and platform; a network is timed in its
fastest untuned configuration. A pair is discordant if the one of more bytes is clearly faster or
clearly less accurate, or the more accurate one is clearly faster. Clear: latency differs by more
than the A/A noise floor and its interval, from paired samples for two networks of one model, else
from the two latencies' intervals; top-1 differs by the exact McNemar test on the images on which
the two networks disagree; with a family-wise error of 5 % over all comparisons. Supported: at least
one discordant pair. Contradicted: none, and the pairs that are not clearly concordant are fewer
than {THRESHOLD:.0%}. Inconclusive otherwise. For other networks: the exact interval of the share of
models that are in a discordant pair; yes above {judging.COMMON:.0%}, no below.
"""
READING = """
A panel is a platform and a data set, a mark a network: across its stored size, up its latency with
the 95 % interval, both logarithmic; colour is the compression, shape the primitive that is fastest
for it, a pale mark widened arithmetic. If size decided about latency, the marks would rise from
left to right: look for a mark that is further right and yet lower than another. Dotted lines join
the pairs that are discordant in size and latency, where they are few. Below a panel are their
number and Spearman's rank correlations.
"""
DATA = """
results/study.csv: of each network on each platform the fastest of the measured untuned rows;
compressions without a level within the tolerance are left out. results/noise_floor.csv: the largest
noise floor of each platform and data set.
"""
STATISTIC = "share of clearly ordered pairs of networks that are discordant"
PLACE = ["platform", "dataset"]
RELATIONS = (("size", "latency"), ("size", "accuracy"), ("accuracy", "latency"))
NETWORK = ["model", "compression"]
SHOWN = [*PLACE, *NETWORK, "primitive", "model_bytes", "top1", *LATENCY, "status"]
# The outcome by the product of two orders.
OUTCOMES = {1: "concordant", -1: "discordant", 0: "unclear"}
DISCORDANT = "#B34700"
# The lines of more discordant pairs in a panel would hide the points.
MAX_LINES = 10


def networks(tables: Tables) -> pd.DataFrame:
    """Return the fastest untuned configuration of each network on each platform."""
    return fastest(untuned(distinct(timed(tables))), [*PLACE, *NETWORK])


def observe(tables: Tables) -> Observation:
    """Return the verdict under RULE.

    Returns
    -------
    Observation
        The evidence has one row for each pair that is clearly ordered in a relation. `paired` says
        whether its latencies were compared in paired samples.
    """
    rows = networks(tables)
    return _verdict(rows, tables).showing(
        networks=rows[SHOWN],
        correlations=_correlations(rows),
        platform=distinct_names(tables.study, "platform"),
        dataset=distinct_names(tables.study, "dataset"),
    )


def _verdict(rows: pd.DataFrame, tables: Tables) -> Observation:
    floor = floors(tables.noise_floor)
    # Sorting gives a pair the same name on every platform.
    groups = {
        place: group
        for place, group in rows.sort_values(NETWORK).groupby(PLACE)
        if len(group) > 1 and place in floor
    }
    if not groups:
        return needs("two networks timed on one data set and platform", STATISTIC)
    pairs = _pairs(groups, floor, tables)
    clear = pairs[pairs["outcome"] != "unclear"].drop(columns="outcome")
    clear = clear.assign(discordant=pairs["outcome"] == "discordant")
    discordant = clear[clear["discordant"]]
    total, count, held = len(pairs), len(discordant), len(clear) - len(discordant)
    share = (count / len(clear) if len(clear) else np.nan, count / total, (total - held) / total)
    verdict: judging.Verdict = "inconclusive"
    if count:
        verdict = "supported"
    elif share[2] < THRESHOLD:
        verdict = "contradicted"
    counts = ", ".join(
        f"{number} in {relation}"
        for relation, number in discordant["relation"].value_counts().items()
    )
    reason = (
        f"of {total} pairs {len(clear)} are clearly ordered, and discordant are {counts or 'none'}"
    )
    timed_apart = int((~discordant["paired"]).sum())
    if timed_apart:
        reason += (
            f"; {timed_apart} of these are of two models, timed in different jobs and not in "
            "paired samples"
        )
    models = {(place[1], model) for place, group in groups.items() for model in group["model"]}
    taking_part = {
        (row.dataset, name[0])
        for row in discordant.itertuples()
        for name in (row.first, row.second)
    }
    return Observation(
        verdict,
        reason,
        STATISTIC,
        *share,
        n=total,
        others=judging.for_others_by_share(len(taking_part), len(models)),
        evidence=clear.reset_index(drop=True),
    )


def _pairs(
    groups: dict[tuple[str, str], pd.DataFrame],
    floor: dict[tuple[str, str], float],
    tables: Tables,
) -> pd.DataFrame:
    """Return the pairs of networks in each relation: discordant, concordant or unclear.

    Size is the same on every platform, and accuracy too unless machines trained the networks again,
    so their relation counts on one platform only.
    """
    # Each pair is compared in latency and in accuracy.
    comparisons = sum(len(group) * (len(group) - 1) for group in groups.values())
    found, seen = [], set()
    for (platform, dataset), group in groups.items():
        one, two = np.triu_indices(len(group), 1)
        first, second = group.iloc[one], group.iloc[two]
        effect, paired = compared(first, second, tables.rounds)
        answers = tables.accuracy(platform).answers
        orders = {
            "size": np.sign(first["model_bytes"].to_numpy() - second["model_bytes"].to_numpy()),
            "accuracy": _accuracy_orders(group, one, two, answers, comparisons),
            "latency": effect.orders(floor[platform, dataset], comparisons),
        }
        names = list(group[NETWORK].itertuples(index=False, name=None))
        for relation, at in product(RELATIONS, range(len(one))):
            pair = names[one[at]], names[two[at]]
            where = (platform, dataset) if "latency" in relation else (dataset,)
            # Networks of equal size have no order in it.
            if (*where, relation, pair) in seen or ("size" in relation and not orders["size"][at]):
                continue
            seen.add((*where, relation, pair))
            agreement = int(np.prod([orders[name][at] for name in relation]))
            in_pairs = bool(paired[at]) or "latency" not in relation
            relation_name = "-".join(relation)
            found.append((platform, dataset, relation_name, *pair, in_pairs, OUTCOMES[agreement]))
    columns = ["platform", "dataset", "relation", "first", "second", "paired", "outcome"]
    return pd.DataFrame(found, columns=columns).astype({"paired": bool})


def _accuracy_orders(
    group: pd.DataFrame, one: np.ndarray, two: np.ndarray, answers: Answers, comparisons: int
) -> np.ndarray:
    """Return 1 if the first network of a pair is clearly more accurate, -1 if less, else 0."""
    correct = [
        answers.correct(row.dataset, row.model, row.compression, level_name(row.level))
        for row in group.itertuples()
    ]
    return np.array(
        [
            statistics.accuracy_order(correct[first], correct[second], comparisons)
            for first, second in zip(one, two, strict=True)
        ]
    )


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
    """Return the figure of latency over size.

    Dotted lines join the pairs that are discordant in size and latency, unless they are many. A
    panel without compressed networks names its models, with their top-1.
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
    few = max(map(len, discordant.values()), default=0) <= MAX_LINES
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
