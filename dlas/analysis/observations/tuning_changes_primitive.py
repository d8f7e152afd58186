"""Auto-tuning can significantly alter which primitive is best for a configuration.

A network (model, compression, format) on a platform has a fastest primitive untuned and one auto-scheduled. That they
differ says nothing where two primitives are about equally fast, so a change counts only if both orders are clear. That
tuning can do it needs one such change; their share says how often it does, among the networks that are decided: those
with a clear change, and those on which one primitive wins clearly both ways. See RULE.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dlas.analysis import marks, panels, winners
from dlas.analysis.columns import LATENCY, STORED
from dlas.analysis.observation import (
    Observation,
    Tables,
    distinct_names,
    floors,
    needs,
    retimed,
)
from dlas.analysis.style import Looks
from dlas.plugins import ObservationPlugin

PLUGIN = ObservationPlugin(
    label="auto-tuning can significantly alter which primitive is best for a configuration",
    order=6,
    origin="abstract",
    layer="5 Systems software",
)

RULE = """
Networks: each model, compression and format on a platform with every primitive measured untuned and auto-scheduled. A
network changes if the fastest untuned primitive and the fastest auto-scheduled one differ, the first clearly faster
than the second untuned and clearly slower auto-scheduled. It stays if one primitive is clearly faster than each other
one both ways. Clear: by more than the A/A noise floor and the intervals, with a family-wise error of 5 % over all
comparisons. Supported: at least one network changes. Contradicted: none does, and the 95 % upper limit of their share
among those that change or stay is below 25 %. Inconclusive otherwise.
"""
READING = """
A panel is a platform, a row a network with its compression and format, a shape a primitive. The upper marks of a row,
filled, are untuned, the lower ones, open, auto-scheduled; each is the latency over that of the fastest of the same
tuning, with its 95 % interval, on a logarithmic axis. A line joins the two marks of a primitive: where lines cross,
tuning changes the order. The fastest of each tuning is named at the right, bold where the change is clear.
"""
DATA = """
results/study.csv: networks of which every primitive was measured untuned and auto-scheduled. results/noise_floor.csv:
the largest noise floor of each platform and data set.
"""
STATISTIC = (
    "share of networks whose fastest primitive changes, among those that change or stay clearly"
)
TUNINGS = ("untuned", "auto_scheduled")
# From the middle of a network's line to the marks of each.
STEPS = (0.2, -0.2)


def networks(study: pd.DataFrame) -> dict[tuple[str, ...], dict[str, pd.DataFrame]]:
    """Return the latencies of each network with every primitive of the study, by tuning; a row is a primitive."""
    primitives = set(study["primitive"])
    return {
        network: {
            tuning: group[[*(f"{name}{suffix}" for name in LATENCY), "status"]].set_axis(
                [*LATENCY, "status"], axis=1
            )
            for tuning, suffix in zip(TUNINGS, ("", "_tuned"), strict=True)
        }
        for network, group in retimed(study).set_index("primitive").groupby(STORED)
        if set(group.index) == primitives and len(primitives) > 1
    }


def observe(tables: Tables) -> Observation:
    """Return the verdict under RULE; the evidence is one row for each network: STORED, first, last, outcome, cost.

    `first` and `last` are the fastest primitives untuned and auto-scheduled, `outcome` is changes, stays or unclear,
    `cost` the latency of the first over that of the last, auto-scheduled.
    """
    found, primitives = networks(tables.study), distinct_names(tables.study, "primitive")
    return _verdict(found, len(primitives), floors(tables.noise_floor)).showing(
        latencies=winners.table(found, STORED, "tuning"),
        platform=distinct_names(tables.study, "platform"),
        primitive=primitives,
    )


def _verdict(
    found: Mapping[tuple[str, ...], Mapping[str, pd.DataFrame]],
    primitives: int,
    floor: Mapping[Any, float],
) -> Observation:
    complete = {place: latencies for place, latencies in found.items() if place[:2] in floor}
    if not complete:
        return needs(
            "a network measured untuned and auto-scheduled with every primitive", STATISTIC
        )
    comparisons = len(complete) * primitives * (primitives - 1) * len(TUNINGS)
    evidence = pd.DataFrame(
        [
            (
                *network,
                *winners.fastest(latencies).values(),
                winners.outcome(latencies, floor[network[:2]], comparisons),
                winners.cost(latencies, *TUNINGS),
            )
            for network, latencies in complete.items()
        ],
        columns=[*STORED, "first", "last", "outcome", "cost"],
    )
    changes = evidence[evidence["outcome"] == "changes"]
    verdict, share, decided = winners.judge(evidence["outcome"])
    reason = (
        f"the fastest primitive changes clearly on {len(changes)} and stays clearly on {decided - len(changes)} of "
        f"{len(evidence)} networks"
    )
    if len(changes):
        top = changes.loc[changes["cost"].idxmax()]
        reason += (
            f"; most on `{top['model']}`, `{top['dataset']}` (`{top['compression']}`, `{top['format']}`) on "
            f"`{top['platform']}`, where `{top['first']}` is fastest untuned and takes {top['cost']:.2f} times as "
            f"long as `{top['last']}` auto-scheduled"
        )
    return Observation(verdict, reason, STATISTIC, *share, n=decided, evidence=evidence)


def draw(observation: Observation, looks: Looks) -> tuple[Figure, list[Line2D]]:
    """Return each primitive's latency over the lowest of its tuning: untuned above, auto-scheduled below it.

    Lines join the two of a primitive: where they cross the order changes. The fastest ones are named at the right, bold
    where the network changes clearly.
    """
    shown = observation.shown["latencies"]
    platforms = looks.ordered("platform", observation.names("platform"))
    if shown.empty:
        text = "no network was measured auto-scheduled with every primitive"
        return panels.empty(looks, platforms, text)
    complete = winners.by_network(shown, STORED, "tuning")
    figure, axes, heights = panels.network_rows(looks, platforms, shown, 0.33)
    clear = winners.changing(observation.evidence, STORED)
    limits = [0.95, 1.2]
    for axis, platform in zip(axes[0], platforms, strict=True):
        for place, height in heights.items():
            here = shown[panels.at(shown, *place) & (shown["platform"] == platform)]
            if here.empty:
                marks.absent(axis, height, "not auto-scheduled")
            for network in here[STORED].drop_duplicates().itertuples(index=False, name=None):
                colour = looks.colour(network[STORED.index("compression")])
                low, high = winners.draw(
                    axis,
                    looks,
                    complete[network],
                    {tuning: height + step for tuning, step in zip(TUNINGS, STEPS, strict=True)},
                    {name: {"color": colour, "fillstyle": looks.fill(name)} for name in TUNINGS},
                    colour,
                    network in clear,
                )
                limits = [min(limits[0], low), max(limits[1], high)]
    winners.scale(axes, limits, "latency / fastest of the same tuning")
    primitives = looks.ordered("primitive", observation.names("primitive"))
    legend = [*looks.handles("primitive", primitives), *looks.handles("tuning", TUNINGS)]
    return figure, legend + looks.legend(shown, "status")
