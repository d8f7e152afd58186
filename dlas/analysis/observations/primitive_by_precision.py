"""The fastest primitive varies with the level of quantization.

A model on a platform has a fastest primitive in float32, one in float16 and one on 8-bit integers,
all dense and untuned. A difference means nothing if two primitives are about equally fast. So the
effect is the cost of one primitive for all precisions, see `dlas.analysis.winners`. The claim needs
one network on which this clearly costs something. Float16 that a platform widens counts as well:
its user gets no other. See RULE.
"""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dlas.analysis import judging, marks, panels, winners
from dlas.analysis.columns import LATENCY, PLACE
from dlas.analysis.observation import (
    Observation,
    Tables,
    distinct_names,
    floors,
    needs,
    timed,
    untuned,
)
from dlas.analysis.style import GREY, Looks
from dlas.plugins import ObservationPlugin

PLUGIN = ObservationPlugin(
    label="the fastest primitive varies with the level of quantization",
    order=10,
    origin="abstract",
    layer="4 Algorithms and data formats",
)

RULE_VERSION = 2
RULE = f"""
Networks: each model on a platform with every primitive measured in at least two of float32, float16
and int8, dense, untuned. Loss of a primitive: the largest factor by which another one is faster in
any of the precisions, in paired samples. A network's loss is that of the primitive that loses
least: it is 1 where one primitive is the fastest in all. The limits of all networks hold at once
(family-wise 95 %). Threshold: {winners.COUNTS}x, or the A/A noise floor if that is more. Supported:
the interval of some network lies above its threshold, so that the best primitive varies.
Contradicted: all lie below {winners.COUNTS}x, and so do the noise floors. Inconclusive otherwise.
For other networks: the exact interval of the share of models on which it clearly varies; yes above
{judging.COMMON:.0%}, no below.
"""
READING = """
A panel is a platform; a network has one row for each precision, where "no compression" is float32.
A mark is a primitive's latency over that of the fastest in the same precision, with its 95 %
interval, on a logarithmic axis. Grey lines join the marks of a primitive: where they cross,
precision changes the order. The fastest of each precision is named at the right, bold where the
change is clear; pale marks are widened arithmetic.
"""
DATA = """
results/study.csv: the measured dense untuned rows without compression, in float16 and in int8,
where every primitive was measured. results/noise_floor.csv: the largest noise floor of each
platform and data set.
"""
STATISTIC = "what one primitive for all precisions costs, on the network where it costs most"
# The dtype that each compression computes in.
PRECISIONS = {"none": "float32", "float16": "float16", "int8": "int8"}


def networks(rows: pd.DataFrame, primitives: list[str]) -> dict[tuple[str, ...], winners.Latencies]:
    """Return the latencies of the networks that were measured in several precisions.

    Parameters
    ----------
    rows : DataFrame
        Rows of `observation.timed`.
    primitives : list of str
        All primitives of the study.

    Returns
    -------
    dict of (platform, dataset, model) to Latencies
        By compression, the PRECISIONS in which every primitive was measured; networks with two of
        them or more.
    """
    columns = [*LATENCY, "status", "row"]
    chosen = untuned(rows)
    chosen = chosen[chosen["compression"].isin(PRECISIONS) & (chosen["format"] == "dense")]
    chosen = chosen.set_index("primitive")[[*PLACE, "compression", *columns]]
    found: dict[tuple[str, ...], winners.Latencies] = {}
    for network, group in chosen.groupby(PLACE):
        precisions = {
            name: own.loc[primitives]
            for name in PRECISIONS
            for own in [group.loc[group["compression"] == name, columns]]
            if set(own.index) == set(primitives)
        }
        if len(precisions) > 1 and len(primitives) > 1:
            found[network] = precisions
    return found


def observe(tables: Tables) -> Observation:
    """Return the verdict under RULE.

    Returns
    -------
    Observation
        The evidence has one row for each network, see `winners.changes`, and the fastest primitive
        in each of PRECISIONS, empty if not measured.
    """
    primitives = sorted(set(tables.study["primitive"]))
    found = networks(timed(tables), primitives)
    return _verdict(found, tables).showing(
        latencies=winners.table(found, PLACE, "compression"),
        platform=distinct_names(tables.study, "platform"),
        primitive=distinct_names(tables.study, "primitive"),
    )


def _verdict(found: Mapping[tuple[str, ...], winners.Latencies], tables: Tables) -> Observation:
    floor = floors(tables.noise_floor)
    complete = {place: latencies for place, latencies in found.items() if place[:2] in floor}
    if not complete:
        return needs("a network measured in two precisions with every primitive", STATISTIC)
    evidence = winners.changes(complete, PLACE, tables.rounds, floor)
    best = [winners.fastest(latencies) for latencies in complete.values()]
    for name in PRECISIONS:
        evidence[name] = [one.get(name, "") for one in best]
    verdict, loss = winners.judge(evidence)
    reason = winners.in_words(evidence, "varies")
    top = evidence.loc[evidence["loss"].idxmax()]
    names = [f"`{top[name]}` in {dtype}" for name, dtype in PRECISIONS.items() if top[name]]
    reason += (
        f"; most on `{top['model']}`, `{top['dataset']}` on `{top['platform']}`: fastest is "
        f"{', '.join(names)}, and one for all costs {top['loss']:.2f} [{top['low']:.2f}, "
        f"{top['high']:.2f}]"
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
    """Return the figure of each primitive's latency over the lowest of its precision.

    Lines join the marks of a primitive: where they cross, the order changes. The fastest ones are
    named at the right, bold where the network varies clearly.
    """
    shown = observation.shown["latencies"]
    platforms = looks.ordered("platform", observation.names("platform"))
    if shown.empty:
        text = "no network was measured in two precisions with every primitive"
        return panels.empty(looks, platforms, text)
    complete = winners.by_network(shown, PLACE, "compression")
    lines = shown.assign(format="dense")
    figure, axes, heights = panels.network_rows(looks, platforms, lines, 0.22)
    clear = winners.changing(observation.evidence, PLACE)
    styles = {name: {"color": looks.colour(name)} for name in PRECISIONS}
    limits = [0.95, 1.2]
    for axis, platform in zip(axes[0], platforms, strict=True):
        for (name, precision), height in heights.items():
            model, dataset = name.split(", ")
            if precision not in complete.get((platform, dataset, model), {}):
                marks.absent(axis, height)
        for network, latencies in complete.items():
            if network[0] != platform:
                continue
            _, dataset, model = network
            own = {name: heights[f"{model}, {dataset}", name] for name in latencies}
            changes = network in clear
            ends = winners.draw(axis, looks, latencies, own, styles, GREY, changes, apart=0.2)
            limits = [min(limits[0], ends[0]), max(limits[1], ends[1])]
    winners.scale(axes, limits, "latency / fastest of the same precision")
    primitives = looks.ordered("primitive", observation.names("primitive"))
    return figure, looks.handles("primitive", primitives) + looks.legend(shown, "status")
