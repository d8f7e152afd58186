"""The speedups that compression techniques give are very hardware dependent.

The speedup of a compression on a platform is the latency of the uncompressed network over that of
the compressed one. Each is in its fastest untuned configuration there, in paired samples. For every
compression and pair of platforms the two speedups of each model are divided, round by round where
the platforms are one machine. Their geometric mean over the models is the factor by which the
hardware changes the worth of the compression.

Auto-tuned code has no part in it: only some networks have it, and each is to count once. A network
whose compression has no level within the tolerance was not compressed and has no speedup. A widened
one was measured and has one. See RULE.
"""

from itertools import combinations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dlas.analysis import judging, marks, panels
from dlas.analysis.columns import DEPLOYED, MODEL, NETWORK, PLACE, SPEEDUP
from dlas.analysis.effects import combined, of_networks, stacked
from dlas.analysis.observation import (
    Observation,
    Tables,
    distinct,
    distinct_names,
    fastest,
    floor_of,
    needs,
    paired,
    timed,
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

THRESHOLD = 1.25
# So many compressions fit into one column of print with their marks and legend.
MAX_LABELS = 5
RULE_VERSION = 2
RULE = f"""
For each compression and pair of platforms: geometric mean over the compressed models of the ratio
of their speedups (fastest untuned configuration), from paired samples, with the interval of the
measurements at a family-wise 95 %. Threshold: {THRESHOLD}x, or the product of the two A/A noise
floors if that is larger. Supported: the interval of some compression and pair lies beyond the
threshold. Contradicted: all intervals lie within {THRESHOLD}x, and so do the noise floors.
Inconclusive otherwise. For other networks: the same with the t interval over the models.
"""
READING = """
A panel is a platform, a row a network, a colour a compression. A mark is the uncompressed network's
latency over the compressed one's, each in its fastest untuned configuration there, with a 95 %
interval on a logarithmic axis: right of the line at 1 compression makes it faster. It supports the
claim where a colour lies in one panel clearly elsewhere than in the other, row by row. Pale marks
are widened arithmetic; a cross at the edge says that no level of the technique kept the accuracy.
"""
DATA = """
results/study.csv: of each network on each platform the fastest of the measured untuned rows,
compressed and uncompressed. results/noise_floor.csv: the largest noise floor of each platform and
data set.
"""
STATISTIC = "geometric mean ratio of a compression's speedups on two platforms, where it is largest"
LEVEL = [*NETWORK, "level"]
OTHERS_INTERVAL = ["others_low", "others_high"]
COLUMNS = [
    "compression",
    "first",
    "second",
    "ratio",
    "low",
    "high",
    *OTHERS_INTERVAL,
    "floor",
    "networks",
]


def compressed(tables: Tables) -> pd.DataFrame:
    """Return the fastest untuned row of each compressed network on each platform.

    Returns
    -------
    DataFrame
        LEVEL, platform, status, row and row_baseline, the row of the uncompressed network.
    """
    rows = untuned(distinct(timed(tables))).assign(level=lambda table: table["level"].fillna(0))
    best = fastest(rows, [*LEVEL, "platform"])
    baseline = best.loc[best["compression"] == "none", [*PLACE, "row"]]
    both = best[best["compression"] != "none"].merge(baseline, on=PLACE, suffixes=("", "_baseline"))
    return both[[*LEVEL, "platform", "status", "row", "row_baseline"]]


def observe(tables: Tables) -> Observation:
    """Return the verdict under RULE.

    Returns
    -------
    Observation
        The evidence has one row for each compression and pair of platforms: COLUMNS.
    """
    study = untuned(tables.study)
    rows = compressed(tables)
    series = tables.rounds.ratios(rows["row_baseline"], rows["row"])
    return _verdict(distinct(study), rows, series, tables).showing(
        speedups=paired(rows, series)[[*LEVEL, "platform", "status", *SPEEDUP]],
        no_level=unreached(study)[DEPLOYED].drop_duplicates(),
        platform=distinct_names(study, "platform"),
        compression=distinct_names(study[study["compression"] != "none"], "compression"),
    )


def _verdict(
    study: pd.DataFrame, rows: pd.DataFrame, series: np.ndarray, tables: Tables
) -> Observation:
    if study.loc[study["compression"] != "none"].empty:
        return needs("compressed networks", STATISTIC)
    if study["platform"].nunique() < 2:
        return needs("a second platform", STATISTIC)
    evidence = _comparisons(rows, series, tables)
    if evidence.empty:
        return needs("a network with the same compression measured on two platforms", STATISTIC)
    verdict = judging.any_beyond(evidence["low"], evidence["high"], THRESHOLD, evidence["floor"])
    others = judging.any_beyond(
        evidence["others_low"], evidence["others_high"], THRESHOLD, evidence["floor"]
    )
    beyond = evidence[evidence["low"] > evidence["floor"].clip(lower=THRESHOLD)]
    shown = beyond if len(beyond) else evidence
    top = shown.loc[shown["ratio"].idxmax()]
    reason = (
        f"`{top['compression']}` speeds networks up {top['ratio']:.2f} times as much on "
        f"`{top['first']}` as on `{top['second']}` [{top['low']:.2f}, {top['high']:.2f}]; beyond "
        f"the threshold: {len(beyond)} of {len(evidence)} comparisons"
    )
    return Observation(
        verdict,
        reason,
        STATISTIC,
        top["ratio"],
        top["low"],
        top["high"],
        n=int(top["networks"]),
        others=judging.for_others(others, *top[OTHERS_INTERVAL]),
        evidence=evidence,
    )


def _comparisons(rows: pd.DataFrame, series: np.ndarray, tables: Tables) -> pd.DataFrame:
    """Return COLUMNS for each compression and two platforms; it gains more on the first."""
    rows = rows.assign(at=np.arange(len(rows)), floor=floor_of(rows, tables.noise_floor))
    jobs = tables.rounds.job[rows["row"].to_numpy(int)]
    found, models = [], []
    for compression, own in rows.groupby("compression"):
        at = own.pivot(index=LEVEL, columns="platform", values="at")
        for first, second in combinations(at.columns, 2):
            pairs = at[[first, second]].dropna().astype(int).sort_index(level=MODEL)
            if pairs.empty:
                continue
            networks = stacked(
                [combined(series[pair], jobs[pair], [1, -1]) for pair in pairs.to_numpy()]
            )
            names, sign = (first, second), 1
            if networks.log.mean() < 0:
                names, sign = (second, first), -1
            models.append(networks.times(sign))
            noise = rows["floor"].to_numpy()[pairs.to_numpy()].max(axis=0).prod()
            found.append((compression, *names, noise, len(pairs)))
    if not found:
        return pd.DataFrame(columns=COLUMNS)
    table = pd.DataFrame(found, columns=["compression", "first", "second", "floor", "networks"])
    ratio, others = of_networks(models)
    limits = dict(
        zip(["ratio", "low", "high", *OTHERS_INTERVAL], [*ratio, *others[1:]], strict=True)
    )
    return table.assign(**limits)[COLUMNS]


def draw(observation: Observation, looks: Looks) -> tuple[Figure, list[Line2D]]:
    """Return the figure of the speedup of each compressed network by platform."""
    found, missing = observation.shown["speedups"], observation.shown["no_level"]
    platforms = looks.ordered("platform", observation.names("platform"))
    compressions = looks.ordered("compression", observation.names("compression"))
    if found.empty:
        return panels.empty(looks, platforms, "no compressed network was measured")
    # Many compressions need higher rows, and a legend as wide as a page.
    many = len(compressions) > MAX_LABELS
    figure, axes, heights = panels.model_rows(
        looks,
        platforms,
        found,
        max(0.3, 0.06 * len(compressions)),
        height=0.6,
        width=panels.PAGE_INCHES if many else panels.COLUMN_INCHES,
    )
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
