"""The fastest primitive varies with the level of quantization.

A model on a platform has a fastest primitive in float32, one in float16 and one on 8-bit integers, all dense and
untuned. As with tuning, that they differ says nothing where two primitives are about equally fast: the network varies
if, between some two of the precisions, both orders are clear. That the choice can depend on the precision needs one
such network; their share among the networks that are decided says how often it does. Float16 that a platform widens
is what its user gets there, and counts. See RULE.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dlas.analysis import marks, panels, winners
from dlas.analysis.columns import LATENCY, PLACE
from dlas.analysis.observation import (
    Observation,
    Tables,
    distinct_names,
    floors,
    measured,
    needs,
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

RULE = """
Networks: each model on a platform with every primitive measured in at least two of float32, float16 and int8, dense,
untuned. A network varies if the fastest primitives of two precisions differ, each clearly faster than the other in its
own precision. It stays if one primitive is clearly faster than each other one in all of them. Clear: by more than the
A/A noise floor and the intervals, with a family-wise error of 5 % over all comparisons. Supported: at least one network
varies. Contradicted: none does, and the 95 % upper limit of their share among those that vary or stay is below 25 %.
Inconclusive otherwise.
"""
READING = """
A panel is a platform; a network has one row for each precision, where "no compression" is float32. A mark is a
primitive's latency over that of the fastest in the same precision, with its 95 % interval, on a logarithmic axis. Grey
lines join the marks of a primitive: where they cross, precision changes the order. The fastest of each precision is
named at the right, bold where the change is clear; pale marks are widened arithmetic.
"""
DATA = """
results/study.csv: the measured dense untuned rows without compression, in float16 and in int8, where every primitive
was measured. results/noise_floor.csv: the largest noise floor of each platform and data set.
"""
STATISTIC = (
    "share of networks whose fastest primitive varies with the precision, among those that vary or "
    "stay clearly"
)
# The type that each compression computes in.
PRECISIONS = {"none": "float32", "float16": "float16", "int8": "int8"}


def networks(study: pd.DataFrame) -> dict[tuple[str, ...], dict[str, pd.DataFrame]]:
    """Return the latencies of each network by compression, of PRECISIONS those with every primitive of the study.

    Networks with two or more of them only; a row is a primitive.
    """
    primitives = set(study["primitive"])
    rows = untuned(measured(study))
    rows = rows[rows["compression"].isin(PRECISIONS) & (rows["format"] == "dense")]
    rows = rows.set_index("primitive")[[*PLACE, "compression", *LATENCY, "status"]]
    found: dict[tuple[str, ...], dict[str, pd.DataFrame]] = {}
    for network, group in rows.groupby(PLACE):
        precisions = {
            name: own
            for name in PRECISIONS
            for own in [group.loc[group["compression"] == name, [*LATENCY, "status"]]]
            if set(own.index) == primitives
        }
        if len(precisions) > 1 and len(primitives) > 1:
            found[network] = precisions
    return found


def observe(tables: Tables) -> Observation:
    """Return the verdict under RULE; the evidence is one row for each network.

    Its columns are PLACE, the fastest primitive of each of PRECISIONS, empty where it was not measured, outcome
    (changes, stays or unclear) and, of the clear change that matters most, first, second and cost: the latency under
    the second precision of the first one's fastest primitive, over the lowest there.
    """
    found, primitives = networks(tables.study), distinct_names(tables.study, "primitive")
    return _verdict(found, len(primitives), floors(tables.noise_floor)).showing(
        latencies=winners.table(found, PLACE, "compression"),
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
        return needs("a network measured in two precisions with every primitive", STATISTIC)
    comparisons = primitives * (primitives - 1) * sum(map(len, complete.values()))
    evidence = pd.DataFrame(
        [
            (*network, *_judged(latencies, floor[network[:2]], comparisons))
            for network, latencies in complete.items()
        ],
        columns=[*PLACE, *PRECISIONS, "outcome", "first", "second", "cost"],
    )
    verdict, share, decided = winners.judge(evidence["outcome"])
    varying = evidence[evidence["outcome"] == "changes"]
    reason = (
        f"the fastest primitive varies clearly on {len(varying)} and stays clearly on {decided - len(varying)} of "
        f"{len(evidence)} networks"
    )
    if len(varying):
        top = varying.loc[varying["cost"].idxmax()]
        reason += (
            f"; most on `{top['model']}`, `{top['dataset']}` on `{top['platform']}`, where "
            f"`{top[top['first']]}` is fastest in {PRECISIONS[top['first']]} and takes {top['cost']:.2f} times as "
            f"long as `{top[top['second']]}` in {PRECISIONS[top['second']]}"
        )
    return Observation(verdict, reason, STATISTIC, *share, n=decided, evidence=evidence)


def _judged(
    latencies: Mapping[str, pd.DataFrame], floor: float, comparisons: int
) -> tuple[str | float, ...]:
    """Return a network's evidence: the fastest primitives, the outcome, and the clear change that matters most."""
    best = winners.fastest(latencies)
    costs = {
        change: winners.cost(latencies, *change)
        for change in winners.changes(latencies, floor, comparisons)
    }
    first, second = max(costs, key=lambda change: costs[change]) if costs else ("", "")
    return (
        *(best.get(name, "") for name in PRECISIONS),
        winners.outcome(latencies, floor, comparisons),
        first,
        second,
        costs.get((first, second), float("nan")),
    )


def draw(observation: Observation, looks: Looks) -> tuple[Figure, list[Line2D]]:
    """Return each primitive's latency over the lowest of its precision, a line for each precision.

    Lines join the marks of a primitive: where they cross the order changes. The fastest ones are named at the right,
    bold where the network varies clearly.
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
