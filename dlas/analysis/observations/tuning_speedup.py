"""The speedup from auto-scheduling differs strongly between primitives, models and platforms.

The speedup of a configuration is its untuned latency over its auto-scheduled one. For every two primitives (models,
platforms) the speedups of configurations that are alike in all else are divided, so that it does not matter which
configurations were auto-scheduled, and the ratios' geometric mean is taken. Its interval comes from those of the
latencies: it holds for the configurations of the study and the schedules that the search found for them, not for what
another search would find; what chance in a search could add is why only a factor of STRONG counts. All pairs are
compared at a family-wise level, so that the interval of the largest ratio, which is picked afterwards, holds too. See
RULE.
"""

from itertools import combinations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy import stats

from dlas.analysis import marks, panels, statistics
from dlas.analysis.columns import SCHEDULED, SPEEDUP
from dlas.analysis.observation import (
    Observation,
    Tables,
    Verdict,
    distinct_names,
    floors,
    log_errors,
    needs,
    retimed,
    speedup_over,
)
from dlas.analysis.style import GREY, Looks
from dlas.plugins import ObservationPlugin

PLUGIN = ObservationPlugin(
    label="the speedup from auto-scheduling differs strongly between primitives, models and platforms",
    order=5,
    origin="abstract",
    layer="5 Systems software",
)

STRONG = 1.5
RULE = f"""
Speedup: untuned latency over auto-scheduled latency of a configuration. For each two primitives, models and platforms:
geometric mean of the ratio of the speedups over the configurations that differ in nothing else, with an interval from
those of the latencies at a family-wise 95 % over all pairs. Threshold: {STRONG}x, or the product of the two A/A noise
floors if that is larger. A pair differs strongly if its interval lies beyond the threshold. Supported: of each of
primitives, models and platforms of which two could be compared, some pair differs strongly. Contradicted: all intervals
lie within their thresholds. Inconclusive otherwise, and where two could be compared of one of the three only.
"""
READING = """
A panel is a platform, a row a network with its compression and format, a shape a primitive. A mark is the untuned
latency over the auto-scheduled one with its 95 % interval, on a logarithmic axis: right of the line at 1
auto-scheduling gains. It supports the claim where shapes, rows or panels lie far from one another, not where all lie
far from 1. Black edges are weights in CSR, pale marks widened arithmetic; below a panel are the geometric means of
its primitives.
"""
DATA = """
results/study.csv: configurations that were measured both untuned and auto-scheduled. results/noise_floor.csv: the
largest noise floor of each platform and data set.
"""
STATISTIC = "ratio of the speedups of two primitives, models or platforms, where it is largest"
FACTORS = {
    "primitives": ["primitive"],
    "models": ["model", "dataset"],
    "platforms": ["platform"],
}
COLUMNS = ["factor", "first", "second", "ratio", "low", "high", "threshold", "pairs"]


def speedups(study: pd.DataFrame) -> pd.DataFrame:
    """Return `retimed` with speedup, its limits low and high, and error, the standard error of its logarithm.

    The two latencies' intervals are taken as independent.
    """
    rows = retimed(study)
    rows = rows.join(speedup_over(rows, "", "_tuned"))
    return rows.assign(error=log_errors(rows, SPEEDUP))


def observe(tables: Tables) -> Observation:
    """Return the verdict under RULE; the evidence is one row for each two primitives, models or platforms."""
    rows = speedups(tables.study)
    return _verdict(rows, floors(tables.noise_floor)).showing(
        speedups=rows[[*SCHEDULED, *SPEEDUP, "status"]],
        means=_means(rows),
        platform=distinct_names(tables.study, "platform"),
    )


