"""At equal accuracy structured sparsity is faster than unstructured.

Weight pruning is unstructured: any weight can become zero, and more of them can go. In structured
techniques zeros lie together, and kernels use whole vectors. Each network is at the level that was
chosen for it, the strongest one that keeps the accuracy. It is in its fastest format, sparse or
dense, with the same primitive on the same platform. The comparison thus has both sides of the
trade: the number of weights that go, and the worth of their absence.

Two structured techniques are shipped. Block sparsity decides the claim, as a format of the study
stores its blocks. N:M sparsity, made for instructions of GPUs, is reported beside it. See RULE.
"""

from itertools import product

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dlas.analysis import judging, marks, panels
from dlas.analysis.columns import MODEL, PLACE
from dlas.analysis.effects import Effect, by_group, of_networks
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
from dlas.analysis.statistics import Interval
from dlas.analysis.style import GREY, Looks, no_level_handle
from dlas.plugins import ObservationPlugin

PLUGIN = ObservationPlugin(
    label="at equal accuracy structured sparsity is faster than unstructured",
    order=15,
    origin="formulated",
    layer="Beyond the paper",
)

THRESHOLD = 1.1
RULE_VERSION = 1
RULE = f"""
Compared are networks of equal accuracy: each technique at the level chosen for it, the strongest
one within the tolerance on the validation split, in its fastest format, dense or sparse, untuned.
Ratio: latency after weight pruning over latency after a structured technique, same network,
primitive and platform, in paired samples; its geometric mean over the primitives and platforms of
each network, and of these over the networks, with the 95 % interval of the measurements. The claim
is judged on block sparsity, or on N:M sparsity where block sparsity was not measured; the other one
is reported. Threshold: {THRESHOLD}x, or the largest A/A noise floor if that is more. Supported: the
interval lies above the threshold. Contradicted: it lies below {THRESHOLD}x, and so does the noise
floor. Inconclusive otherwise. For other networks: the same with the t interval over the networks.
"""
READING = """
A panel is a platform, a row a network, a colour a structured technique, a shape a primitive. A mark
is the latency after weight pruning over that after the structured technique, each at its chosen
level in its fastest format, with its 95 % interval, on a logarithmic axis: right of the line at 1
structured sparsity is faster. The colour of an edge is the sparse format that is fastest after the
structured technique; without an edge that is dense. A cross at the edge says that no level of the
technique kept the accuracy.
"""
DATA = """
results/study.csv: of each technique that makes weights zero the fastest of the measured untuned
rows of each network, primitive and platform. results/noise_floor.csv: the largest noise floor of
each platform and data set.
"""
STATISTIC = "geometric mean ratio of the latencies after unstructured and structured pruning"
UNSTRUCTURED = "weight_pruning"
# The first one that was measured is judged.
STRUCTURED = ("block_sparsity", "n_m_sparsity")
SAME = [*PLACE, "primitive"]
LIMITS = ["ratio", "low", "high"]
SHOWN = [*SAME, "compression", "format", *LIMITS]


