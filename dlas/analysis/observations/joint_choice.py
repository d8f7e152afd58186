"""The best joint configuration beats the one chosen layer by layer: co-design is needed.

On each network and platform, compression (with its format), primitive and tuning are chosen each for itself, with the
other layers at their default, and what was chosen is put together: the combination. The joint optimum is the fastest of
all configurations. The default primitive is what one would take without co-design, the fastest on average on the
platform: a slow one would make the choice layer by layer look worse than it is.

The joint optimum is the lowest of many measured latencies, and the combination is one of them: by chance alone their
ratio is above 1, and never below it. So the speedup of any configuration over any other gets an interval, and these
hold all at once, whichever was chosen; the largest lower and upper limits are those of the largest speedup. An optimum
that is not clearly faster counts as no faster. The interval of the mean holds for the networks of the study, it says
nothing on others. See RULE.
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy import stats

from dlas.analysis import curves, figures, statistics
from dlas.analysis.observation import (
    LATENCY,
    Observation,
    Tables,
    Verdict,
    distinct,
    floors,
    measured,
    needs,
    speedup_over,
)

CLAIM = "the best joint configuration beats the one chosen layer by layer: co-design is needed"
ORIGIN = "abstract"
WORTH = 1.1
RULE = f"""
Configurations: compression with its format, primitive and tuning, of compressions with equal accuracy: compiled
{curves.ALLOWED}. Combination: the fastest of each of the three, the other two at their default (uncompressed and dense;
untuned; the primitive that is fastest so on average on the platform). A network whose combination was not measured is
left out. Speedup: latency of the combination over that of the fastest configuration, 1 where that is not clearly
faster. Its limits: the largest lower and upper limit of any configuration's speedup, family-wise 95 % over all pairs of
configurations of all networks, widened by the A/A noise floor. Geometric mean over networks and platforms. Supported:
its interval lies above {WORTH}, which makes a joint choice worthwhile. Contradicted: it lies below {WORTH}.
Inconclusive otherwise.
"""
STATISTIC = (
    "geometric mean speedup of the joint optimum over the configuration chosen layer by layer"
)
PLACE = ["platform", "dataset", "model"]
STACK = (["compression", "format"], ["primitive"], ["tuning"])
DEFAULT = {"compression": "none", "format": "dense", "tuning": "untuned"}
COLUMNS = [*PLACE, "configurations", "combination", "joint", "speedup", "low", "high"]
LIMITS = ("speedup", "low", "high")
STEPS = (
    0.2,
    -0.2,
)  # of the marks of combination and joint optimum, from the middle of a network's line
TEXT_SHARE = 0.15  # of a panel's width, kept free for the speedup
Place = tuple[str, str, str]


class Choice(NamedTuple):
    """What there is to choose from for a network on a platform: rows of the study.

    `combination` has no row where it was not measured, like `default` and `joint` one else.
    """

    default: pd.DataFrame
    combination: pd.DataFrame
    joint: pd.DataFrame
    configurations: pd.DataFrame


def accurate(study: pd.DataFrame) -> pd.DataFrame:
    """Return the measured rows of compressions that are as accurate as the uncompressed network.

    Libraries of one compression may differ by an image or so; the least accurate one counts.
    """
    rows = distinct(measured(study))
    top1 = rows["top1_compiled"].fillna(rows["top1"]).astype(float)
    lowest = rows.assign(lowest=top1).groupby([*PLACE, "compression"])["lowest"].min().reset_index()
    uncompressed = lowest[lowest["compression"] == "none"].drop(columns="compression")
    both = lowest.merge(uncompressed, on=PLACE, suffixes=("", "_before"))
    images = rows.groupby("dataset")["top1"].agg(statistics.fewest_images)
    before = both["lowest_before"]
    error = np.sqrt(before * (100 - before) / both["dataset"].map(images))
    equal = before - both["lowest"] <= error.clip(lower=curves.LOSS) + 1e-9
    return rows.merge(both.loc[equal, [*PLACE, "compression"]], on=[*PLACE, "compression"])


def choices(study: pd.DataFrame) -> dict[Place, Choice]:
    """Return the choice for each network with more than one option on at least two layers of the stack."""
    found = {}
    for _, rows in accurate(study).groupby("platform"):
        plain = _having(rows, DEFAULT)
        latencies = plain.pivot(index=PLACE, columns="primitive", values="latency_ms").dropna()
        if latencies.empty:
            continue
        default = DEFAULT | {"primitive": str(np.log(latencies).mean().idxmin())}
        for place, network in rows.groupby(PLACE):
            here = _having(network, default)
            options = sorted(len(network[layer].drop_duplicates()) for layer in STACK)
            if len(here) and options[-2] > 1:
                joint = network.loc[[network["latency_ms"].idxmin()]]
                found[place] = Choice(here, _combination(network, default), joint, network)
    return found


def _having(rows: pd.DataFrame, values: dict[str, str]) -> pd.DataFrame:
    """Return the rows with these values."""
    return rows[(rows[list(values)] == list(values.values())).all(axis=1)]


def _combination(rows: pd.DataFrame, default: dict[str, str]) -> pd.DataFrame:
    """Return the row, or none, that has what is fastest on each layer with the others at their default."""
    chosen: dict[str, str] = {}
    for layer in STACK:
        alone = _having(rows, {name: default[name] for name in default if name not in layer})
        chosen |= alone.loc[alone["latency_ms"].idxmin(), layer].to_dict()
    return _having(rows, chosen)


def observe(tables: Tables) -> Observation:
    """Return the verdict under RULE; the evidence is one row for each network whose combination was measured: COLUMNS.

    `low` and `high` are the limits of its speedup, `configurations` is how many there were.
    """
    found = choices(tables.study)
    evidence = _speedups(found, floors(tables.noise_floor))
    if evidence.empty:
        return needs(
            "a network with options on two layers of the stack and the combination of those that are fastest alone",
            STATISTIC,
        )
    mean = statistics.Interval(*np.exp(np.log(evidence[list(LIMITS)]).mean()))
    verdict: Verdict = "inconclusive"
    if mean.low > WORTH:
        verdict = "supported"
    elif mean.high < WORTH:
        verdict = "contradicted"
    clear = evidence[evidence["low"] > 1]
    reason = f"the joint optimum is clearly faster on {len(clear)} of {len(evidence)} networks"
    if len(clear):
        top = clear.loc[clear["speedup"].idxmax()]
        reason += (
            f"; most, {top['speedup']:.2f} times [{top['low']:.2f}, {top['high']:.2f}], on "
            f"{figures.label(top['model'])}, {figures.label(top['dataset'])} on {figures.label(top['platform'])} with "
            f"{top['joint']} in place of {top['combination']}"
        )
    unmeasured = sum(choice.combination.empty for choice in found.values())
    if unmeasured:
        reason += f"; left out, as the combination was not measured: {unmeasured}"
    return Observation(verdict, reason, STATISTIC, *mean, n=len(evidence), evidence=evidence)


def _speedups(found: dict[Place, Choice], floor: dict[tuple[str, str], float]) -> pd.DataFrame:
    """Return COLUMNS of the networks whose combination was measured and that have a noise floor."""
    complete = {
        place: choice
        for place, choice in found.items()
        if len(choice.combination) and place[:2] in floor
    }
    counts = [len(choice.configurations) for choice in complete.values()]
    pairs = sum(count * (count - 1) // 2 for count in counts)
    level = statistics.ERROR_RATE / 2
    wider = stats.norm.isf(level / max(1, pairs)) / stats.norm.isf(level)
    lines = []
    for place, (_, combination, joint, rows) in complete.items():
        chosen = combination.iloc[0][LATENCY].add_suffix("_combination")
        others = speedup_over(rows.assign(**chosen), "_combination").drop(combination.index)
        speedup, noise = others["speedup"], floor[place[:2]]
        low = max(1.0, (speedup * (others["low"] / speedup) ** wider).max() / noise)
        high = max(1.0, (speedup * (others["high"] / speedup) ** wider).max() * noise)
        gain = speedup.max() if low > 1 else 1.0
        lines.append((*place, len(rows), _text(combination), _text(joint), gain, low, high))
    return pd.DataFrame(lines, columns=COLUMNS)


def _text(configuration: pd.DataFrame) -> str:
    """Return a configuration in words."""
    row = configuration.iloc[0]
    stored = "" if row["format"] == "dense" else f" in {figures.label(row['format'])}"
    others = [figures.label(row[name]) for name in ("primitive", "tuning")]
    return ", ".join([figures.label(row["compression"]) + stored, *others])


@figures.style()
def draw(tables: Tables, observation: Observation) -> Figure:
    """Return the speedups of combination and joint optimum over the default, and their ratio where it is clear."""
    found = choices(tables.study)
    platforms = figures.ordered(tables.study["platform"], figures.NAMES)
    if not found:
        figure, axes = figures.columns(platforms, height=1.2)
        for axis in axes[0]:
            figures.note(axis, "no network has options on two layers of the stack")
        return figures.finish(figure, CLAIM, observation, RULE)
    marks = {
        place: [_over_default(rows, choice.default) for rows in (choice.combination, choice.joint)]
        for place, choice in found.items()
    }
    shown = pd.concat([rows for pair in marks.values() for rows in pair])
    low, high = min(0.9, shown["low"].min()), max(1.1, shown["high"].max())
    room = (high / low) ** (TEXT_SHARE / (1 - TEXT_SHARE))
    places = pd.DataFrame(list(found), columns=PLACE)[["dataset", "model"]].drop_duplicates()
    places = places.sort_values(["dataset", "model"])
    figure, axes = figures.columns(
        platforms, height=0.7 + 0.33 * len(places), width=figures.PAGE_INCHES, sharey=True
    )
    heights = figures.rows_of(axes, places)
    for axis, platform in zip(axes[0], platforms, strict=True):
        for (dataset, model), height in heights.items():
            pair = marks.get((platform, dataset, model), [])
            if not pair:
                figures.absent(axis, height)
            for rows, step in zip(pair, STEPS, strict=False):
                _marks(axis, rows, height + step)
        for row in observation.evidence.itertuples():
            if row.platform == platform:
                _gain(axis, row, heights[row.dataset, row.model])
        figures.log_axis(axis.xaxis, low, high * room)
        axis.axvline(1, color=figures.GREY, linewidth=0.8)
        axis.set_xlabel("speedup over the default\nabove: layer by layer, below: joint")
    return figures.finish(figure, CLAIM, observation, RULE, _legend(shown))


def _over_default(rows: pd.DataFrame, default: pd.DataFrame) -> pd.DataFrame:
    """Return rows with LIMITS, their speedup over the default's median latency."""
    before = default["latency_ms"].iloc[0]
    return rows.assign(
        speedup=before / rows["latency_ms"],
        low=before / rows["latency_ms_high"],
        high=before / rows["latency_ms_low"],
    )


