"""The speedups of two compression techniques multiply.

A pair is a pipeline of two steps, such as pruning and then int8. If its steps do not disturb each
other, its speedup is the product of the speedups of the two alone. The ratio of the two is 1 then,
and lower where the pair gains less. All four latencies are of one network, primitive and platform,
in paired samples. Each compression counts in its fastest format: a format that one step cannot use
does not hold the pair back.

The level of pruning is chosen again for a pair, and can differ from that of the step alone. Such a
pair does another amount of work than its steps; its ratio is drawn and not judged. See RULE.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dlas.analysis import judging, marks, panels
from dlas.analysis.columns import MODEL, PLACE
from dlas.analysis.effects import Effect, by_group, effects, of_networks
from dlas.analysis.judging import Verdict
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
from dlas.analysis.style import DARK, GREY, Looks, no_level_handle
from dlas.plugins import ObservationPlugin

PLUGIN = ObservationPlugin(
    label="the speedups of two compression techniques multiply",
    order=14,
    origin="formulated",
    layer="Beyond the paper",
)

THRESHOLD = 1.1
RULE_VERSION = 1
RULE = f"""
Pair: a pipeline of two steps. Speedup: latency of the uncompressed network over that of the
compressed one, each in its fastest format, same primitive and platform, untuned, in paired samples.
Ratio: the speedup of a pair over the product of those of its two steps alone. Pairs whose pruning
has another level than the step alone are drawn and left out. Its geometric mean over the pairs,
primitives and platforms of each network, and of these over the networks, with the 95 % interval of
the measurements. Shortfall: one over the ratio. Threshold: {THRESHOLD}x, or the square of the
largest A/A noise floor if that is more, as a ratio has two pairs of latencies. Supported: the
interval of the shortfall lies below {THRESHOLD}x, and so does the square of the noise floor: a pair
gains what its steps promise, or more. Contradicted: it lies above the threshold. Inconclusive
otherwise. For other networks: the same with the t interval over the networks.
"""
READING = """
A panel is a platform, a row a network with a pair of techniques, a shape a primitive. A mark is the
speedup of the pair over the product of the speedups of its steps alone, with its 95 % interval, on
a logarithmic axis: at the line at 1 they multiply, left of it the pair gains less; below a panel
are the geometric means by primitive. Open marks are pairs whose pruning has another level than the
step alone and are not judged; a cross at the edge says that no level of the pair kept the accuracy.
"""
DATA = """
results/study.csv: of each pipeline of two steps, of both steps alone and of the uncompressed
network the fastest of the measured untuned rows of each primitive and platform.
results/noise_floor.csv: the largest noise floor of each platform and data set.
"""
STATISTIC = "geometric mean ratio of a pair's speedup and the product of its steps' speedups"
SAME = [*PLACE, "primitive"]
LIMITS = ["ratio", "low", "high"]
GROUP = ["platform", "primitive"]
SHOWN = [*SAME, "compression", "same_level", *LIMITS]


def pairs(tables: Tables) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the ratio of each pair's speedup and the product of its steps' speedups.

    Returns
    -------
    table : DataFrame
        One row for each pair, network, platform and primitive: SHOWN, row and floor, the square of
        the noise floor. `same_level` says whether the pair's pruning has the level of the step
        alone.
    series : np.ndarray
        float64 [rows, rounds]: the logarithm of the ratio in each round.
    """
    rows = untuned(distinct(timed(tables))).astype({"level": float})
    best = fastest(rows, [*SAME, "compression"])[[*SAME, "compression", "level", "row"]]
    parts = [
        _beside_steps(best, pipeline, *tables.steps[pipeline]) for pipeline in _of_two_steps(tables)
    ]
    if not any(map(len, parts)):
        empty = pd.DataFrame(columns=[*SHOWN, "row", "floor"])
        return empty.astype({"same_level": bool, "floor": float}), np.zeros((0, 0))
    found = pd.concat(parts, ignore_index=True)
    found = found.sort_values([*SAME, "compression"], ignore_index=True)
    # A pair chooses again the level of its last step with a ladder.
    alone = found["level_second"].fillna(found["level_first"])
    found["same_level"] = (found["level"] == alone) | (found["level"].isna() & alone.isna())
    found["floor"] = floor_of(found, tables.noise_floor) ** 2
    series = tables.rounds.ratios(found["row_first"], found["row_none"])
    series += tables.rounds.ratios(found["row_second"], found["row"])
    return paired(found, series, LIMITS)[[*SHOWN, "row", "floor"]], series


def _of_two_steps(tables: Tables) -> list[str]:
    """Return the pipelines of two steps."""
    return sorted(name for name, steps in tables.steps.items() if len(steps) == 2)


def _beside_steps(best: pd.DataFrame, pipeline: str, first: str, second: str) -> pd.DataFrame:
    """Return the rows of a pipeline with the rows of each step alone and of no compression."""
    found = best[best["compression"] == pipeline]
    for place, name in {"first": first, "second": second, "none": "none"}.items():
        alone = best[best["compression"] == name].drop(columns="compression")
        found = found.merge(alone, on=SAME, suffixes=("", f"_{place}"))
    return found


def observe(tables: Tables) -> Observation:
    """Return the verdict under RULE.

    Returns
    -------
    Observation
        The evidence has one row for each network, with its mean ratio.
    """
    study = untuned(tables.study)
    found, series = pairs(tables)
    judged = (found["same_level"] & np.isfinite(found["floor"])).to_numpy(bool)
    missing = unreached(study)
    missing = missing[missing["compression"].isin(_of_two_steps(tables))]
    return _verdict(found[judged], series[judged], int((~judged).sum()), tables).showing(
        ratios=found[SHOWN],
        means=_means(found[judged], series[judged], tables),
        no_level=missing[[*PLACE, "compression"]].drop_duplicates(),
        platform=distinct_names(study, "platform"),
    )


