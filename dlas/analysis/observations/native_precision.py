"""float16 and int8 pay off only where the hardware supports them natively.

The speedup of a technique on a network is its latency without the technique over that with it, in the same primitive,
dense and untuned. A platform supports a type natively where its kernels multiply in it, the column `native` of
study.csv. Elsewhere they widen numbers first, float16 to float32 and int8 to int32. GPUs whose kernels widen are left
out: their hardware may be able to do without.

Not every primitive can use what the hardware has (direct has no neighbouring channels for a dot product), so a
technique pays off on a platform if it does with one of them. The intervals come from those of the latencies and hold
for the networks of the study. See RULE.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

from dlas.analysis import figures, statistics
from dlas.analysis.observation import (
    LATENCY,
    SPEEDUP,
    Observation,
    Tables,
    Verdict,
    distinct,
    floors,
    log_errors,
    measured,
    needs,
    speedup_over,
    untuned,
)
from dlas.plugins import ObservationPlugin

PLUGIN = ObservationPlugin(
    label="float16 and int8 pay off only where the hardware supports them natively",
    order=11,
    origin="formulated",
    layer="6 Hardware",
)
CLAIM = PLUGIN.label

TECHNIQUES = ("float16", "int8")
WORTH = 1.1
RULE = f"""
Speedup: latency uncompressed over latency in float16 or int8, of a network in the same primitive, dense, untuned.
Native: the platform's kernels multiply in the type itself and do not widen it. For each technique, platform and
primitive: geometric mean over the networks, with an interval from those of the latencies at a family-wise 95 %. It pays
off if the interval lies above {WORTH}x, or above the A/A noise floor if that is larger; it does not if the interval
lies below {WORTH}x over the floor. Judged are techniques that were measured both on native platforms and on others.
Supported: each pays off with some primitive on every native platform, and with none on the others. Contradicted: one
pays off with some primitive on a platform where it is not native, or with none where it is. Inconclusive otherwise.
"""
READING = """
A panel is a platform, a row a network in float16 or int8, a shape a primitive. A mark is the uncompressed latency over
that in the type, with its 95 % interval, on a logarithmic axis: right of the line at 1 the type is faster. Filled
marks are native, pale ones are not: it supports the claim where the filled ones lie clearly to the right of the line
and the pale ones do not. Below a panel are the geometric means that are judged, each with its outcome.
"""
DATA = """
results/study.csv: the measured dense untuned rows in float16 and int8, and the uncompressed rows of the same model,
primitive and platform. results/noise_floor.csv: the largest noise floor of each platform and data set.
"""
STATISTIC = "geometric mean speedup where the type is native, with the primitive that gains most"
WHERE = {True: "native", False: "not native"}
MEANS = ["compression", "native", "platform", "primitive"]


def speedups(study: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of TECHNIQUES with native, speedup, its limits low and high, and error, that of its logarithm.

    The two latencies' intervals are taken as independent.
    """
    rows = untuned(distinct(measured(study)))
    rows = rows[(rows["format"] == "dense") & rows["native"].notna()]
    rows = rows.assign(native=rows["native"].astype(bool))
    same = ["platform", "dataset", "model", "primitive"]
    baseline = rows.loc[rows["compression"] == "none", [*same, *LATENCY]]
    both = rows[rows["compression"].isin(TECHNIQUES)].merge(
        baseline, on=same, suffixes=("", "_baseline")
    )
    both = both.join(speedup_over(both, "_baseline"))
    return both.assign(error=log_errors(both, SPEEDUP))


def observe(tables: Tables) -> Observation:
    """Return the verdict under RULE; the evidence is one row for each technique, platform and primitive.

    Its columns are MEANS, speedup, low, high, floor, networks and outcome: "pays off", "does not" or "unclear".
    """
    evidence = _means(speedups(tables.study), floors(tables.noise_floor))
    if evidence.empty:
        return needs(
            "float16 or int8 measured on a platform with native arithmetic and on one without",
            STATISTIC,
        )
    primitives = evidence.groupby(MEANS[:-1])["outcome"]
    pays = primitives.agg(lambda outcomes: (outcomes == "pays off").any())
    fails = primitives.agg(lambda outcomes: (outcomes == "does not").all())
    native = pays.index.get_level_values("native")
    verdict: Verdict = "inconclusive"
    if np.where(native, pays, fails).all():
        verdict = "supported"
    elif np.where(native, fails, pays).any():
        verdict = "contradicted"
    texts = [
        f"{technique} " + ", ".join(_text(rows, native) for native in WHERE)
        for technique, rows in evidence.groupby("compression")
    ]
    top = _most(evidence, native=True)
    return Observation(
        verdict,
        "mean speedup with the primitive that gains most: " + "; ".join(texts),
        STATISTIC,
        top["speedup"],
        top["low"],
        top["high"],
        n=int(top["networks"]),
        evidence=evidence,
    )


