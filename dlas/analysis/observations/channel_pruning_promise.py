"""Channel pruning comes closer to the speedup its MACs promise than weight pruning.

A pruned network promises the ratio of the uncompressed network's MACs to its remaining ones: all
MACs of a network with fewer channels, those of non-zero weights after weight pruning. The reached
share of it is compared between the two techniques, with the same primitive on the same platform, in
paired samples: the uncompressed network's latency drops out.

A weight-pruned network counts in the faster of its two formats. The claim is on the techniques and
not on a format, and zeros that CSR cannot use do not have to be run in CSR. Primitives and
platforms of one network are averaged, because they are no independent witnesses. Auto-tuned code
has no part in it, as only some configurations have it. See RULE.
"""

from itertools import product

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dlas.analysis import judging, marks, panels
from dlas.analysis.columns import MODEL, PLACE
from dlas.analysis.effects import by_group, of_networks
from dlas.analysis.observation import (
    Observation,
    Tables,
    distinct,
    distinct_names,
    fastest,
    floor_of,
    macs_done,
    needs,
    paired,
    timed,
    unreached,
    untuned,
)
from dlas.analysis.statistics import Interval
from dlas.analysis.style import GREY, Looks, no_level_handle
from dlas.plugins import ObservationPlugin

PLUGIN = ObservationPlugin(
    label="channel pruning comes closer to the speedup its MACs promise than weight pruning",
    order=9,
    origin="formulated",
    layer="3 Model optimizations",
)

THRESHOLD = 1.05
RULE_VERSION = 2
RULE = f"""
Share: the speedup over the uncompressed network, same primitive and platform, untuned, over the
promised one: the uncompressed network's MACs over those left, of weight pruning those of non-zero
weights. A share above 1 counts as 1: to exceed a promise is not to come closer. A weight-pruned
network counts in its faster format, dense or CSR. Ratio: share of channel pruning over that of
weight pruning, in paired samples, its geometric mean over the primitives and platforms of each
network, and of these over the networks, with the 95 % interval of the measurements. Threshold:
{THRESHOLD}x, or the largest A/A noise floor if that is more. Supported: the interval lies above the
threshold. Contradicted: it lies below {THRESHOLD}x, and so does the noise floor. Inconclusive
otherwise. For other networks: the same with the t interval over the networks.
"""
READING = """
A panel is a platform, a row a network, a colour a technique, a shape a primitive. A mark is the
share of the speedup promised by the MACs that is reached, with its 95 % interval, on a logarithmic
axis; at the line the promise is kept. It supports the claim where the marks of channel pruning lie
clearly to the right of those of weight pruning. Black edges are weight-pruned networks that are
faster in CSR; a cross at the edge says that no level of the technique kept the accuracy.
"""
DATA = """
results/study.csv: the measured untuned rows of weight and channel pruning, a weight-pruned network
in the faster of its formats, and the uncompressed rows of the same model, primitive and platform.
results/noise_floor.csv: the largest noise floor of each platform and data set.
"""
STATISTIC = (
    "geometric mean ratio of the shares of the promised speedup that channel and weight pruning "
    "reach"
)
TECHNIQUES = ("channel_pruning", "weight_pruning")
SAME = [*PLACE, "primitive"]
LIMITS = ["share", "low", "high"]


def shares(tables: Tables) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the share of the promised speedup that each pruned network reaches.

    Returns
    -------
    table : DataFrame
        One row for each pruned network, primitive and platform: SAME, compression, format, row and
        LIMITS, the share with its 95 % interval.
    series : np.ndarray
        float64 [rows, rounds]: the logarithm of the share in each round.
    """
    rows = untuned(distinct(timed(tables)))
    uncompressed = rows.loc[rows["compression"] == "none", [*SAME, "macs", "row"]]
    pruned = rows[rows["compression"].isin(TECHNIQUES)]
    # Only CSR saves the work of zeros; removed channels are no work in any format.
    least = pruned[(pruned["compression"] == "channel_pruning") | (pruned["format"] == "csr")]
    least = least.assign(left=macs_done(least))[[*SAME, "compression", "left"]]
    both = (
        fastest(pruned, [*SAME, "compression"])
        .merge(least, on=[*SAME, "compression"])
        .merge(uncompressed, on=SAME, suffixes=("", "_uncompressed"))
    )
    promised = (both["macs_uncompressed"] / both["left"]).to_numpy(float)
    series = tables.rounds.ratios(both["row_uncompressed"], both["row"]) - np.log(promised)[:, None]
    return paired(both[[*SAME, "compression", "format", "row"]], series, LIMITS), series


def observe(tables: Tables) -> Observation:
    """Return the verdict under RULE.

    Returns
    -------
    Observation
        The evidence has one row for each network, with its mean share by technique.
    """
    study = untuned(tables.study)
    (found, series), missing = shares(tables), unreached(study)
    return _verdict(found, series, tables).showing(
        shares=found.drop(columns="row"),
        no_level=missing[[*SAME, "compression"]].drop_duplicates(),
        platform=distinct_names(study, "platform"),
    )


def _verdict(found: pd.DataFrame, series: np.ndarray, tables: Tables) -> Observation:
    at = found.assign(at=np.arange(len(found))).pivot(
        index=SAME, columns="compression", values="at"
    )
    both = at.reindex(columns=list(TECHNIQUES)).dropna().astype(int).reset_index()
    both["floor"] = floor_of(both, tables.noise_floor)
    both = both[np.isfinite(both["floor"])]
    if both.empty:
        return needs(
            "a network, uncompressed, channel-pruned and weight-pruned in CSR, with the same "
            "primitive",
            STATISTIC,
        )
    channel, weight = (np.minimum(series[both[name].to_numpy(int)], 0) for name in TECHNIQUES)
    jobs = tables.rounds.job[found["row"].to_numpy(int)[both[TECHNIQUES[0]].to_numpy(int)]]
    names = list(both[MODEL].itertuples(index=False, name=None))
    networks, ratios = by_group(channel - weight, jobs, names)
    means = {
        name: np.exp(by_group(one, jobs, names)[1].log)
        for name, one in zip(TECHNIQUES, (channel, weight), strict=True)
    }
    evidence = pd.DataFrame(networks, columns=MODEL).assign(**means)
    ratio, others = (
        Interval(*(float(limit[0]) for limit in each)) for each in of_networks([ratios])
    )
    floor = both["floor"].max()
    first, second = (np.exp(np.log(values).mean()) for values in means.values())
    reason = (
        f"channel pruning reaches {first:.2f} of the speedup its MACs promise and weight pruning "
        f"{second:.2f}, {ratio.estimate:.2f} times as much [{ratio.low:.2f}, {ratio.high:.2f}]; "
        f"more on {(ratios.log > 0).sum()} and less on {(ratios.log < 0).sum()} of {len(evidence)} "
        f"networks; noise floor {floor:.2f}"
    )
    return Observation(
        judging.any_beyond(ratio.low, ratio.high, THRESHOLD, floor),
        reason,
        STATISTIC,
        *ratio,
        n=len(evidence),
        others=judging.for_others(
            judging.any_beyond(others.low, others.high, THRESHOLD, floor), others.low, others.high
        ),
        evidence=evidence,
    )


def draw(observation: Observation, looks: Looks) -> tuple[Figure, list[Line2D]]:
    """Return the figure of the share of its promised speedup that each network reaches."""
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
        panels.technique_marks(axis, looks, found, platform, heights, offsets, LIMITS)
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