def _of_networks(
    rows: pd.DataFrame, series: np.ndarray, tables: Tables
) -> tuple[list[tuple[str, ...]], Effect]:
    """Return the networks of rows and the mean ratio of each."""
    jobs = tables.rounds.job[rows["row"].to_numpy(int)]
    return by_group(series, jobs, list(rows[MODEL].itertuples(index=False, name=None)))


def _verdict(rows: pd.DataFrame, series: np.ndarray, left_out: int, tables: Tables) -> Observation:
    if rows.empty:
        return needs(
            "a pipeline of two steps and each of its steps alone, pruned to the same level, with "
            "the same primitive",
            STATISTIC,
        )
    networks, ratios = _of_networks(rows, series, tables)
    ratio, others = (
        Interval(*(float(limit[0]) for limit in each)) for each in of_networks([ratios])
    )
    floor = float(rows["floor"].max())
    evidence = pd.DataFrame(networks, columns=MODEL).assign(ratio=np.exp(ratios.log))
    by_pair = np.exp(pd.Series(effects(series).log).groupby(rows["compression"].to_numpy()).mean())
    texts = [f"{mean:.2f} with `{name}`" for name, mean in by_pair.items()]
    reason = (
        f"a pair gains {ratio.estimate:.2f} [{ratio.low:.2f}, {ratio.high:.2f}] of the product of "
        f"its steps' speedups; on average {'; '.join(texts)}; chosen at another level and left "
        f"out: {left_out} of {len(rows) + left_out}; square of the noise floor {floor:.2f}"
    )
    return Observation(
        _multiplies(ratio, floor),
        reason,
        STATISTIC,
        *ratio,
        n=len(evidence),
        others=judging.for_others(_multiplies(others, floor), others.low, others.high),
        evidence=evidence,
    )


def _multiplies(ratio: Interval, floor: float) -> Verdict:
    """Return the verdict: the claim holds if no shortfall is beyond the threshold."""
    short = judging.any_beyond(1 / ratio.high, 1 / ratio.low, THRESHOLD, floor)
    opposite: dict[Verdict, Verdict] = {"supported": "contradicted", "contradicted": "supported"}
    return opposite.get(short, short)


def _means(rows: pd.DataFrame, series: np.ndarray, tables: Tables) -> pd.DataFrame:
    """Return the mean ratio of each platform and primitive: GROUP, and LIMITS that hold at once."""
    groups = rows.groupby(GROUP).indices
    if not groups:
        return pd.DataFrame(columns=[*GROUP, *LIMITS])
    found = [_of_networks(rows.iloc[at], series[at], tables)[1] for at in groups.values()]
    limits = dict(zip(LIMITS, of_networks(found)[0], strict=True))
    return pd.DataFrame(list(groups), columns=GROUP).assign(**limits)


def draw(observation: Observation, looks: Looks) -> tuple[Figure, list[Line2D]]:
    """Return the figure of the ratio of each pair by platform; at 1 the speedups multiply."""
    found, missing = observation.shown["ratios"], observation.shown["no_level"]
    platforms = looks.ordered("platform", observation.names("platform"))
    if found.empty:
        return panels.empty(looks, platforms, "no pair was measured beside both of its steps")
    primitives = looks.ordered("primitive", found["primitive"])
    kinds = [*MODEL, "compression"]
    places = pd.concat([found[kinds], missing[kinds]]).drop_duplicates().assign(format="dense")
    figure, axes, heights = panels.network_rows(
        looks, platforms, places, 0.24, below=0.1 * (1 + len(primitives))
    )
    means = looks.sort(observation.shown["means"], ["primitive"])
    for axis, platform in zip(axes[0], platforms, strict=True):
        here, none = (
            rows[rows["platform"] == platform].assign(format="dense") for rows in (found, missing)
        )
        for place, height in heights.items():
            own = here[panels.at(here, *place)]
            if panels.at(none, *place).any():
                marks.no_level(axis, height, looks.colour(place[1]))
            elif own.empty:
                marks.absent(axis, height, "not measured beside both steps")
            for row in own.itertuples():
                offset = panels.spread(primitives)[row.primitive]
                marks.intervals(
                    axis,
                    own.loc[[row.Index]],
                    [height + offset],
                    LIMITS,
                    color=looks.colour(row.compression),
                    marker=looks.marker(row.primitive),
                    fillstyle="full" if row.same_level else "none",
                )
        panels.log_axis(axis.xaxis, min(found["low"].min(), 0.9), max(found["high"].max(), 1.1))
        axis.axvline(1, color=GREY, linewidth=0.8)
        texts = [
            f"{looks.label(row.primitive)} {row.ratio:.2f} [{row.low:.2f}, {row.high:.2f}]"
            for row in means[means["platform"] == platform].itertuples()
        ]
        axis.set_xlabel("\n".join(["speedup / product", *texts]), fontsize=6.2, linespacing=1.15)
    legend = looks.legend(found, "primitive", "compression")
    if not found["same_level"].all():
        look: dict[str, Any] = {"color": DARK, "linestyle": "", "fillstyle": "none"}
        legend.append(Line2D([], [], marker="o", label="another level than alone", **look))
    return figure, legend + [no_level_handle()] * bool(len(missing))
