"""Auto-tuning can significantly alter which primitive is best for a configuration.

A network (model, compression, format) on a platform has a fastest primitive untuned and one auto-scheduled. That they
differ says nothing where two primitives are about equally fast, so a change counts only if both orders are clear. That
tuning can do it needs one such change; their share says how often it does, among the networks that are decided: those
with a clear change, and those on which one primitive wins clearly both ways. See RULE.
"""

from itertools import product
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dlas.analysis import figures, statistics
from dlas.analysis.observation import (
    CONFIGURATION,
    LATENCY,
    Observation,
    Tables,
    Verdict,
    floors,
    latency,
    needs,
    retimed,
)

CLAIM = "auto-tuning can significantly alter which primitive is best for a configuration"
ORIGIN = "abstract"
LARGEST_SHARE = 0.25
RULE = """
Networks: each model, compression and format on a platform with every primitive measured untuned and auto-scheduled. A
network changes if the fastest untuned primitive and the fastest auto-scheduled one differ, the first clearly faster
than the second untuned and clearly slower auto-scheduled. It stays if one primitive is clearly faster than each other
one both ways. Clear: by more than the A/A noise floor and the intervals, with a family-wise error of 5 % over all
comparisons. Supported: at least one network changes. Contradicted: none does, and the 95 % upper limit of their share
among those that change or stay is below 25 %. Inconclusive otherwise.
"""
STATISTIC = (
    "share of networks whose fastest primitive changes, among those that change or stay clearly"
)
NETWORK = [name for name in CONFIGURATION if name != "primitive"]  # platform and dataset first
TUNINGS = ("untuned", "auto_scheduled")
STEPS = (0.2, -0.2)  # of their marks, from the middle of a network's line
NAMES_SHARE = 0.25  # of a panel's width, kept free for the names of the fastest


def networks(study: pd.DataFrame) -> dict[tuple[str, ...], dict[str, pd.DataFrame]]:
    """Return the latencies of each network with every primitive of the study, by tuning; a row is a primitive."""
    primitives = set(study["primitive"])
    return {
        network: {
            tuning: group[["primitive", *(f"{name}{suffix}" for name in LATENCY), "status"]]
            .set_axis(["primitive", *LATENCY, "status"], axis=1)
            .set_index("primitive")
            for tuning, suffix in zip(TUNINGS, ("", "_tuned"), strict=True)
        }
        for network, group in retimed(study).groupby(NETWORK)
        if set(group["primitive"]) == primitives and len(primitives) > 1
    }


def observe(tables: Tables) -> Observation:
    """Return the verdict under RULE; the evidence is one row for each network: NETWORK, first, last, outcome, cost.

    `first` and `last` are the fastest primitives untuned and auto-scheduled, `outcome` is changes, stays or unclear,
    `cost` the latency of the first over that of the last, auto-scheduled.
    """
    floor = floors(tables.noise_floor)
    complete = {
        network: latencies
        for network, latencies in networks(tables.study).items()
        if (network[0], network[1]) in floor
    }
    if not complete:
        return needs(
            "a network measured untuned and auto-scheduled with every primitive", STATISTIC
        )
    count = tables.study["primitive"].nunique()
    comparisons = len(complete) * count * (count - 1) * len(TUNINGS)
    evidence = pd.DataFrame(
        [
            (*network, *_outcome(latencies, floor[network[0], network[1]], comparisons))
            for network, latencies in complete.items()
        ],
        columns=[*NETWORK, "first", "last", "outcome", "cost"],
    )
    changes = evidence[evidence["outcome"] == "changes"]
    stays = int((evidence["outcome"] == "stays").sum())
    share = statistics.proportion(len(changes), len(changes) + stays)
    verdict: Verdict = "inconclusive"
    if len(changes):
        verdict = "supported"
    elif share.high < LARGEST_SHARE:
        verdict = "contradicted"
    reason = (
        f"the fastest primitive changes clearly on {len(changes)} and stays clearly on {stays} of {len(evidence)} "
        "networks"
    )
    if len(changes):
        top = changes.loc[changes["cost"].idxmax()]
        reason += (
            f"; most on {figures.label(top['model'])}, {figures.label(top['dataset'])} "
            f"({figures.label(top['compression'])}, {figures.label(top['format'])}) on "
            f"{figures.label(top['platform'])}, where {figures.label(top['first'])} is fastest untuned and takes "
            f"{top['cost']:.2f} times as long as {figures.label(top['last'])} auto-scheduled"
        )
    return Observation(
        verdict, reason, STATISTIC, *share, n=len(changes) + stays, evidence=evidence
    )


