"""Untuned, no one primitive is fastest for all models and platforms.

For each model on each platform all primitives of the study are compared, uncompressed, dense and untuned: the claim
varies models and platforms, and what compression does to the order of the primitives is another claim. A primitive
wins clearly if it beats each other one by more than noise; see RULE. The effect size is what it costs to use one
primitive everywhere: the geometric mean of its latency over that of each network's fastest primitive, for the
primitive with which this mean is smallest. Its interval is a percentile bootstrap over the networks.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy import stats

from dlas.analysis import marks, panels, statistics
from dlas.analysis.columns import LATENCY, MODEL, PLACE
from dlas.analysis.observation import (
    Observation,
    Tables,
    Verdict,
    distinct_names,
    floors,
    measured,
    needs,
)
from dlas.analysis.style import GREY, Looks
from dlas.analysis.winners import slower
from dlas.plugins import ObservationPlugin

PLUGIN = ObservationPlugin(
    label="untuned, no one primitive is fastest for all models and platforms",
    order=4,
    origin="formulated",
    layer="4 Algorithms and data formats",
)

RULE = """
Networks: each model on each platform with every primitive measured, uncompressed, dense, untuned. A primitive wins
clearly if each other one is slower by more than the A/A noise floor and the intervals, with a family-wise error of 5 %
over all comparisons. Supported: two different primitives win clearly on some network each. Contradicted: one primitive
wins clearly on every network, of at least two. Inconclusive otherwise.
"""
READING = """
A panel is a platform, a row a network, a shape a primitive. A mark is the primitive's latency over that of the fastest
one of the row, with its 95 % interval; the fastest stands at 1, and the axis is logarithmic. It supports the claim
where different shapes stand at 1 in different rows. A name at the right is that of a clear winner; where there is
none, noise could have made the order.
"""
DATA = """
results/study.csv: the measured rows that are uncompressed, dense and untuned. results/noise_floor.csv: the largest
noise floor of each platform and data set.
"""
STATISTIC = "geometric mean slowdown of the best single primitive against each network's fastest"


def candidates(study: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that the claim is about, measured or not."""
    chosen = (
        (study["compression"] == "none")
        & (study["format"] == "dense")
        & (study["tuning"] == "untuned")
    )
    return study[chosen]


def observe(tables: Tables) -> Observation:
    """Return the verdict under RULE; the evidence is one row for each network with its clear winner, or "none"."""
    rows = candidates(tables.study)
    timed = measured(rows)[[*PLACE, "primitive", *LATENCY, "status"]]
    primitives = sorted(set(rows["primitive"]))
    return _verdict(timed, primitives, floors(tables.noise_floor)).showing(
        latencies=timed,
        members=rows[MODEL].drop_duplicates(),
        platform=distinct_names(rows, "platform"),
        primitive=distinct_names(rows, "primitive"),
    )


def _verdict(
    timed: pd.DataFrame, primitives: list[str], floor: dict[tuple[str, str], float]
) -> Observation:
    latencies = timed.pivot(index=PLACE, columns="primitive", values="latency_ms").dropna()
    complete = {
        network: group
        for network, group in timed.set_index("primitive").groupby(PLACE)
        if set(group.index) == set(primitives) and network[:2] in floor
    }
    if len(primitives) < 2 or len(complete) < 2:
        return needs("two networks, each measured with the same two or more primitives", STATISTIC)
    comparisons = len(complete) * len(primitives) * (len(primitives) - 1)
    evidence = pd.DataFrame(list(complete), columns=PLACE)
    evidence["winner"] = [
        _clear_winner(group, floor[network[:2]], comparisons) for network, group in complete.items()
    ]
    slowdown = _slowdown(latencies.loc[list(complete)].to_numpy())
    wins = evidence["winner"][evidence["winner"] != "none"].value_counts()
    counted = ", ".join(f"`{name}` on {count}" for name, count in wins.items()) or "none"
    reason = f"clear winners: {counted}, of {len(complete)} networks"
    verdict: Verdict = "inconclusive"
    if len(wins) > 1:
        verdict = "supported"
    elif len(wins) == 1 and wins.iloc[0] == len(complete):
        verdict = "contradicted"
    return Observation(verdict, reason, STATISTIC, *slowdown, n=len(complete), evidence=evidence)


def _clear_winner(group: pd.DataFrame, floor: float, comparisons: int) -> str:
    clear = len(slower(group, floor, comparisons)) == len(group) - 1
    return str(group["latency_ms"].idxmin()) if clear else "none"


def _slowdown(latencies: np.ndarray) -> statistics.Interval:
    """Return the effect size of latencies [networks, primitives]."""
    logarithms = np.log(latencies / latencies.min(axis=1, keepdims=True))

    def smallest_mean(*primitives: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.exp(np.min([values.mean(axis=axis) for values in primitives], axis=0))

    limits = stats.bootstrap(
        tuple(logarithms.T),
        smallest_mean,
        paired=True,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return statistics.Interval(
        float(smallest_mean(*logarithms.T)), float(limits.low), float(limits.high)
    )


def draw(observation: Observation, looks: Looks) -> tuple[Figure, list[Line2D]]:
    """Return each primitive's latency over the network's lowest; the clear winner is named at the right."""
    rows, members = observation.shown["latencies"], observation.shown["members"]
    platforms = looks.ordered("platform", observation.names("platform"))
    primitives = looks.ordered("primitive", observation.names("primitive"))
    if members.empty:
        return panels.empty(looks, platforms, "no dense, untuned, uncompressed network")
    evidence = observation.evidence
    winners = evidence.set_index(PLACE)["winner"].to_dict() if len(evidence) else {}
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
            winner = winners.get((platform, dataset, model), "none")
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
