"""Channel pruning comes closer to the speedup its MACs promise than weight pruning.

What a pruned network promises is the uncompressed network's MACs over those that are left: all of a network with fewer
channels, those of non-zero weights after weight pruning. How much of it is reached is compared between the two
techniques with the same primitive on the same platform, so that the uncompressed network's latency drops out. A
weight-pruned network counts in the faster of its two formats: zeros that CSR cannot use do not have to be run in CSR,
and the claim is on the techniques, not on a format. Of one network the primitives and platforms are averaged, because
they are no independent witnesses. Auto-scheduled code has no part in it: some configurations only have it. See RULE.
"""

from itertools import product

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dlas.analysis import marks, panels, statistics
from dlas.analysis.columns import LATENCY, MODEL, PLACE
from dlas.analysis.observation import (
    Observation,
    Tables,
    Verdict,
    distinct,
    distinct_names,
    fastest,
    floors,
    macs_done,
    measured,
    needs,
    speedup_over,
    unreached,
    untuned,
)
from dlas.analysis.style import GREY, Looks, no_level_handle
from dlas.plugins import ObservationPlugin

PLUGIN = ObservationPlugin(
    label="channel pruning comes closer to the speedup its MACs promise than weight pruning",
    order=9,
    origin="formulated",
    layer="3 Model optimizations",
)

RULE = """
Share: the speedup over the uncompressed network, same primitive and platform, untuned, over the promised one: the
uncompressed network's MACs over those left, of weight pruning those of non-zero weights. A share above 1 counts as 1:
to exceed a promise is not to come closer. A weight-pruned network counts in its faster format, dense or CSR. Ratio:
share of channel pruning over that of weight pruning, its geometric mean over the primitives and platforms of each
network, and of these over the networks, with a 95 % t interval. Supported: the interval lies above the A/A noise floor.
Contradicted: it lies below 1 by more than the noise floor. Inconclusive otherwise.
"""
READING = """
A panel is a platform, a row a network, a colour a technique, a shape a primitive. A mark is the share of the speedup
promised by the MACs that is reached, with its 95 % interval, on a logarithmic axis; at the line the promise is kept.
It supports the claim where the marks of channel pruning lie clearly to the right of those of weight pruning. Black
edges are weight-pruned networks that are faster in CSR; a cross at the edge says that no level of the technique kept
the accuracy.
"""
DATA = """
results/study.csv: the measured untuned rows of weight and channel pruning, a weight-pruned network in the faster of
its formats, and the uncompressed rows of the same model, primitive and platform. results/noise_floor.csv: the largest
noise floor of each platform and data set.
"""
STATISTIC = "geometric mean ratio of the shares of the promised speedup that channel and weight pruning reach"
TECHNIQUES = ("channel_pruning", "weight_pruning")
SAME = [*PLACE, "primitive"]
LIMITS = ["share", "low", "high"]