def _outcome(
    latencies: dict[str, pd.DataFrame], floor: float, comparisons: int
) -> tuple[str, str, str, float]:
    """Return the fastest primitives untuned and auto-scheduled, the outcome, and the cost of the first."""
    first, last = (str(latencies[tuning]["latency_ms"].idxmin()) for tuning in TUNINGS)

    def clear(winner: str, other: str, tuning: str) -> bool:
        slower, faster = (latency(latencies[tuning].loc[name]) for name in (other, winner))
        return statistics.clearly_above(slower, faster, floor, comparisons)

    tuned = latencies["auto_scheduled"]["latency_ms"]
    outcome = "unclear"
    if first != last:
        if clear(first, last, "untuned") and clear(last, first, "auto_scheduled"):
            outcome = "changes"
    elif all(
        clear(first, other, tuning)
        for other, tuning in product(tuned.index, TUNINGS)
        if other != first
    ):
        outcome = "stays"
    return first, last, outcome, float(tuned[first] / tuned[last])


@figures.style()
def draw(tables: Tables, observation: Observation) -> Figure:
    """Return each primitive's latency over the lowest of its tuning: untuned above, auto-scheduled below it.

    Lines join the two of a primitive: where they cross the order changes. The fastest ones are named at the right, bold
    where the network changes clearly.
    """
    complete = networks(tables.study)
    platforms = figures.ordered(tables.study["platform"], figures.NAMES)
    if not complete:
        figure, axes = figures.columns(platforms, height=1.2)
        for axis in axes[0]:
            figures.note(axis, "no network was measured auto-scheduled with every primitive")
        return figures.finish(figure, CLAIM, observation, RULE)
    shown = pd.DataFrame(list(complete), columns=NETWORK)
    figure, axes, heights = figures.network_rows(platforms, shown, 0.33)
    evidence = observation.evidence
    clear = {
        row[: len(NETWORK)]
        for row in evidence.itertuples(index=False, name=None)
        if row[evidence.columns.get_loc("outcome")] == "changes"
    }
    limits = [0.95, 1.2]
    for axis, platform in zip(axes[0], platforms, strict=True):
        for place, height in heights.items():
            here = shown[figures.at(shown, *place) & (shown["platform"] == platform)]
            if here.empty:
                figures.absent(axis, height, "not auto-scheduled")
            for network in here.itertuples(index=False, name=None):
                low, high = _network(axis, complete[network], height, network)
                limits = [min(limits[0], low), max(limits[1], high)]
                _winners(axis, complete[network], height, network in clear)
    primitives = figures.ordered(tables.study["primitive"], figures.MARKERS)
    for axis in axes[0]:
        names = (limits[1] / limits[0]) ** (NAMES_SHARE / (1 - NAMES_SHARE))
        figures.log_axis(axis.xaxis, limits[0], limits[1] * names, fine=2.2)
        axis.axvline(1, color=figures.GREY, linewidth=0.8)
        axis.set_xlabel("latency / fastest of the same tuning")
    legend = [*figures.handles("primitive", primitives), *figures.handles("tuning", TUNINGS)]
    if any((latencies["untuned"]["status"] == "emulated").any() for latencies in complete.values()):
        legend.append(figures.emulated_handle())
    return figures.finish(figure, CLAIM, observation, RULE, legend)


def _network(
    axis: Axes, latencies: dict[str, pd.DataFrame], height: float, network: tuple[str, ...]
) -> tuple[float, float]:
    """Draw one network's primitives in both tunings, and return the limits of what was drawn."""
    relative = {
        tuning: rows.assign(**rows[LATENCY] / rows["latency_ms"].min())
        for tuning, rows in latencies.items()
    }
    look: dict[str, Any] = {"color": figures.colour(network[NETWORK.index("compression")])}
    for primitive in relative["untuned"].index:
        ends = [relative[tuning].loc[primitive, "latency_ms"] for tuning in TUNINGS]
        axis.plot(ends, [height + step for step in STEPS], linewidth=0.6, zorder=1, **look)
        for tuning, step in zip(TUNINGS, STEPS, strict=True):
            figures.intervals(
                axis,
                relative[tuning].loc[[primitive]],
                [height + step],
                marker=figures.marker(primitive),
                fillstyle=figures.fill(tuning),
                **look,
            )
    drawn = pd.concat(relative.values())
    return float(drawn["latency_ms_low"].min()), float(drawn["latency_ms_high"].max())


def _winners(axis: Axes, latencies: dict[str, pd.DataFrame], height: float, clear: bool) -> None:
    """Name the fastest primitive of each tuning, at the height of its marks."""
    for tuning, step in zip(TUNINGS, STEPS, strict=True):
        axis.text(
            0.985,
            height + step,
            figures.label(str(latencies[tuning]["latency_ms"].idxmin())),
            transform=axis.get_yaxis_transform(),
            ha="right",
            va="center",
            fontsize=5.8,
            fontweight="bold" if clear else "normal",
            color="#202020" if clear else figures.GREY,
        )