def _means(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the geometric mean speedup of each primitive on each platform."""
    logarithms = rows.assign(mean=np.log(rows["speedup"].astype(float)))
    means = logarithms.groupby(["platform", "primitive"], as_index=False)["mean"].mean()
    return means.assign(mean=np.exp(means["mean"]))


def _verdict(rows: pd.DataFrame, floor: dict[tuple[str, str], float]) -> Observation:
    evidence = _comparisons(rows, floor)
    if evidence["factor"].nunique() < 2:
        return needs(
            "auto-scheduled configurations that differ in one of primitive, model and platform alone, for two of the "
            "three",
            STATISTIC,
        )
    beyond = evidence["low"] > evidence["threshold"]
    verdict: Verdict = "inconclusive"
    if beyond.groupby(evidence["factor"]).any().all():
        verdict = "supported"
    elif (evidence["high"] < evidence["threshold"]).all():
        verdict = "contradicted"
    texts = [_text(evidence[evidence["factor"] == factor], factor) for factor in FACTORS]
    top = evidence.loc[evidence["ratio"].idxmax()]
    return Observation(
        verdict,
        "the largest ratio of the speedups of two " + "; ".join(texts),
        STATISTIC,
        top["ratio"],
        top["low"],
        top["high"],
        n=len(rows),
        evidence=evidence,
    )


def _comparisons(rows: pd.DataFrame, floor: dict[tuple[str, str], float]) -> pd.DataFrame:
    """Return COLUMNS for each two values of a factor that can be compared; the first has the larger speedup.

    Without a noise floor there is no comparison.
    """
    places = zip(rows["platform"], rows["dataset"], strict=True)
    rows = rows.assign(floor=[floor.get(place, np.nan) for place in places]).dropna(
        subset=["floor"]
    )
    found = []
    for factor, names in FACTORS.items():
        alike = [name for name in SCHEDULED if name not in names]
        members = [(", ".join(key), _values(group, alike)) for key, group in rows.groupby(names)]
        for (first, one), (second, other) in combinations(members, 2):
            both = np.array([(one[key], other[key]) for key in one if key in other])
            if len(both):
                speedup, error, noise = both.T  # each [two, pairs]
                logarithm = np.log(speedup[0] / speedup[1]).mean()
                ends = (first, second) if logarithm >= 0 else (second, first)
                spread = np.sqrt((np.hypot(*error) ** 2).sum()) / len(both)
                threshold = noise.max(axis=1).prod()
                found.append((factor, *ends, abs(logarithm), spread, threshold, len(both)))
    table = pd.DataFrame(
        found, columns=["factor", "first", "second", "log", "error", "noise", "pairs"]
    )
    table = table.astype({name: float for name in ("log", "error", "noise")})
    reach = table["error"] * stats.norm.isf(statistics.ERROR_RATE / 2 / max(1, len(table)))
    return table.assign(
        ratio=np.exp(table["log"]),
        low=np.exp(table["log"] - reach),
        high=np.exp(table["log"] + reach),
        threshold=table["noise"].clip(lower=STRONG),
    )[COLUMNS]


def _values(rows: pd.DataFrame, names: list[str]) -> dict[tuple[str, ...], np.ndarray]:
    """Return speedup, error and floor of each row, by these columns."""
    keys = zip(*(rows[name] for name in names), strict=True)
    return dict(zip(keys, rows[["speedup", "error", "floor"]].to_numpy(float), strict=True))


def _text(comparisons: pd.DataFrame, factor: str) -> str:
    """Return the largest difference between a factor's values in words."""
    if comparisons.empty:
        return f"{factor}: not compared"
    top = comparisons.loc[comparisons["ratio"].idxmax()]
    return (
        f"{factor}: {top['ratio']:.2f} [{top['low']:.2f}, {top['high']:.2f}], "
        f"{_names(top['first'])} over {_names(top['second'])}, threshold {top['threshold']:.2f}"
    )


def _names(value: str) -> str:
    """Return a value of a factor, which may be several names, with each in backquotes."""
    return ", ".join(f"`{name}`" for name in value.split(", "))


def draw(observation: Observation, looks: Looks) -> tuple[Figure, list[Line2D]]:
    """Return the speedup of each configuration by platform; below a panel are its primitives' geometric means."""
    rows, means = observation.shown["speedups"], observation.shown["means"]
    platforms = looks.ordered("platform", observation.names("platform"))
    if rows.empty:
        return panels.empty(looks, platforms, "no auto-scheduled configuration was measured")
    primitives = looks.ordered("primitive", rows["primitive"])
    figure, axes, heights = panels.network_rows(
        looks, platforms, rows, 0.24, below=0.1 * (1 + len(primitives))
    )
    for axis, platform in zip(axes[0], platforms, strict=True):
        here = rows[rows["platform"] == platform]
        for place, height in heights.items():
            own = here[panels.at(here, *place)]
            if own.empty:
                marks.absent(axis, height, "not auto-scheduled")
            for primitive, offset in panels.spread(primitives).items():
                one = own[own["primitive"] == primitive]
                for row in one.itertuples():
                    marks.intervals(
                        axis,
                        one.loc[[row.Index]],
                        [height + offset],
                        SPEEDUP,
                        color=looks.colour(row.compression),
                        marker=looks.marker(primitive),
                        **looks.edge(row.format),
                    )
        panels.log_axis(axis.xaxis, min(rows["low"].min(), 0.9), max(rows["high"].max(), 1.1))
        axis.axvline(1, color=GREY, linewidth=0.8)
        below = looks.sort(means[means["platform"] == platform], ["primitive"])
        texts = [f"{looks.label(row.primitive)} {row.mean:.2f}" for row in below.itertuples()]
        texts = ["speedup", *(["geometric means:", *texts] if texts else [])]
        axis.set_xlabel("\n".join(texts), fontsize=6.2, linespacing=1.15)
    return figure, looks.legend(rows, "primitive", "compression", "format", "status")