def shares(study: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each pruned network, primitive and platform: SAME, compression, format, share, low and high.

    `share` is what is reached of the promised speedup, with a 95 % interval from the latencies.
    """
    rows = untuned(distinct(measured(study)))
    uncompressed = rows.loc[rows["compression"] == "none", [*SAME, "macs", *LATENCY]]
    pruned = rows[rows["compression"].isin(TECHNIQUES)]
    # In CSR zeros are no work; channels that were cut out are none in any format.
    least = pruned[(pruned["compression"] == "channel_pruning") | (pruned["format"] == "csr")]
    least = least.assign(left=macs_done(least))[[*SAME, "compression", "left"]]
    both = (
        fastest(pruned, [*SAME, "compression"])
        .merge(least, on=[*SAME, "compression"])
        .merge(uncompressed, on=SAME, suffixes=("", "_uncompressed"))
    )
    reached, promised = (
        speedup_over(both, "_uncompressed"),
        both["macs_uncompressed"] / both["left"],
    )
    return both[[*SAME, "compression", "format"]].assign(
        share=reached["speedup"] / promised,
        low=reached["low"] / promised,
        high=reached["high"] / promised,
    )


def observe(tables: Tables) -> Observation:
    """Return the verdict under RULE; the evidence is one row for each network and its mean share by technique."""
    study = untuned(tables.study)
    found, missing = shares(study), unreached(study)
    return _verdict(found, floors(tables.noise_floor)).showing(
        shares=found,
        no_level=missing[[*SAME, "compression"]].drop_duplicates(),
        platform=distinct_names(study, "platform"),
    )


def _verdict(shares: pd.DataFrame, floor: dict[tuple[str, str], float]) -> Observation:
    found = shares.pivot(index=SAME, columns="compression", values="share")
    both = found.reindex(columns=list(TECHNIQUES)).dropna()
    evidence = np.exp(np.log(both.clip(upper=1)).groupby(level=MODEL).mean()).reset_index()
    if len(evidence) < 2:
        return needs(
            "two networks, uncompressed, channel-pruned and weight-pruned in CSR, with the same primitive",
            STATISTIC,
        )
    channel, weight = (evidence[technique] for technique in TECHNIQUES)
    ratio = statistics.geometric_mean_ratio(channel, weight)
    noise = max(floor.get((platform, dataset), np.inf) for platform, dataset, *_ in both.index)
    verdict: Verdict = "inconclusive"
    if ratio.low > noise:
        verdict = "supported"
    elif ratio.high < 1 / noise:
        verdict = "contradicted"
    means = [np.exp(np.log(values).mean()) for values in (channel, weight)]
    reason = (
        f"channel pruning reaches {means[0]:.2f} of the speedup its MACs promise and weight pruning {means[1]:.2f}, "
        f"{ratio.estimate:.2f} times as much [{ratio.low:.2f}, {ratio.high:.2f}]; more on {(channel > weight).sum()} "
        f"and less on {(channel < weight).sum()} of {len(evidence)} networks; noise floor {noise:.2f}"
    )
    return Observation(verdict, reason, STATISTIC, *ratio, n=len(evidence), evidence=evidence)


def draw(observation: Observation, looks: Looks) -> tuple[Figure, list[Line2D]]:
    """Return the share of its promised speedup that each pruned network reaches; 1 is the promise."""
    found, missing = observation.shown["shares"], observation.shown["no_level"]
    platforms = looks.ordered("platform", observation.names("platform"))
    if found.empty:
        text = "no pruned network was measured beside the uncompressed one"
        return panels.empty(looks, platforms, text)
    kinds = ("compression", "primitive")
    offsets = panels.spread(list(product(*(looks.ordered(kind, found[kind]) for kind in kinds))))
    figure, axes, heights = panels.model_rows(
        looks, platforms, found, 0.4, height=0.5, width=panels.PAGE_INCHES
    )
    no_level = missing.merge(found[MODEL].drop_duplicates(), on=MODEL)
    for axis, platform in zip(axes[0], platforms, strict=True):
        for (dataset, model), height in heights.items():
            here = found[panels.of(found, platform, dataset, model)]
            if here.empty:
                marks.absent(axis, height)
            for row in here.itertuples():
                marks.intervals(
                    axis,
                    here.loc[[row.Index]],
                    [height + offsets[row.compression, row.primitive]],
                    LIMITS,
                    color=looks.colour(row.compression),
                    marker=looks.marker(row.primitive),
                    **looks.edge(row.format),
                )
        for row in no_level[no_level["platform"] == platform].itertuples():
            offset = offsets.get((row.compression, row.primitive))
            if offset is not None:
                height = heights[row.dataset, row.model] + offset
                marks.no_level(axis, height, looks.colour(row.compression))
        panels.log_axis(axis.xaxis, min(found["low"].min(), 0.9), max(found["high"].max(), 1.1))
        axis.axvline(1, color=GREY, linewidth=0.8)
        axis.set_xlabel("reached / promised speedup")
    legend = looks.legend(found, *kinds, "format")
    return figure, legend + [no_level_handle()] * bool(len(no_level))
