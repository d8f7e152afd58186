"""float16 and int8 pay off only where the hardware supports them natively.

The speedup of a technique on a network is its latency without the technique over that with it, in
the same primitive, dense and untuned. A platform supports a type natively where its kernels
multiply in it, the column `native` of study.csv. Elsewhere they widen numbers first, float16 to
float32 and int8 to int32. GPUs whose kernels widen are left out: their hardware may be able to do
without.

A technique pays off on a platform if it does with one of the primitives. Not every primitive can
use the hardware: direct has no neighbouring channels for a dot product. The intervals are those of
the measurements and hold for the networks of the study. See RULE.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dlas.analysis import judging, marks, panels
from dlas.analysis.columns import PLACE, SPEEDUP, STORED
from dlas.analysis.effects import effects, of_networks
from dlas.analysis.observation import (
    Observation,
    Tables,
    distinct,
    distinct_names,
    floor_of,
    needs,
    paired,
    timed,
    untuned,
)
from dlas.analysis.style import GREY, Looks, widened_handle
from dlas.plugins import ObservationPlugin
from dlas.status import OK, WIDENED

PLUGIN = ObservationPlugin(
    label="float16 and int8 pay off only where the hardware supports them natively",
    order=11,
    origin="formulated",
    layer="6 Hardware",
)

TECHNIQUES = ("float16", "int8")
THRESHOLD = 1.1
RULE_VERSION = 2
RULE = f"""
Speedup: latency uncompressed over latency in float16 or int8, of a network in the same primitive,
dense, untuned, in paired samples. Native: the platform's kernels multiply in the type itself and do
not widen it. For each technique, platform and primitive: geometric mean over the networks, with the
interval of the measurements at a family-wise 95 %. Threshold: {THRESHOLD}x, or the largest A/A
noise floor if that is more. It pays off if the interval lies above the threshold, and does not if
it lies below {THRESHOLD}x, and so does the noise floor. Judged are techniques that were measured
both on native platforms and on others. Supported: each pays off with some primitive on every native
platform, and with none on the others. Contradicted: one pays off with some primitive on a platform
where it is not native, or with none where it is. Inconclusive otherwise. For other networks: the
same with the t interval over the networks.
"""
READING = """
A panel is a platform, a row a network in float16 or int8, a shape a primitive. A mark is the
uncompressed latency over that in the type, with its 95 % interval, on a logarithmic axis: right of
the line at 1 the type is faster. Filled marks are native, pale ones are not: it supports the claim
where the filled ones lie clearly to the right of the line and the pale ones do not. Below a panel
are the geometric means that are judged, each with its outcome.
"""
DATA = """
results/study.csv: the measured dense untuned rows in float16 and int8, and the uncompressed rows of
the same model, primitive and platform. results/noise_floor.csv: the largest noise floor of each
platform and data set.
"""
STATISTIC = "geometric mean speedup where the type is native, with the primitive that gains most"
WHERE = {True: "native", False: "not native"}
MEANS = ["compression", "native", "platform", "primitive"]
OTHERS_INTERVAL = ["others_low", "others_high"]


def speedups(tables: Tables) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the speedup of each network in float16 and int8.

    Returns
    -------
    table : DataFrame
        The rows of TECHNIQUES, with `native`, `floor` and SPEEDUP.
    series : np.ndarray
        float64 [rows, rounds]: the logarithm of the speedup in each round.
    """
    rows = untuned(distinct(timed(tables)))
    rows = rows[(rows["format"] == "dense") & rows["native"].notna()]
    rows = rows.assign(native=rows["native"].astype(bool))
    same = [*PLACE, "primitive"]
    baseline = rows.loc[rows["compression"] == "none", [*same, "row"]]
    both = rows[rows["compression"].isin(TECHNIQUES)].merge(
        baseline, on=same, suffixes=("", "_baseline")
    )
    both = both.assign(floor=floor_of(both, tables.noise_floor))
    series = tables.rounds.ratios(both["row_baseline"], both["row"])
    return paired(both, series), series


def observe(tables: Tables) -> Observation:
    """Return the verdict under RULE.

    Returns
    -------
    Observation
        The evidence has one row for each technique, platform and primitive: MEANS, SPEEDUP,
        OTHERS_INTERVAL, floor, networks and outcome, which is "pays off", "does not" or "unclear".
    """
    rows, series = speedups(tables)
    return _verdict(_means(rows, series)).showing(
        speedups=rows[[*STORED, "primitive", "native", *SPEEDUP]],
        platform=distinct_names(tables.study, "platform"),
    )


def _verdict(evidence: pd.DataFrame) -> Observation:
    if evidence.empty:
        return needs(
            "float16 or int8 measured on a platform with native arithmetic and on one without",
            STATISTIC,
        )
    texts = [
        f"{technique} " + ", ".join(_text(rows, native) for native in WHERE)
        for technique, rows in evidence.groupby("compression")
    ]
    top = _most(evidence, native=True)
    others = _judged(evidence.assign(outcome=_outcomes(evidence, *OTHERS_INTERVAL)))
    return Observation(
        _judged(evidence),
        "mean speedup with the primitive that gains most: " + "; ".join(texts),
        STATISTIC,
        top["speedup"],
        top["low"],
        top["high"],
        n=int(top["networks"]),
        others=judging.for_others(others, *top[OTHERS_INTERVAL]),
        evidence=evidence,
    )


