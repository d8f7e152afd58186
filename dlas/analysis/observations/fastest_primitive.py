"""Untuned, no one primitive is fastest for all models and platforms.

For each model on each platform all primitives of the study are compared, uncompressed, dense and
untuned. The claim varies models and platforms; the effect of compression on the order of the
primitives is another claim. The effect is the loss of the best single primitive on the network
where it loses most, see `dlas.analysis.winners` and RULE.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dlas.analysis import judging, marks, panels, winners
from dlas.analysis.columns import LATENCY, MODEL, PLACE
from dlas.analysis.observation import (
    Observation,
    Tables,
    distinct_names,
    floors,
    needs,
    timed,
)
from dlas.analysis.statistics import Interval
from dlas.analysis.style import GREY, Looks
from dlas.plugins import ObservationPlugin

PLUGIN = ObservationPlugin(
    label="untuned, no one primitive is fastest for all models and platforms",
    order=4,
    origin="formulated",
    layer="4 Algorithms and data formats",
)

RULE_VERSION = 2
RULE = f"""
Networks: each model on each platform with every primitive measured, uncompressed, dense, untuned.
Loss of a primitive: the largest factor by which another one is faster on any network, in paired
samples. The effect is the loss of the primitive that loses least, with limits that hold for all
pairs of primitives on all networks at once (family-wise 95 %). Threshold: {winners.COUNTS}x, or the
largest A/A noise floor if that is more. Supported: the interval lies above the threshold, so that
each primitive is clearly slower somewhere. Contradicted: it lies below {winners.COUNTS}x, and so
does the noise floor. Inconclusive otherwise. For other networks: the exact interval of the share of
models on which the best single primitive loses more than the threshold; yes above
{judging.COMMON:.0%}, no below.
"""
READING = """
A panel is a platform, a row a network, a shape a primitive. A mark is the primitive's latency over
that of the fastest one of the row, with its 95 % interval; the fastest stands at 1, and the axis is
logarithmic. It supports the claim where different shapes stand at 1 in different rows. A name at
the right is that of a clear winner; where there is none, noise could have made the order.
"""
DATA = """
results/study.csv: the measured rows that are uncompressed, dense and untuned.
results/noise_floor.csv: the largest noise floor of each platform and data set.
"""
STATISTIC = (
    "slowdown of the best single primitive on the network where it is furthest from the fastest"
)


def candidates(study: pd.DataFrame) -> pd.DataFrame:
    """Return the dense, untuned rows without compression, measured or not."""
    chosen = (
        (study["compression"] == "none")
        & (study["format"] == "dense")
        & (study["tuning"] == "untuned")
    )
    return study[chosen]


def observe(tables: Tables) -> Observation:
    """Return the verdict under RULE.

    Returns
    -------
    Observation
        The evidence has one row for each network, with its clear winner, or "none".
    """
    rows = candidates(tables.study)
    primitives = sorted(set(rows["primitive"]))
    shown = candidates(timed(tables))[[*PLACE, "primitive", *LATENCY, "status", "row"]]
    return _verdict(tables, shown, primitives).showing(
        latencies=shown.drop(columns="row"),
        members=rows[MODEL].drop_duplicates(),
        platform=distinct_names(rows, "platform"),
        primitive=distinct_names(rows, "primitive"),
    )


def _verdict(tables: Tables, timed: pd.DataFrame, primitives: list[str]) -> Observation:
    floor = floors(tables.noise_floor)
    networks = {
        network: group.loc[primitives]
        for network, group in timed.set_index("primitive").groupby(PLACE)
        if set(group.index) == set(primitives) and network[:2] in floor
    }
    if len(primitives) < 2 or len(networks) < 2:
        return needs("two networks, each measured with the same two or more primitives", STATISTIC)
    pairs = winners.comparisons([networks])
    noise = max(floor[network[:2]] for network in networks)
    threshold = max(winners.COUNTS, noise)
    limits = winners.losses(networks, tables.rounds, pairs)
    loss = Interval(*(float(each.min()) for each in limits))
    verdict = judging.any_beyond(loss.low, loss.high, winners.COUNTS, noise)
    evidence = pd.DataFrame(list(networks), columns=PLACE)
    evidence["winner"] = [
        _clear_winner(group, tables, pairs, floor[network[:2]])
        for network, group in networks.items()
    ]
    wins = evidence["winner"][evidence["winner"] != "none"].value_counts()
    counted = ", ".join(f"`{name}` on {count}" for name, count in wins.items()) or "none"
    best = primitives[int(np.argmin(limits.estimate))]
    reason = (
        f"`{best}` loses least: {loss.estimate:.2f} [{loss.low:.2f}, {loss.high:.2f}], threshold "
        f"{threshold:.2f}; clear winners: {counted}, of {len(networks)} networks"
    )
    slower = {
        network[1:]
        for network, group in networks.items()
        if winners.losses({"": group}, tables.rounds, pairs).low[primitives.index(best)] > threshold
    }
    models = {network[1:] for network in networks}
    others = judging.for_others_by_share(len(slower), len(models))
    return Observation(
        verdict, reason, STATISTIC, *loss, n=len(networks), others=others, evidence=evidence
    )


def _clear_winner(group: pd.DataFrame, tables: Tables, pairs: int, floor: float) -> str:
    """Return the primitive that is faster than any other by more than `floor`, else "none"."""
    rest = winners.losses({"": group}, tables.rounds, pairs)
    winner = int(np.argmin(rest.estimate))
    return str(group.index[winner]) if (np.delete(rest.low, winner) > floor).all() else "none"


def draw(observation: Observation, looks: Looks) -> tuple[Figure, list[Line2D]]:
    """Return the figure of each primitive's latency over the lowest of its network."""
    rows, members = observation.shown["latencies"], observation.shown["members"]
    platforms = looks.ordered("platform", observation.names("platform"))
    primitives = looks.ordered("primitive", observation.names("primitive"))
    if members.empty:
        return panels.empty(looks, platforms, "no dense, untuned, uncompressed network")
    evidence = observation.evidence
    clear = evidence.set_index(PLACE)["winner"].to_dict() if len(evidence) else {}
    best = rows.groupby(PLACE)["latency_ms"].transform("min")
    relative = rows.assign(**{name: rows[name] / best for name in LATENCY})
    figure, axes, heights = panels.model_rows(looks, platforms, members, 0.26, height=0.6)
    for axis, platform in zip(axes[0], platforms, strict=True):
        for (dataset, model), height in heights.items():
            here = relative[panels.of(relative, platform, dataset, model)]
            if here.empty:
                marks.absent(axis, height)
            for primitive, offset in panels.spread(primitives).items():
                one = here[here["primitive"] == primitive]
                marks.intervals(
                    axis,
                    one,
                    [height + offset] * len(one),
                    color=looks.colour("none"),
                    marker=looks.marker(primitive),
                )
            winner = clear.get((platform, dataset, model), "none")
            if winner != "none":
                axis.text(
                    0.97,
                    height,
                    looks.label(winner),
                    transform=axis.get_yaxis_transform(),
                    ha="right",
                    va="center",
                    fontsize=5.8,
                    fontstyle="italic",
                )
        if len(relative):
            panels.log_axis(axis.xaxis, 1, relative["latency_ms_high"].max() * 2)
        axis.axvline(1, color=GREY, linewidth=0.8)
        axis.set_xlabel("latency / fastest")
    return figure, [*looks.handles("primitive", primitives), *looks.legend(rows, "status")]
