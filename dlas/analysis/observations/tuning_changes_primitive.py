"""Auto-tuning can significantly alter which primitive is best for a configuration.

A network (model, compression, format) on a platform has a fastest primitive untuned and one auto-scheduled. That they
differ says nothing where two primitives are about equally fast, so a change counts only if both orders are clear. That
tuning can do it needs one such change; their share says how often it does, among the networks that are decided: those
with a clear change, and those on which one primitive wins clearly both ways. See RULE.
"""

import pandas as pd
from matplotlib.figure import Figure

from dlas.analysis import figures, winners
from dlas.analysis.observation import (
    CONFIGURATION,
    LATENCY,
    Observation,
    Tables,
    floors,
    needs,
    retimed,
)
from dlas.plugins import ObservationPlugin

PLUGIN = ObservationPlugin(
    label="auto-tuning can significantly alter which primitive is best for a configuration",
    order=6,
    origin="abstract",
    layer="5 Systems software",
)
CLAIM = PLUGIN.label

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
NETWORK = [name for name in CONFIGURATION if name != "primitive"]  # platform and dataset first
TUNINGS = ("untuned", "auto_scheduled")
STEPS = (0.2, -0.2)  # of their marks, from the middle of a network's line


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
        for network, group in retimed(study).set_index("primitive").groupby(NETWORK)
        if set(group.index) == primitives and len(primitives) > 1
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
            (
                *network,
                *winners.fastest(latencies).values(),
                winners.outcome(latencies, floor[network[0], network[1]], comparisons),
                winners.cost(latencies, *TUNINGS),
            )
            for network, latencies in complete.items()
        ],
        columns=[*NETWORK, "first", "last", "outcome", "cost"],
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
            f"; most on {figures.label(top['model'])}, {figures.label(top['dataset'])} "
            f"({figures.label(top['compression'])}, {figures.label(top['format'])}) on "
            f"{figures.label(top['platform'])}, where {figures.label(top['first'])} is fastest untuned and takes "
            f"{top['cost']:.2f} times as long as {figures.label(top['last'])} auto-scheduled"
        )
    return Observation(verdict, reason, STATISTIC, *share, n=decided, evidence=evidence)


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
    clear = winners.changing(observation.evidence, NETWORK)
    limits = [0.95, 1.2]
    for axis, platform in zip(axes[0], platforms, strict=True):
        for place, height in heights.items():
            here = shown[figures.at(shown, *place) & (shown["platform"] == platform)]
            if here.empty:
                figures.absent(axis, height, "not auto-scheduled")
            for network in here.itertuples(index=False, name=None):
                colour = figures.colour(network[NETWORK.index("compression")])
                low, high = winners.draw(
                    axis,
                    complete[network],
                    {tuning: height + step for tuning, step in zip(TUNINGS, STEPS, strict=True)},
                    {name: {"color": colour, "fillstyle": figures.fill(name)} for name in TUNINGS},
                    colour,
                    network in clear,
                )
                limits = [min(limits[0], low), max(limits[1], high)]
    winners.scale(axes, limits, "latency / fastest of the same tuning")
    primitives = figures.ordered(tables.study["primitive"], figures.MARKERS)
    legend = [*figures.handles("primitive", primitives), *figures.handles("tuning", TUNINGS)]
    if any((latencies["untuned"]["status"] == "emulated").any() for latencies in complete.values()):
        legend.append(figures.emulated_handle())
    return figures.finish(figure, CLAIM, observation, RULE, legend)
