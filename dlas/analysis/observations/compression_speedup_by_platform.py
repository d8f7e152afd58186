"""The speedups that compression techniques give are very hardware dependent.

The speedup of a compression on a platform is the latency of the uncompressed network over that of the compressed one,
each in its fastest untuned configuration there. For every compression and pair of platforms the two
speedups of each model are divided; their geometric mean over the models, with Student's t interval, says by which
factor the hardware changes what the compression is worth. Auto-scheduled code has no part in it: some networks only
have it, and each is to count once. A network whose compression has no level within the tolerance was not compressed
and has no speedup; a widened one was measured and has. See RULE.
"""

from itertools import combinations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dlas.analysis import marks, panels, statistics
from dlas.analysis.columns import DEPLOYED, LATENCY, NETWORK, PLACE, SPEEDUP
from dlas.analysis.observation import (
    Observation,
    Tables,
    Verdict,
    distinct,
    distinct_names,
    fastest,
    floors,
    measured,
    needs,
    speedup_over,
    unreached,
    untuned,
)
from dlas.analysis.style import GREY, Looks, no_level_handle
from dlas.plugins import ObservationPlugin

PLUGIN = ObservationPlugin(
    label="the speedups that compression techniques give are very hardware dependent",
    order=7,
    origin="abstract",
    layer="6 Hardware",
)

VERY = 1.25
RULE = f"""
For each compression and pair of platforms: geometric mean over the compressed models of the ratio of their speedups
(fastest untuned configuration), with a t interval at a family-wise 95 %. Threshold: {VERY}x, or the product of the
two A/A noise floors if that is larger. Supported: the interval of some compression and pair lies beyond the threshold.
Contradicted: all intervals lie within it. Inconclusive otherwise.
"""
READING = """
A panel is a platform, a row a network, a colour a compression. A mark is the uncompressed network's latency over the
compressed one's, each in its fastest untuned configuration there, with a 95 % interval on a logarithmic axis: right of
the line at 1 compression makes it faster. It supports the claim where a colour lies in one panel clearly elsewhere
than in the other, row by row. Pale marks are widened arithmetic; a cross at the edge says that no level of the
technique kept the accuracy.
"""
DATA = """
results/study.csv: of each network on each platform the fastest of the measured untuned rows, compressed and
uncompressed. results/noise_floor.csv: the largest noise floor of each platform and data set.
"""
STATISTIC = "geometric mean ratio of a compression's speedups on two platforms, where it is largest"
LEVEL = [*NETWORK, "level"]


def speedups(study: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each compressed network and platform: LEVEL, platform, status and SPEEDUP.

    The limits come from the two latencies' intervals, taken as independent.
    """
    rows = untuned(distinct(measured(study))).assign(level=lambda table: table["level"].fillna(0))
    best = fastest(rows, [*LEVEL, "platform"])
    baseline = best.loc[best["compression"] == "none", [*PLACE, *LATENCY]]
    both = best[best["compression"] != "none"].merge(baseline, on=PLACE, suffixes=("", "_baseline"))
    return both[[*LEVEL, "platform", "status"]].join(speedup_over(both, "_baseline"))


def observe(tables: Tables) -> Observation:
    """Return the verdict under RULE; the evidence is one row for each compression and pair of platforms."""
    study = untuned(tables.study)
    found = speedups(study)
    return _verdict(distinct(study), found, floors(tables.noise_floor)).showing(
        speedups=found,
        no_level=unreached(study)[DEPLOYED].drop_duplicates(),
        platform=distinct_names(study, "platform"),
        compression=distinct_names(study[study["compression"] != "none"], "compression"),
    )


def _verdict(
    study: pd.DataFrame, speedups: pd.DataFrame, floor: dict[tuple[str, str], float]
) -> Observation:
    if study.loc[study["compression"] != "none"].empty:
        return needs("compressed networks", STATISTIC)
    if study["platform"].nunique() < 2:
        return needs("a second platform", STATISTIC)
    table = speedups.pivot(index=LEVEL, columns="platform", values="speedup")
    pairs = [
        (compression, first, second, group[[first, second]].dropna())
        for compression, group in table.groupby(level="compression")
        for first, second in combinations(table.columns, 2)
    ]
    pairs = [pair for pair in pairs if len(pair[3]) > 1]
    if not pairs:
        return needs("two networks with the same compression measured on two platforms", STATISTIC)
    confidence = 1 - statistics.ERROR_RATE / len(pairs)
    found = []
    for compression, first, second, values in pairs:
        datasets = values.index.get_level_values("dataset")
        noise = [
            max(floor.get((platform, name), np.inf) for name in datasets)
            for platform in (first, second)
        ]
        ratio = statistics.geometric_mean_ratio(values[first], values[second], confidence)
        found.append(
            (compression, first, second, *ratio, max(VERY, noise[0] * noise[1]), len(values))
        )
    columns = ["compression", "first", "second", "ratio", "low", "high", "threshold", "networks"]
    evidence = pd.DataFrame(found, columns=columns)
    beyond = evidence[
        (evidence["low"] > evidence["threshold"]) | (evidence["high"] < 1 / evidence["threshold"])
    ]
    within = (evidence["low"] > 1 / evidence["threshold"]) & (
        evidence["high"] < evidence["threshold"]
    )
    verdict: Verdict = (
        "supported" if len(beyond) else "contradicted" if within.all() else "inconclusive"
    )
    shown = beyond if len(beyond) else evidence
    top = shown.loc[np.log(shown["ratio"]).abs().idxmax()]
    reason = (
        f"`{top['compression']}` speeds networks up {top['ratio']:.2f} times as much on "
        f"`{top['first']}` as on `{top['second']}` "
        f"[{top['low']:.2f}, {top['high']:.2f}]; beyond the threshold: {len(beyond)} of {len(evidence)} comparisons"
    )
    return Observation(
        verdict,
        reason,
        STATISTIC,
        top["ratio"],
        top["low"],
        top["high"],
        n=int(top["networks"]),
        evidence=evidence,
    )


def draw(observation: Observation, looks: Looks) -> tuple[Figure, list[Line2D]]:
    """Return the speedup of each compressed network by platform; 1 is the uncompressed network."""
    found, missing = observation.shown["speedups"], observation.shown["no_level"]
    platforms = looks.ordered("platform", observation.names("platform"))
    compressions = looks.ordered("compression", observation.names("compression"))
    if found.empty:
        return panels.empty(looks, platforms, "no compressed network was measured")
    figure, axes, heights = panels.model_rows(looks, platforms, found, 0.3, height=0.6)
    no_level = set(missing.itertuples(index=False, name=None))
    for axis, platform in zip(axes[0], platforms, strict=True):
        for (dataset, model), height in heights.items():
            here = found[panels.of(found, platform, dataset, model)]
            if here.empty:
                marks.absent(axis, height)
            for compression, offset in panels.spread(compressions).items():
                one, colour = here[here["compression"] == compression], looks.colour(compression)
                at = [height + offset] * len(one)
                marks.intervals(axis, one, at, SPEEDUP, color=colour, marker="o")
                if (platform, dataset, model, compression) in no_level:
                    marks.no_level(axis, height + offset, colour)
        panels.log_axis(axis.xaxis, min(found["low"].min(), 0.9), max(found["high"].max(), 1.1))
        axis.axvline(1, color=GREY, linewidth=0.8)
        axis.set_xlabel("speedup")
    legend = looks.handles("compression", compressions) + looks.legend(found, "status")
    return figure, legend + [no_level_handle()] * bool(no_level)