def ratios(tables: Tables) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the latency after weight pruning over that after each structured technique.

    Returns
    -------
    table : DataFrame
        One row for each structured network, primitive and platform: SHOWN, row and floor.
    series : np.ndarray
        float64 [rows, rounds]: the logarithm of the ratio in each round.
    """
    rows = untuned(distinct(timed(tables)))
    best = fastest(rows, [*SAME, "compression"])
    unstructured = best.loc[best["compression"] == UNSTRUCTURED, [*SAME, "row"]]
    found = best[best["compression"].isin(STRUCTURED)].merge(
        unstructured, on=SAME, suffixes=("", "_unstructured")
    )
    found = found.sort_values([*SAME, "compression"], ignore_index=True)
    found = found.assign(floor=floor_of(found, tables.noise_floor))
    series = tables.rounds.ratios(found["row_unstructured"], found["row"])
    return paired(found, series, LIMITS)[[*SHOWN, "row", "floor"]], series


def observe(tables: Tables) -> Observation:
    """Return the verdict under RULE.

    Returns
    -------
    Observation
        The evidence has one row for each structured network, with its mean ratio.
    """
    study = untuned(tables.study)
    found, series = ratios(tables)
    missing = unreached(study)
    missing = missing[missing["compression"].isin([UNSTRUCTURED, *STRUCTURED])]
    return _verdict(found, series, tables).showing(
        ratios=found[SHOWN],
        no_level=missing[[*PLACE, "compression"]].drop_duplicates(),
        platform=distinct_names(study, "platform"),
    )


def _verdict(found: pd.DataFrame, series: np.ndarray, tables: Tables) -> Observation:
    known = np.isfinite(found["floor"].to_numpy(float))
    means = {
        name: _of_networks(found[own], series[own], tables)
        for name in STRUCTURED
        for own in [known & (found["compression"] == name).to_numpy(bool)]
        if own.any()
    }
    if not means:
        return needs(
            "a network after weight pruning and after structured pruning, with the same primitive",
            STATISTIC,
        )
    judged = next(iter(means))
    limits = {name: of_networks([effect]) for name, (_, effect) in means.items()}
    ratio, others = (Interval(*(float(one[0]) for one in each)) for each in limits[judged])
    floor = float(found.loc[known, "floor"].max())
    evidence = pd.concat(
        [
            pd.DataFrame(networks, columns=MODEL).assign(compression=name, ratio=np.exp(mean.log))
            for name, (networks, mean) in means.items()
        ],
        ignore_index=True,
    )
    texts = [
        f"`{name}` {grid.estimate[0]:.2f} [{grid.low[0]:.2f}, {grid.high[0]:.2f}], faster on "
        f"{int((means[name][1].log > 0).sum())} of {len(means[name][0])} networks"
        for name, (grid, _) in limits.items()
    ]
    return Observation(
        judging.any_beyond(ratio.low, ratio.high, THRESHOLD, floor),
        f"latency after `{UNSTRUCTURED}` over that after {'; beside it '.join(texts)}; noise floor "
        f"{floor:.2f}",
        STATISTIC,
        *ratio,
        n=len(means[judged][0]),
        others=judging.for_others(
            judging.any_beyond(others.low, others.high, THRESHOLD, floor), others.low, others.high
        ),
        evidence=evidence,
    )


def _of_networks(
    rows: pd.DataFrame, series: np.ndarray, tables: Tables
) -> tuple[list[tuple[str, ...]], Effect]:
    """Return the networks of rows and the mean ratio of each."""
    jobs = tables.rounds.job[rows["row"].to_numpy(int)]
    return by_group(series, jobs, list(rows[MODEL].itertuples(index=False, name=None)))


def draw(observation: Observation, looks: Looks) -> tuple[Figure, list[Line2D]]:
    """Return the figure of the latency after weight pruning over that of structured networks."""
    found, missing = observation.shown["ratios"], observation.shown["no_level"]
    platforms = looks.ordered("platform", observation.names("platform"))
    if found.empty:
        text = "no network was measured after weight pruning and after structured pruning"
        return panels.empty(looks, platforms, text)
    kinds = ("compression", "primitive")
    offsets = panels.spread(list(product(*(looks.ordered(kind, found[kind]) for kind in kinds))))
    figure, axes, heights = panels.model_rows(
        looks, platforms, found, 0.4, height=0.5, width=panels.PAGE_INCHES
    )
    shown = missing.merge(found[MODEL].drop_duplicates(), on=MODEL)
    techniques = looks.ordered("compression", [UNSTRUCTURED, *STRUCTURED])
    for axis, platform in zip(axes[0], platforms, strict=True):
        none = shown[shown["platform"] == platform]
        panels.technique_marks(axis, looks, found, platform, heights, offsets, LIMITS)
        for row in none.itertuples():
            offset = panels.spread(techniques)[row.compression]
            height = heights[row.dataset, row.model] + offset
            marks.no_level(axis, height, looks.colour(row.compression))
        panels.log_axis(axis.xaxis, min(found["low"].min(), 0.9), max(found["high"].max(), 1.1))
        axis.axvline(1, color=GREY, linewidth=0.8)
        axis.set_xlabel("latency, weight pruning / structured")
    legend = looks.legend(found, *kinds, "format")
    if UNSTRUCTURED in set(shown["compression"]):
        legend += looks.handles("compression", [UNSTRUCTURED])
    return figure, legend + [no_level_handle()] * bool(len(shown))
