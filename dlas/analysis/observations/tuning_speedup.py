"""Speedups from auto-scheduling differ strongly between primitives, models and platforms.

The speedup of a configuration is its latency before a search for schedules over the one after it,
in paired samples. The claim is on a search without a template, from unscheduled to auto-scheduled
code. The search with a template, from untuned to auto-tuned code, is reported beside it.

For every two primitives (models, platforms) the speedups of configurations that are alike in all
else are divided: it does not matter which configurations were searched. The geometric mean of these
ratios is taken. Primitives, and platforms of one machine, are divided round by round.

The interval holds for the configurations of the study and the schedules that the search found for
them, not for those of another search. Chance in a search could add to the effect, and so only a
factor of THRESHOLD counts. All pairs are compared at a family-wise level. The interval of the
largest ratio, which is picked afterwards, holds too. See RULE.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dlas.analysis import judging, marks, panels
from dlas.analysis.columns import MODEL, SCHEDULED, SPEEDUP
from dlas.analysis.contrasts import (
    CONTRASTS,
    WITH_TEMPLATE,
    WITHOUT_TEMPLATE,
    Contrast,
    judged,
    retimed,
)
from dlas.analysis.effects import Effect, combined, of_networks, stacked
from dlas.analysis.observation import (
    Observation,
    Tables,
    distinct_names,
    floor_of,
    needs,
    paired,
    timed,
)
from dlas.analysis.style import GREY, Looks
from dlas.plugins import ObservationPlugin

PLUGIN = ObservationPlugin(
    label="the speedup from auto-scheduling unscheduled code differs strongly between primitives, "
    "models and platforms",
    order=5,
    origin="abstract",
    layer="5 Systems software",
)

THRESHOLD = 1.5
RULE_VERSION = 3
RULE = f"""
Speedup: unscheduled latency over auto-scheduled latency of a configuration, in paired samples. For
each two primitives, models and platforms: geometric mean of the ratio of the speedups over the
configurations that differ in nothing else, with the interval of the measurements at a family-wise
95 % over all pairs. Threshold: {THRESHOLD}x, or the product of the two A/A noise floors if that is
larger. Supported: of each of primitives, models and platforms of which two could be compared, some
pair lies beyond its threshold. Contradicted: all pairs of one of the three lie within {THRESHOLD}x,
and so do the noise floors. Inconclusive otherwise, and where two could be compared of one of the
three only. For other networks: the same of primitives and platforms, with the t interval of the
ratios over the models. Untuned latency over auto-tuned latency is judged by the same rule and
reported beside it, without a part in the verdict.
"""
READING = """
A panel is a platform, a row a network with its compression and format, a shape a primitive, a fill
a way to schedule. A mark is the latency of unscheduled code over that of another way (upper
panels), or of untuned over auto-tuned code (lower panels), with its 95 % interval, on a logarithmic
axis: right of the line at 1 a way is faster. Auto-scheduled marks decide: they support the claim
where shapes, rows or panels lie far from one another, not where all lie far from 1. Black edges are
weights in CSR, pale marks widened arithmetic; below a panel are the geometric means of its
primitives.
"""
DATA = """
results/study.csv: configurations that were measured both unscheduled and auto-scheduled, or both
untuned and auto-tuned. results/noise_floor.csv: the largest noise floor of each platform and data
set.
"""
STATISTIC = "ratio of the speedups of two primitives, models or platforms, where it is largest"
FACTORS = {
    "primitives": ["primitive"],
    "models": ["model", "dataset"],
    "platforms": ["platform"],
}
OTHERS_INTERVAL = ("others_low", "others_high")
COLUMNS = ["factor", "first", "second", "ratio", "low", "high", *OTHERS_INTERVAL, "floor", "pairs"]


# For each contrast, the ways in the figure beside its first one, and the inches of a row.
SHOWN = {
    WITHOUT_TEMPLATE: (("untuned", "autotuned", "auto_scheduled"), 0.4),
    WITH_TEMPLATE: (("autotuned",), 0.24),
}


def observe(tables: Tables) -> Observation:
    """Return the verdict under RULE.

    Returns
    -------
    Observation
        The evidence has one row for each two primitives, models or platforms, and contrast:
        COLUMNS.
    """
    measured = timed(tables)

    def speedups(contrast: Contrast) -> tuple[pd.DataFrame, np.ndarray]:
        rows = retimed(measured, contrast)
        series = tables.rounds.ratios(rows["row"], rows["row_after"])
        return paired(rows, series).assign(before=contrast.before, tuning=contrast.after), series

    shown = pd.concat(
        [
            speedups(Contrast(contrast.before, way))[0]
            for contrast, (ways, _) in SHOWN.items()
            for way in ways
        ],
        ignore_index=True,
    )
    found = judged(lambda contrast: _verdict(*speedups(contrast), tables, contrast))
    return found.showing(
        speedups=shown[["before", "tuning", *SCHEDULED, *SPEEDUP, "status"]],
        means=_means(shown),
        platform=distinct_names(tables.study, "platform"),
    )


def _means(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the geometric mean speedup of each primitive, by platform and ways to schedule."""
    logarithms = rows.assign(mean=np.log(rows["speedup"].astype(float)))
    names = ["before", "tuning", "platform", "primitive"]
    means = logarithms.groupby(names, as_index=False)["mean"].mean()
    return means.assign(mean=np.exp(means["mean"]))