def _means(rows: pd.DataFrame, floor: dict[tuple[str, str], float]) -> pd.DataFrame:
    """Return the evidence, of the techniques that are native on some platforms and not on others.

    Without a noise floor there is no mean.
    """
    places = zip(rows["platform"], rows["dataset"], strict=True)
    rows = rows.assign(
        floor=[floor.get(place, np.nan) for place in places],
        logarithm=np.log(rows["speedup"]),
        variance=rows["error"] ** 2,
    ).dropna(subset=["floor"])
    kinds = rows.groupby("compression")["native"].nunique()
    rows = rows[rows["compression"].isin(kinds.index[kinds == len(WHERE)])]
    means = rows.groupby(MEANS, as_index=False).agg(
        logarithm=("logarithm", "mean"),
        variance=("variance", "sum"),
        floor=("floor", "max"),
        networks=("model", "size"),
    )
    reach = stats.norm.isf(statistics.ERROR_RATE / 2 / max(1, len(means)))
    reach *= np.sqrt(means["variance"]) / means["networks"]
    means = means.assign(
        speedup=np.exp(means["logarithm"]),
        low=np.exp(means["logarithm"] - reach),
        high=np.exp(means["logarithm"] + reach),
    )
    pays = means["low"] > means["floor"].clip(lower=WORTH)
    fails = means["high"] < WORTH / means["floor"]
    means["outcome"] = np.select([pays, fails], ["pays off", "does not"], "unclear")
    return means.drop(columns=["logarithm", "variance"])


def _most(means: pd.DataFrame, native: bool) -> pd.Series:
    rows = means[means["native"] == native]
    return rows.loc[rows["speedup"].idxmax()]


def _text(means: pd.DataFrame, native: bool) -> str:
    """Return a technique's largest mean speedup in words."""
    top = _most(means, native)
    return (
        f"{top['speedup']:.2f} [{top['low']:.2f}, {top['high']:.2f}] where {WHERE[native]} "
        f"({figures.label(top['primitive'])} on {figures.label(top['platform'])}, noise floor {top['floor']:.2f})"
    )


@figures.style()
def draw(tables: Tables, observation: Observation) -> Figure:
    """Return the speedup of each network by platform; pale marks where the type is not native there.

    Below a panel are the geometric means that are judged, or, where a technique is not, that it is not.
    """
    rows = speedups(tables.study)
    platforms = figures.ordered(tables.study["platform"], figures.NAMES)
    if rows.empty:
        figure, axes = figures.columns(platforms, height=1.2)
        for axis in axes[0]:
            figures.note(axis, "no network was measured in float16 or int8")
        return figures.finish(figure, CLAIM, observation, RULE)
    primitives = figures.ordered(rows["primitive"], figures.MARKERS)
    techniques = figures.ordered(rows["compression"], TECHNIQUES)
    figure, axes, heights = figures.network_rows(
        platforms, rows, 0.24, below=0.1 * len(techniques) * (1 + len(primitives))
    )
    drawn = rows.assign(status=rows["native"].map({True: "ok", False: "emulated"}))
    for axis, platform in zip(axes[0], platforms, strict=True):
        here = drawn[drawn["platform"] == platform]
        for place, height in heights.items():
            own = here[figures.at(here, *place)]
            if own.empty:
                figures.absent(axis, height)
            for primitive, offset in figures.spread(primitives).items():
                figures.intervals(
                    axis,
                    own[own["primitive"] == primitive],
                    [height + offset] * (own["primitive"] == primitive).sum(),
                    ("speedup", "low", "high"),
                    color=figures.colour(place[1]),
                    marker=figures.marker(primitive),
                )
        figures.log_axis(axis.xaxis, min(rows["low"].min(), 0.9), max(rows["high"].max(), 1.1))
        axis.axvline(1, color=figures.GREY, linewidth=0.8)
        texts = ["speedup"]
        for technique in techniques:
            texts += _below(here[here["compression"] == technique], technique, observation)
        axis.set_xlabel("\n".join(texts), fontsize=6.2, linespacing=1.15)
    legend = figures.handles("primitive", primitives)
    legend += figures.handles("compression", techniques)
    if not rows["native"].all():
        legend.append(figures.emulated_handle("not native"))
    return figures.finish(figure, CLAIM, observation, RULE, legend)


def _below(rows: pd.DataFrame, technique: str, observation: Observation) -> list[str]:
    """Return the lines below a panel on its rows of a technique."""
    if rows.empty:
        return []
    kind = WHERE[bool((rows["status"] == "ok").any())]
    means = observation.evidence
    if len(means):
        own = (means["compression"] == technique) & (means["platform"] == rows["platform"].iloc[0])
        means = means[own]
    if means.empty:
        return [f"{technique}, {kind}: not judged"]
    return [
        f"{technique}, {kind}:",
        *(
            f"{figures.label(row.primitive)} {row.speedup:.2f} [{row.low:.2f}, {row.high:.2f}]: {row.outcome}"
            for row in means.itertuples()
        ),
    ]