def _marks(axis: Axes, rows: pd.DataFrame, height: float) -> None:
    """Draw the one configuration of these rows, or say that it was not measured."""
    if rows.empty:
        figures.absent(axis, height, "not measured together")
    for row in rows.itertuples():
        figures.intervals(
            axis,
            rows.loc[[row.Index]],
            [height],
            LIMITS,
            color=figures.colour(row.compression),
            marker=figures.marker(row.primitive),
            fillstyle=figures.fill(row.tuning),
            **figures.edge(row.format),
        )


def _gain(axis: Axes, row: Any, height: float) -> None:
    """Write by how much the joint optimum of a row of the evidence is faster, where it clearly is."""
    clear, same = row.low > 1, row.joint == row.combination
    axis.text(
        0.985,
        height,
        f"{row.speedup:.2f}x" if clear else "same" if same else "unclear",
        transform=axis.get_yaxis_transform(),
        ha="right",
        va="center",
        fontsize=5.8,
        fontweight="bold" if clear else "normal",
        color="#202020" if clear else figures.GREY,
    )


def _legend(shown: pd.DataFrame) -> list[Line2D]:
    """Return the entries of what these rows have."""
    known = {
        "compression": figures.COLOURS,
        "primitive": figures.MARKERS,
        "tuning": figures.FILLS,
    }
    legend = [
        handle
        for kind, names in known.items()
        for handle in figures.handles(kind, figures.ordered(shown[kind], names))
    ]
    if (shown["format"] == "csr").any():
        legend += figures.handles("format", ["csr"])
    if (shown["status"] == "emulated").any():
        legend.append(figures.emulated_handle())
    return legend