def _judged(evidence: pd.DataFrame) -> judging.Verdict:
    """Return the verdict from the outcome of each technique, platform and primitive."""
    primitives = evidence.groupby(MEANS[:-1])["outcome"]
    pays = primitives.agg(lambda outcomes: (outcomes == "pays off").any())
    fails = primitives.agg(lambda outcomes: (outcomes == "does not").all())
    native = pays.index.get_level_values("native")
    if np.where(native, pays, fails).all():
        return "supported"
    return "contradicted" if np.where(native, fails, pays).any() else "inconclusive"


def _outcomes(means: pd.DataFrame, low: str, high: str) -> np.ndarray:
    beyond = [
        means[low] > means["floor"].clip(lower=THRESHOLD),
        judging.short(means[high], THRESHOLD, means["floor"]),
    ]
    return np.select(beyond, ["pays off", "does not"], "unclear")


def _means(rows: pd.DataFrame, series: np.ndarray) -> pd.DataFrame:
    """Return the evidence, of the techniques that are native on some platforms and not on others.

    There is no mean without a noise floor.
    """
    known = rows.assign(at=np.arange(len(rows)))[np.isfinite(rows["floor"])]
    kinds = known.groupby("compression")["native"].nunique()
    known = known[known["compression"].isin(kinds.index[kinds == len(WHERE)])]
    found, networks = [], []
    for name, own in known.groupby(MEANS):
        networks.append(effects(series[own["at"]]))
        found.append((*name, own["floor"].max(), len(own)))
    table = pd.DataFrame(found, columns=[*MEANS, "floor", "networks"])
    if table.empty:
        return table
    speedup, others = of_networks(networks)
    table = table.assign(
        **dict(zip([*SPEEDUP, *OTHERS_INTERVAL], [*speedup, *others[1:]], strict=True))
    )
    return table.assign(outcome=_outcomes(table, "low", "high"))


def _most(means: pd.DataFrame, native: bool) -> pd.Series:
    rows = means[means["native"] == native]
    return rows.loc[rows["speedup"].idxmax()]


def _text(means: pd.DataFrame, native: bool) -> str:
    """Return a technique's largest mean speedup in words."""
    top = _most(means, native)
    return (
        f"{top['speedup']:.2f} [{top['low']:.2f}, {top['high']:.2f}] where {WHERE[native]} "
        f"(`{top['primitive']}` on `{top['platform']}`, noise floor {top['floor']:.2f})"
    )


def draw(observation: Observation, looks: Looks) -> tuple[Figure, list[Line2D]]:
    """Return the figure of the speedup of each network by platform; marks are pale if not native.

    Below a panel are the geometric means that are judged, or a note that a technique is not judged.
    """
    rows = observation.shown["speedups"]
    platforms = looks.ordered("platform", observation.names("platform"))
    if rows.empty:
        return panels.empty(looks, platforms, "no network was measured in float16 or int8")
    primitives = looks.ordered("primitive", rows["primitive"])
    techniques = looks.ordered("compression", rows["compression"])
    figure, axes, heights = panels.network_rows(
        looks, platforms, rows, 0.24, below=0.1 * len(techniques) * (1 + len(primitives))
    )
    drawn = rows.assign(status=rows["native"].map({True: OK, False: WIDENED}))
    for axis, platform in zip(axes[0], platforms, strict=True):
        here = drawn[drawn["platform"] == platform]
        for place, height in heights.items():
            own = here[panels.at(here, *place)]
            if own.empty:
                marks.absent(axis, height)
            for primitive, offset in panels.spread(primitives).items():
                one = own[own["primitive"] == primitive]
                marks.intervals(
                    axis,
                    one,
                    [height + offset] * len(one),
                    SPEEDUP,
                    color=looks.colour(place[1]),
                    marker=looks.marker(primitive),
                )
        panels.log_axis(axis.xaxis, min(rows["low"].min(), 0.9), max(rows["high"].max(), 1.1))
        axis.axvline(1, color=GREY, linewidth=0.8)
        texts = ["speedup"]
        for technique in techniques:
            texts += _below(here[here["compression"] == technique], technique, observation, looks)
        axis.set_xlabel("\n".join(texts), fontsize=6.2, linespacing=1.15)
    legend = looks.handles("primitive", primitives) + looks.handles("compression", techniques)
    return figure, legend + [widened_handle("not native")] * (not rows["native"].all())


def _below(rows: pd.DataFrame, technique: str, observation: Observation, looks: Looks) -> list[str]:
    """Return the lines below a panel on its rows of a technique."""
    if rows.empty:
        return []
    title = f"{looks.label(technique)}, {WHERE[bool(rows['native'].any())]}"
    means = observation.evidence
    if len(means):
        own = (means["compression"] == technique) & (means["platform"] == rows["platform"].iloc[0])
        means = looks.sort(means[own], ["primitive"])
    if means.empty:
        return [f"{title}: not judged"]
    return [
        f"{title}:",
        *(
            f"{looks.label(row.primitive)} {row.speedup:.2f} [{row.low:.2f}, {row.high:.2f}]: "
            f"{row.outcome}"
            for row in means.itertuples()
        ),
    ]
