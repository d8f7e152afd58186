"""Auto-tuning can significantly alter which primitive is best for a configuration.

A network (model, compression, format) on a platform has a fastest primitive untuned and one auto-tuned. That they
differ says nothing where two primitives are about equally fast. So the effect is what it costs to keep one primitive
both ways, see `dlas.analysis.winners`. That tuning can alter the choice needs one network on which that clearly costs
something. See RULE.
"""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dlas.analysis import judging, marks, panels, winners
from dlas.analysis.columns import LATENCY, STORED
from dlas.analysis.observation import (
    TUNINGS,
    Observation,
    Tables,
    distinct_names,
    floors,
    needs,
    retimed,
    timed,
)
from dlas.analysis.style import Looks
from dlas.plugins import ObservationPlugin

PLUGIN = ObservationPlugin(
    label="auto-tuning can significantly alter which primitive is best for a configuration",
    order=6,
    origin="abstract",
    layer="5 Systems software",
)

RULE_VERSION = 2
RULE = f"""
Networks: each model, compression and format on a platform with every primitive measured untuned and auto-tuned.
Loss of a primitive: the largest factor by which another one is faster, untuned or auto-tuned, in paired samples. A
network's loss is that of the primitive that loses least: it is 1 where one primitive is the fastest both ways. The
limits of all networks hold at once (family-wise 95 %). Threshold: {winners.COUNTS}x, or the A/A noise floor if that is
more. Supported: the interval of some network lies above its threshold, so that the best primitive changes.
Contradicted: all lie below {winners.COUNTS}x, and so do the noise floors. Inconclusive otherwise. For other networks:
the exact interval of the share of models on which it clearly changes; yes above {judging.COMMON:.0%}, no below.
"""
READING = """
A panel is a platform, a row a network with its compression and format, a shape a primitive. The upper marks of a row,
filled, are untuned, the lower ones, open, auto-tuned; each is the latency over that of the fastest of the same
tuning, with its 95 % interval, on a logarithmic axis. A line joins the two marks of a primitive: where lines cross,
tuning changes the order. The fastest of each tuning is named at the right, bold where the change is clear.
"""
DATA = """
results/study.csv: networks of which every primitive was measured untuned and auto-tuned. results/noise_floor.csv:
the largest noise floor of each platform and data set.
"""
STATISTIC = "what one primitive for both tunings costs, on the network where it costs most"
# From the middle of a network's line to the marks of each.
STEPS = (0.2, -0.2)


def networks(rows: pd.DataFrame, primitives: list[str]) -> dict[tuple[str, ...], winners.Latencies]:
    """Return the latencies of each network with every primitive among `timed` rows, by tuning."""
    columns = [*LATENCY, "row"]
    return {
        network: {
            tuning: group.loc[
                primitives, [*(f"{name}{suffix}" for name in columns), "status"]
            ].set_axis([*columns, "status"], axis=1)
            for tuning, suffix in zip(TUNINGS, ("", "_tuned"), strict=True)
        }
        for network, group in retimed(rows).set_index("primitive").groupby(STORED)
        if set(group.index) == set(primitives) and len(primitives) > 1
    }


def observe(tables: Tables) -> Observation:
    """Return the verdict under RULE; the evidence is one row for each network, see `winners.changes`.

    Besides, `first` and `last` are the fastest primitives untuned and auto-tuned.
    """
    primitives = sorted(set(tables.study["primitive"]))
    found = networks(timed(tables), primitives)
    return _verdict(found, tables).showing(
        latencies=winners.table(found, STORED, "tuning"),
        platform=distinct_names(tables.study, "platform"),
        primitive=distinct_names(tables.study, "primitive"),
    )


def _verdict(found: Mapping[tuple[str, ...], winners.Latencies], tables: Tables) -> Observation:
    floor = floors(tables.noise_floor)
    complete = {place: latencies for place, latencies in found.items() if place[:2] in floor}
    if not complete:
        return needs("a network measured untuned and auto-tuned with every primitive", STATISTIC)
    evidence = winners.changes(complete, STORED, tables.rounds, floor)
    best = [winners.fastest(latencies) for latencies in complete.values()]
    evidence["first"], evidence["last"] = ([one[tuning] for one in best] for tuning in TUNINGS)
    verdict, loss = winners.judge(evidence)
    reason = winners.in_words(evidence, "changes")
    top = evidence.loc[evidence["loss"].idxmax()]
    reason += (
        f"; most on `{top['model']}`, `{top['dataset']}` (`{top['compression']}`, `{top['format']}`) on "
        f"`{top['platform']}`: fastest is `{top['first']}` untuned and `{top['last']}` auto-tuned, and one for "
        f"both costs {top['loss']:.2f} [{top['low']:.2f}, {top['high']:.2f}]"
    )
    return Observation(
        verdict,
        reason,
        STATISTIC,
        *loss,
        n=len(evidence),
        others=winners.for_others(evidence),
        evidence=evidence,
    )


def draw(observation: Observation, looks: Looks) -> tuple[Figure, list[Line2D]]:
    """Return each primitive's latency over the lowest of its tuning: untuned above, auto-tuned below it.

    Lines join the two of a primitive: where they cross the order changes. The fastest ones are named at the right, bold
    where the network changes clearly.
    """
    shown = observation.shown["latencies"]
    platforms = looks.ordered("platform", observation.names("platform"))
    if shown.empty:
        text = "no network was measured auto-tuned with every primitive"
        return panels.empty(looks, platforms, text)
    complete = winners.by_network(shown, STORED, "tuning")
    figure, axes, heights = panels.network_rows(looks, platforms, shown, 0.33)
    clear = winners.changing(observation.evidence, STORED)
    limits = [0.95, 1.2]
    for axis, platform in zip(axes[0], platforms, strict=True):
        for place, height in heights.items():
            here = shown[panels.at(shown, *place) & (shown["platform"] == platform)]
            if here.empty:
                marks.absent(axis, height, "not auto-tuned")
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
