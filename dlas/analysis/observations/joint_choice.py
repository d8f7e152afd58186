"""The best joint configuration beats the one chosen layer by layer: co-design is needed.

`dlas.analysis.choices` has the two choices on each network and platform, and the interval of their
ratio. The interval of the mean holds for the networks of the study and not for others. See RULE.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dlas.analysis import choices, judging, marks, panels, reach, statistics
from dlas.analysis.choices import Choice, Place
from dlas.analysis.columns import MODEL, PLACE, SPEEDUP, VARIANT
from dlas.analysis.observation import (
    Observation,
    Tables,
    distinct,
    distinct_names,
    floor_of,
    floors,
    needs,
    timed,
)
from dlas.analysis.style import GREY, Looks
from dlas.plugins import ObservationPlugin

PLUGIN = ObservationPlugin(
    label="the best joint configuration beats the one chosen layer by layer: co-design is needed",
    order=13,
    origin="abstract",
    layer="Across the stack",
)

THRESHOLD = 1.1
RULE_VERSION = 3
RULE = f"""
Compared are two configurations, the combination and the fastest one. Configurations: compression
with its format, primitive and way to schedule, of compressions with equal accuracy: compiled
{reach.ALLOWED}. The ways to schedule are those that were measured: unscheduled, untuned, auto-tuned
and auto-scheduled. The best of them is no option, as it is a joint choice of its own, made for each
layer of a network. Combination: the fastest of each of the three, the other two at their default
(uncompressed and dense; untuned; the primitive that is fastest so on average on the platform). A
network whose combination was not measured is left out. Speedup: latency of the combination over
that of the fastest configuration, in paired samples; 1 where that is not clearly faster, by more
than the A/A noise floor. Its limits: the largest lower and upper limit of any configuration's
speedup, family-wise 95 % over all pairs of configurations of all networks. Geometric mean over
networks and platforms. Threshold: {THRESHOLD}x, which makes a joint choice worthwhile, or the
largest noise floor if that is more. Supported: the interval lies above the threshold. Contradicted:
it lies below {THRESHOLD}x, and so does the noise floor. Inconclusive otherwise. For other networks:
the same with the t interval of the mean over the models.
"""
READING = """
A panel is a platform, a row a network. The upper mark is what choosing each layer by itself comes
to, the lower one the joint optimum, both as the speedup over the default configuration with a 95 %
interval, on a logarithmic axis; colour is the compression, shape the primitive, fill the way to
schedule. It supports the claim where the lower mark is to the right of the upper one. At the right
stands by which factor, where that is clear; "same" says that both choices are the same
configuration.
"""
DATA = """
results/study.csv: every measured row of compressions that are as accurate as the uncompressed
network. results/noise_floor.csv: the largest noise floor of each platform and data set.
"""
STATISTIC = (
    "geometric mean speedup of the joint optimum over the configuration chosen layer by layer"
)
COLUMNS = [*PLACE, "configurations", "combination", "joint", *SPEEDUP]
CHOICES = ("combination", "joint")
# Offsets of both marks from the middle of a network's row.
STEPS = dict(zip(CHOICES, (0.2, -0.2), strict=True))
# This way to schedule combines the others.
BEST = "best_of"
# The share of a panel's width that is kept free for the speedup.
TEXT_SHARE = 0.15


def observe(tables: Tables) -> Observation:
    """Return the verdict under RULE.

    Returns
    -------
    Observation
        The evidence has one row for each network whose combination was measured: COLUMNS. `low` and
        `high` are the limits of its speedup, `configurations` is the number of its configurations.
    """
    rows = distinct(timed(tables))
    found = choices.by_network(rows[rows["tuning"] != BEST])
    return _verdict(found, tables).showing(
        speedups=_over_default(found), platform=distinct_names(tables.study, "platform")
    )


def _verdict(found: dict[Place, Choice], tables: Tables) -> Observation:
    evidence = _speedups(found, tables)
    if evidence.empty:
        return needs(
            "a network with options on two layers of the stack and the combination of those that "
            "are fastest alone",
            STATISTIC,
        )
    average = statistics.Interval(*np.exp(np.log(evidence[SPEEDUP]).mean()))
    models = np.exp(np.log(evidence.set_index(MODEL)["speedup"]).groupby(level=MODEL).mean())
    others = statistics.geometric_mean_ratio(models, np.ones(len(models)))
    floor = floor_of(evidence, tables.noise_floor).max()
    clear = evidence[evidence["low"] > 1]
    reason = f"the joint optimum is clearly faster on {len(clear)} of {len(evidence)} networks"
    if len(clear):
        top = clear.loc[clear["speedup"].idxmax()]
        reason += (
            f"; most, {top['speedup']:.2f} times [{top['low']:.2f}, {top['high']:.2f}], on "
            f"`{top['model']}`, `{top['dataset']}` on `{top['platform']}` with {top['joint']} in "
            f"place of {top['combination']}"
        )
    reason += f"; threshold {max(THRESHOLD, floor):.2f}; ways to schedule to choose from: "
    reason += ", ".join(f"`{way}`" for way in _ways(found))
    unmeasured = sum(choice.combination.empty for choice in found.values())
    if unmeasured:
        reason += f"; left out, as the combination was not measured: {unmeasured}"
    return Observation(
        judging.any_beyond(average.low, average.high, THRESHOLD, floor),
        reason,
        STATISTIC,
        *average,
        n=len(evidence),
        others=judging.for_others(
            judging.any_beyond(others.low, others.high, THRESHOLD, floor), others.low, others.high
        ),
        evidence=evidence,
    )


def _ways(found: dict[Place, Choice]) -> list[str]:
    """Return the ways to schedule among the configurations."""
    return sorted({way for choice in found.values() for way in choice.configurations["tuning"]})


def _speedups(found: dict[Place, Choice], tables: Tables) -> pd.DataFrame:
    """Return COLUMNS of the networks with a measured combination and a noise floor."""
    lines = []
    gains = choices.gains(found, floors(tables.noise_floor), tables.rounds)
    for place, gain in gains.items():
        choice = found[place]
        words = [choices.in_words(rows.iloc[0]) for rows in (choice.combination, choice.joint)]
        lines.append((*place, len(choice.configurations), *words, *gain))
    return pd.DataFrame(lines, columns=COLUMNS)


def _over_default(found: dict[Place, Choice]) -> pd.DataFrame:
    """Return PLACE, `choice` of CHOICES, VARIANT, status, and SPEEDUP over the default."""
    columns = [*PLACE, "choice", *VARIANT, "status", *SPEEDUP]
    parts = []
    for choice in found.values():
        before = choice.default["latency_ms"].iloc[0]
        for name, rows in zip(CHOICES, (choice.combination, choice.joint), strict=True):
            over = {
                "speedup": before / rows["latency_ms"],
                "low": before / rows["latency_ms_high"],
                "high": before / rows["latency_ms_low"],
            }
            parts.append(rows.assign(choice=name, **over)[columns])
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def draw(observation: Observation, looks: Looks) -> tuple[Figure, list[Line2D]]:
    """Return the figure of the speedups of combination and joint optimum over the default."""
    shown = observation.shown["speedups"]
    platforms = looks.ordered("platform", observation.names("platform"))
    if shown.empty:
        return panels.empty(looks, platforms, "no network has options on two layers of the stack")
    low, high = min(0.9, shown["low"].min()), max(1.1, shown["high"].max())
    room = (high / low) ** (TEXT_SHARE / (1 - TEXT_SHARE))
    figure, axes, heights = panels.model_rows(
        looks, platforms, shown, 0.33, height=0.7, width=panels.PAGE_INCHES
    )
    for axis, platform in zip(axes[0], platforms, strict=True):
        for (dataset, model), height in heights.items():
            here = shown[panels.of(shown, platform, dataset, model)]
            if here.empty:
                marks.absent(axis, height)
            elif "combination" not in set(here["choice"]):
                marks.absent(axis, height + STEPS["combination"], "not measured together")
            places = [height + STEPS[row.choice] for row in here.itertuples()]
            marks.configurations(axis, looks, here, places, SPEEDUP)
        for row in observation.evidence.itertuples():
            if row.platform == platform:
                clear, same = row.low > 1, row.joint == row.combination
                text = f"{row.speedup:.2f}x" if clear else "same" if same else "unclear"
                marks.remark(axis, heights[row.dataset, row.model], text, clear)
        panels.log_axis(axis.xaxis, low, high * room)
        axis.axvline(1, color=GREY, linewidth=0.8)
        axis.set_xlabel("speedup over the default\nabove: layer by layer, below: joint")
    return figure, looks.legend(shown, "compression", "primitive", "tuning", "format", "status")