def _verdict(
    rows: pd.DataFrame, series: np.ndarray, tables: Tables, contrast: Contrast
) -> Observation:
    evidence = _comparisons(rows, series, tables)
    if evidence["factor"].nunique() < 2:
        return needs(
            f"configurations measured `{contrast.before}` and `{contrast.after}` that differ in "
            "one of primitive, model and platform alone, for two of the three",
            STATISTIC,
        )
    sampled = evidence[evidence["factor"] != "models"]
    texts = [_text(evidence[evidence["factor"] == factor], factor) for factor in FACTORS]
    top = evidence.loc[evidence["ratio"].idxmax()]
    likely = sampled.loc[sampled["ratio"].idxmax(), list(OTHERS_INTERVAL)]
    return Observation(
        _judged(evidence, "low", "high"),
        "the largest ratio of the speedups of two " + "; ".join(texts),
        STATISTIC,
        top["ratio"],
        top["low"],
        top["high"],
        n=len(rows),
        others=judging.for_others(_judged(sampled, *OTHERS_INTERVAL), *likely),
        evidence=evidence,
    )


def _judged(evidence: pd.DataFrame, low: str, high: str) -> judging.Verdict:
    """Return the verdict on all factors, each of which needs a pair beyond its threshold."""
    return judging.every(
        [
            judging.any_beyond(own[low], own[high], THRESHOLD, own["floor"])
            for _, own in evidence.groupby("factor")
        ]
    )


def _comparisons(rows: pd.DataFrame, series: np.ndarray, tables: Tables) -> pd.DataFrame:
    """Return COLUMNS for each two comparable values of a factor; the first has the larger speedup.

    Two models are no sample of others. There is no comparison without a noise floor.
    """
    floor = floor_of(rows, tables.noise_floor)
    jobs = tables.rounds.job[rows["row"].to_numpy(int)]
    known = rows.assign(at=np.arange(len(rows)))[np.isfinite(floor)]
    found, networks = [], []
    for factor, names in FACTORS.items():
        alike = [name for name in SCHEDULED if name not in names]
        members = [
            (
                ", ".join(key),
                dict(zip(group[alike].itertuples(index=False), group["at"], strict=True)),
            )
            for key, group in known.groupby(names)
        ]
        for (first, one), (second, other) in combinations(members, 2):
            pairs = np.array([(one[key], other[key]) for key in one if key in other])
            if not len(pairs):
                continue
            if factor == "models":
                effect = stacked([_ratio(series, jobs, pairs)])
            else:
                models = rows.iloc[pairs[:, 0]].groupby(MODEL, sort=False).indices.values()
                effect = stacked([_ratio(series, jobs, pairs[own]) for own in models])
            ends, sign = ((first, second), 1) if effect.log.mean() >= 0 else ((second, first), -1)
            networks.append(effect.times(sign))
            found.append((factor, *ends, floor[pairs].max(axis=0).prod(), len(pairs)))
    table = pd.DataFrame(found, columns=["factor", "first", "second", "floor", "pairs"])
    if table.empty:
        return pd.DataFrame(columns=COLUMNS)
    grid, others = of_networks(networks)
    limits = dict(
        zip(["ratio", "low", "high", *OTHERS_INTERVAL], [*grid, *others[1:]], strict=True)
    )
    return table.assign(**limits)[COLUMNS]


def _ratio(series: np.ndarray, jobs: np.ndarray, pairs: np.ndarray) -> Effect:
    """Return the mean ratio of two speedups over `pairs`, positions [pairs, 2]."""
    weights = np.repeat([[1, -1]], len(pairs), axis=0) / len(pairs)
    rows = pairs.ravel()
    return combined(series[rows], jobs[rows], weights.ravel())


def _text(comparisons: pd.DataFrame, factor: str) -> str:
    """Return the largest difference between a factor's values in words."""
    if comparisons.empty:
        return f"{factor}: not compared"
    top = comparisons.loc[comparisons["ratio"].idxmax()]
    return (
        f"{factor}: {top['ratio']:.2f} [{top['low']:.2f}, {top['high']:.2f}], "
        f"{_names(top['first'])} over {_names(top['second'])} (noise floor {top['floor']:.2f})"
    )


def _names(value: str) -> str:
    """Return a value of a factor with each of its names in backquotes."""
    return ", ".join(f"`{name}`" for name in value.split(", "))


def draw(observation: Observation, looks: Looks) -> tuple[Figure, list[Line2D]]:
    """Return the figure of the speedup of each configuration.

    There is a line of panels for each contrast, and in it a panel for each platform, with the
    geometric means of its primitives below.
    """
    rows, means = observation.shown["speedups"], observation.shown["means"]
    platforms = looks.ordered("platform", observation.names("platform"))
    sections = {
        contrast: (own, SHOWN[contrast][1])
        for contrast in CONTRASTS
        for own in [rows[rows["before"] == contrast.before]]
        if len(own)
    }
    if not sections:
        return panels.empty(
            looks, platforms, "no configuration was measured before and after a search"
        )
    primitives = looks.ordered("primitive", rows["primitive"])
    figure, axes, heights = panels.network_sections(
        looks, platforms, list(sections.values()), below=0.1 * (1 + len(primitives))
    )
    for line, places, (contrast, (own, _)) in zip(axes, heights, sections.items(), strict=True):
        for axis, platform in zip(line, platforms, strict=True):
            panels.set_title(axis, looks, platform, contrast.ways)
            _panel(axis, looks, own[own["platform"] == platform], places, primitives)
            limits = min(own["low"].min(), 0.9), max(own["high"].max(), 1.1)
            panels.log_axis(axis.xaxis, *limits, fine=2.5)
            axis.axvline(1, color=GREY, linewidth=0.8)
            here = means["platform"] == platform
            for name, way in zip(("before", "tuning"), contrast.ways, strict=True):
                here &= means[name] == way
            below = looks.sort(means[here], ["primitive"])
            texts = [f"{looks.label(row.primitive)} {row.mean:.2f}" for row in below.itertuples()]
            mean = f"geometric means, {looks.label(contrast.after)}:"
            texts = [
                f"speedup over {looks.label(contrast.before)} code",
                *([mean, *texts] if texts else []),
            ]
            axis.set_xlabel("\n".join(texts), fontsize=6.2, linespacing=1.15)
    return figure, looks.legend(rows, "primitive", "tuning", "compression", "format", "status")


def _panel(
    axis: Axes,
    looks: Looks,
    rows: pd.DataFrame,
    heights: Mapping[tuple[str, str], float],
    primitives: Sequence[str],
) -> None:
    """Draw the speedups of a contrast on a platform, with the ways of a primitive apart."""
    ways = looks.ordered("tuning", rows["tuning"])
    offsets = panels.spread([(primitive, way) for primitive in primitives for way in ways])
    for place, height in heights.items():
        own = rows[panels.at(rows, *place)]
        if own.empty:
            marks.absent(axis, height, "not searched")
        places = [height + offsets[row.primitive, row.tuning] for row in own.itertuples()]
        marks.configurations(axis, looks, own, places, SPEEDUP)
