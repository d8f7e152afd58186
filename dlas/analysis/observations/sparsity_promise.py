"""Sparse code after weight pruning stays short of the speedup its sparsity promises.

A pruned network promises the ratio of its MACs to those of non-zero weights. It reaches the latency
of the uncompressed network in dense over that of the pruned one in CSR, with the same primitive,
tuning and platform, in paired samples. The claim is on these two.

Reported beside it is where CSR breaks even. Networks are pruned to different densities, and a
straight line through their relative latencies gives the density at which CSR takes as long as
dense. All other differences of networks are left out of the line and make its error. Two lines are
compared on the same networks, and the peculiarities of a network in both drop out. See RULE.
"""

from itertools import combinations, product
from typing import Any

import numpy as np
import pandas as pd
import scipy
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dlas.analysis import judging, panels, statistics
from dlas.analysis.columns import MODEL
from dlas.analysis.contrasts import WITH_TEMPLATE
from dlas.analysis.effects import effects, of_networks
from dlas.analysis.observation import (
    Observation,
    Tables,
    distinct,
    distinct_names,
    floor_of,
    macs_done,
    needs,
    paired,
    timed,
)
from dlas.analysis.style import GREY, Looks
from dlas.plugins import ObservationPlugin

PLUGIN = ObservationPlugin(
    label="sparse code after weight pruning stays short of the speedup its sparsity promises",
    order=8,
    origin="formulated",
    layer="4 Algorithms and data formats",
)

THRESHOLD = 1.1
RESOLUTION = 0.1
MIN_COUNT = 4
RULE_VERSION = 2
RULE = f"""
Density: non-zero MACs over MACs of a weight-pruned network; its inverse is the promised speedup.
Reached: latency of the uncompressed network in dense over that in CSR, in paired samples. A group:
one primitive, tuning and platform. Its shortfall is the geometric mean over its networks of
promised over reached speedup, with the interval of the measurements at a family-wise 95 % over all
groups. Threshold: {THRESHOLD}x, or the largest A/A noise floor of the group if that is more.
Supported: all groups lie above their threshold. Contradicted: some group lies below {THRESHOLD}x,
and so does its noise floor. Inconclusive otherwise. For other networks: the same with the t
interval over the models. Reported and not judged: the break-even density of groups with at least
{MIN_COUNT} networks, where the least-squares line of latency over dense latency crosses 1, and its
difference between groups that differ in one of primitive, tuning and platform alone (delta method,
t, family-wise 95 %), clear beyond {RESOLUTION} and beyond what the noise floors can move it.
"""
READING = """
A panel is a platform and a primitive, a mark a weight-pruned network in CSR: across the share of
MACs that is left, up its latency over that of the uncompressed network in dense, with a 95 %
interval. On the dotted diagonal sparse code would be as fast as its sparsity promises; below the
line at 1 it is faster than dense. The fitted line of a group crosses 1 at its break-even, the
upright bar, whose 95 % interval is drawn and written in the panel. Filled marks are untuned, open
ones auto-tuned.
"""
DATA = """
results/study.csv: the measured rows, untuned and auto-tuned, of weight pruning in CSR, and the
uncompressed dense rows of the same model, primitive, tuning and platform. results/noise_floor.csv:
the largest noise floor of each platform and data set.
"""
STATISTIC = "geometric mean of promised over reached speedup, where sparse code comes closest"
TECHNIQUE = "weight_pruning"
GROUP = ["primitive", "tuning", "platform"]
OTHERS_INTERVAL = ["others_low", "others_high"]
SHORTFALLS = [*GROUP, "shortfall", "low", "high", *OTHERS_INTERVAL, "floor", "networks"]
COLUMNS = ["factor", "first", "second", "difference", "low", "high", "noise", "networks"]
RELATIVE = ["relative", "low", "high"]
PROMISED: dict[str, Any] = {"color": GREY, "linestyle": ":", "linewidth": 0.8}
BREAK_EVEN: dict[str, Any] = {"color": "#202020", "linestyle": "", "marker": "|", "markersize": 7}
Group = tuple[str, ...]


def networks(tables: Tables) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the latency of each weight-pruned network in CSR relative to dense.

    Returns
    -------
    table : DataFrame
        GROUP, MODEL, density, floor, row and RELATIVE: the latency over that of the uncompressed
        network in dense, with its 95 % interval.
    series : np.ndarray
        float64 [rows, rounds]: the logarithm of promised over reached speedup in each round.
    """
    rows = distinct(timed(tables))
    rows = rows[rows["tuning"].isin(WITH_TEMPLATE.ways)]
    same = [*GROUP, *MODEL]
    dense = rows.loc[rows["compression"] == "none", [*same, "row"]]
    sparse = rows[(rows["compression"] == TECHNIQUE) & (rows["format"] == "csr")]
    both = sparse.merge(dense, on=same, suffixes=("", "_dense"))
    both = both.assign(
        density=macs_done(both) / both["macs"], floor=floor_of(both, tables.noise_floor)
    )
    relative = tables.rounds.ratios(both["row"], both["row_dense"])
    shortfall = relative - np.log(both["density"].to_numpy(float))[:, None]
    return paired(both[[*same, "density", "floor", "row"]], relative, RELATIVE), shortfall


def break_even(
    density: np.ndarray | pd.Series, relative: np.ndarray | pd.Series
) -> statistics.Interval:
    """Return the density at which CSR takes as long as dense, with Fieller's 95 % interval.

    It is where the least-squares line of relative latency over density is 1.

    Parameters
    ----------
    density : np.ndarray or Series
        float [networks]: non-zero MACs over MACs.
    relative : np.ndarray or Series
        float [networks]: latencies in CSR over those of the uncompressed networks in dense.

    Returns
    -------
    Interval
        NaN if latency does not clearly rise with density, or if CSR would take longer than dense
        with nothing left to compute.
    """
    freedom = len(density) - 2
    nowhere = statistics.Interval(np.nan, np.nan, np.nan)
    if freedom < 1 or density.max() - density.min() < 1e-6:
        return nowhere
    (spread, common), (_, scatter) = np.cov(density, relative, bias=True)
    slope = common / spread
    intercept = relative.mean() - slope * density.mean()
    error = np.sqrt(max(0.0, scatter - slope * common) / spread / freedom)
    # The half-width of the slope's interval.
    reach = scipy.special.stdtrit(freedom, (1 + statistics.CONFIDENCE) / 2) * error
    if not slope > reach or intercept > 1:
        return nowhere
    # The confidence band of the line contains 1 between the roots of a parabola, relative to the
    # mean density.
    centre, above = density.mean(), relative.mean() - 1
    parabola = [
        slope**2 - reach**2,
        2 * slope * above,
        above**2 - reach**2 * spread,
    ]
    low, high = sorted(centre + np.roots(parabola).real)
    at = float((1 - intercept) / slope)
    return statistics.Interval(at, max(0.0, float(low)), float(high))


def observe(tables: Tables) -> Observation:
    """Return the verdict under RULE.

    Returns
    -------
    Observation
        The evidence has one row for each group: SHORTFALLS. Of `shown`, `comparisons` has one row
        for each two groups whose break-evens could be compared: COLUMNS. A group is named there by
        its primitive, tuning and platform. The difference is NaN if one has no clear break-even.
    """
    rows, series = networks(tables)
    groups = {name: group for name, group in rows.groupby(GROUP) if len(group) >= MIN_COUNT}
    comparisons = _comparisons(groups)
    return _verdict(_shortfalls(rows, series), comparisons).showing(
        networks=rows[[*GROUP, *MODEL, "density", *RELATIVE]],
        lines=_lines(groups),
        comparisons=comparisons,
        platform=distinct_names(tables.study, "platform"),
    )


def _lines(groups: dict[Group, pd.DataFrame]) -> pd.DataFrame:
    """Return the line of each group and its break-even, NaN where there is none."""
    found = []
    for name, group in groups.items():
        at = break_even(group["density"], group["relative"])
        line = np.full(2, np.nan)
        if not np.isnan(at.low):
            line = np.polyfit(group["density"], group["relative"], 1)
        found.append((*name, *line, *at))
    return pd.DataFrame(found, columns=[*GROUP, "slope", "intercept", "at", "low", "high"])


def _shortfalls(rows: pd.DataFrame, series: np.ndarray) -> pd.DataFrame:
    """Return the evidence; without a noise floor there is no shortfall."""
    known = np.isfinite(rows["floor"].to_numpy())
    rows, series = rows[known].reset_index(drop=True), series[known]
    found, networks = [], []
    for name, at in rows.groupby(GROUP).indices.items():
        networks.append(effects(series[at]))
        found.append((*name, rows["floor"].to_numpy()[at].max(), len(at)))
    table = pd.DataFrame(found, columns=[*GROUP, "floor", "networks"])
    if table.empty:
        return pd.DataFrame(columns=SHORTFALLS)
    shortfall, others = of_networks(networks)
    limits = dict(
        zip(["shortfall", "low", "high", *OTHERS_INTERVAL], [*shortfall, *others[1:]], strict=True)
    )
    return table.assign(**limits)[SHORTFALLS]


def _verdict(evidence: pd.DataFrame, comparisons: pd.DataFrame) -> Observation:
    if evidence.empty:
        return needs(
            "a network uncompressed and weight-pruned in CSR with the same primitive, tuning and "
            "platform",
            STATISTIC,
        )
    verdict = judging.all_beyond(evidence["low"], evidence["high"], THRESHOLD, evidence["floor"])
    others = judging.all_beyond(
        evidence["others_low"], evidence["others_high"], THRESHOLD, evidence["floor"]
    )
    top = evidence.loc[evidence["shortfall"].idxmin()]
    short = int((evidence["low"] > evidence["floor"].clip(lower=THRESHOLD)).sum())
    texts = [_text(comparisons[comparisons["factor"] == factor], factor) for factor in GROUP]
    reason = (
        f"sparse code comes closest with {_name(tuple(top[GROUP]))}, promised over reached "
        f"{top['shortfall']:.2f} [{top['low']:.2f}, {top['high']:.2f}]; clearly short are {short} "
        f"of {len(evidence)} groups; not judged, the largest difference of two break-even "
        "densities between " + "; ".join(texts)
    )
    return Observation(
        verdict,
        reason,
        STATISTIC,
        top["shortfall"],
        top["low"],
        top["high"],
        n=len(evidence),
        others=judging.for_others(others, *top[OTHERS_INTERVAL]),
        evidence=evidence,
    )


def _comparisons(groups: dict[Group, pd.DataFrame]) -> pd.DataFrame:
    """Return COLUMNS for each two comparable groups, that of the higher break-even first."""
    found = []
    values = {name: _values(group) for name, group in groups.items()}
    for (first, one), (second, other) in combinations(values.items(), 2):
        factors = [
            factor for factor, *two in zip(GROUP, first, second, strict=True) if two[0] != two[1]
        ]
        both = np.array([(one[network], other[network]) for network in one if network in other])
        if len(factors) == 1 and len(both) >= MIN_COUNT:
            difference, error, noise = _difference(both)
            ends = (second, first) if difference < 0 else (first, second)
            found.append((factors[0], *ends, abs(difference), error, noise, len(both)))
    table = pd.DataFrame(
        found, columns=["factor", "first", "second", "difference", "error", "noise", "networks"]
    )
    table = table.astype({name: float for name in ("difference", "error", "noise", "networks")})
    level = statistics.ERROR_RATE / 2 / max(1, len(table))
    reach = table["error"] * scipy.stats.t.isf(level, table["networks"] - 2)
    return table.assign(low=table["difference"] - reach, high=table["difference"] + reach)[COLUMNS]


def _values(rows: pd.DataFrame) -> dict[tuple[str, ...], np.ndarray]:
    """Return density, relative and floor of each network."""
    names = zip(*(rows[name] for name in MODEL), strict=True)
    return dict(zip(names, rows[["density", "relative", "floor"]].to_numpy(float), strict=True))


def _difference(both: np.ndarray) -> tuple[float, float, float]:
    """Return the difference of two break-evens, its standard error, and its shift by noise.

    `both` is [networks, groups, (density, relative, floor)]; the density of the first group counts,
    as the networks are the same.

    Delta method: each network's distance from a line moves the break-even in proportion. The two
    distances of a network are taken together, because an exception in one group is mostly one in
    the other. Each line's error is taken at the other's break-even. Without a difference they are
    the same, and a line that is too steep by chance crosses 1 early, where its error seems small.
    """
    density, relative, floor = both[:, 0, 0], both[:, :, 1], both[:, :, 2].max(axis=0)
    if any(np.isnan(break_even(density, values).low) for values in relative.T):
        return np.nan, np.nan, np.nan
    slopes, intercepts = np.polyfit(density, relative, 1)
    at, centred = (1 - intercepts) / slopes, density - density.mean()
    moves = 1 / len(both) + np.outer(centred, at[::-1] - density.mean()) / (centred**2).sum()
    distances = (relative - np.outer(density, slopes) - intercepts) / slopes
    covariance = distances.T @ distances / (len(both) - 2) * (moves.T @ moves)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    return float(at[0] - at[1]), float(np.sqrt(variance)), float(((floor - 1) / slopes).sum())


def _name(group: Group) -> str:
    """Return the name of a group in words."""
    primitive, tuning, platform = group
    return f"`{primitive}`, `{tuning}`, on `{platform}`"


def _text(comparisons: pd.DataFrame, factor: str) -> str:
    """Return the largest difference between the break-evens of a factor's values in words."""
    if comparisons.empty:
        return f"{factor}s: not compared"
    if comparisons["difference"].isna().all():
        return f"{factor}s: no clear break-even"
    top = comparisons.loc[comparisons["difference"].idxmax()]
    return (
        f"{factor}s: {top['difference']:.2f} [{top['low']:.2f}, {top['high']:.2f}], "
        f"{_name(top['first'])} over "
        f"{_name(top['second'])}" + ", clear" * bool(top["low"] > max(RESOLUTION, top["noise"]))
    )


def draw(observation: Observation, looks: Looks) -> tuple[Figure, list[Line2D]]:
    """Return the figure of relative latency over density, with the line of each group."""
    rows, lines = observation.shown["networks"], observation.shown["lines"].set_index(GROUP)
    platforms = looks.ordered("platform", observation.names("platform"))
    if rows.empty:
        return panels.empty(looks, platforms, "no weight-pruned network was measured in CSR")
    primitives, tunings = (looks.ordered(kind, rows[kind]) for kind in ("primitive", "tuning"))
    figure, axes = panels.columns(
        looks,
        platforms,
        len(primitives),
        height=0.4 + 1.3 * len(primitives),
        width=panels.PAGE_INCHES,
        sharex=True,
        sharey=True,
    )
    for (line, primitive), (column, platform) in product(
        enumerate(primitives), enumerate(platforms)
    ):
        axis = axes[line, column]
        axis.set_title(f"{looks.label(platform)}, {looks.label(primitive)}")
        axis.plot([0, 2], [0, 2], **PROMISED)
        axis.axhline(1, color=GREY, linewidth=0.8)
        texts = []
        for name in [(primitive, tuning, platform) for tuning in tunings]:
            group = rows[(rows[GROUP] == list(name)).all(axis=1)]
            if len(group):
                _marks(axis, looks, group)
                text = _break_even(axis, looks, name[1], group, lines.reindex([name]).iloc[0])
                texts.append(f"{looks.label(name[1])}: {text}" if len(tunings) > 1 else text)
        axis.text(
            0.03,
            0.97,
            "\n".join(texts) or "not measured",
            transform=axis.transAxes,
            va="top",
            fontsize=5.8,
            linespacing=1.15,
            color="#202020" if texts else GREY,
        )
    # The panels have room for the texts.
    top = max(1.4, 1.4 * rows["relative"].max(), rows["high"].max())
    axes[0, 0].set(xlim=(0, 1.1), ylim=(0, top))
    for axis in axes[-1]:
        axis.set_xlabel("non-zero MACs / MACs")
    for axis in axes[:, 0]:
        axis.set_ylabel("latency / dense")
    legend = looks.legend(rows, "primitive")
    legend += looks.handles("tuning", tunings) if len(tunings) > 1 else []
    legend += [Line2D([], [], label="as promised", **PROMISED)]
    legend += [Line2D([], [], label="break-even", **BREAK_EVEN)]
    return figure, legend


def _marks(axis: Axes, looks: Looks, group: pd.DataFrame) -> None:
    """Draw the networks of a group."""
    axis.errorbar(
        group["density"],
        group["relative"],
        yerr=[group["relative"] - group["low"], group["high"] - group["relative"]],
        linestyle="",
        elinewidth=0.8,
        color=looks.colour(TECHNIQUE),
        marker=looks.marker(group["primitive"].iloc[0]),
        fillstyle=looks.fill(group["tuning"].iloc[0]),
        **looks.edge("csr"),
    )


def _break_even(axis: Axes, looks: Looks, tuning: str, group: pd.DataFrame, line: pd.Series) -> str:
    """Draw the line and the break-even of a group, and return the break-even in words."""
    if len(group) < MIN_COUNT:
        return f"fewer than {MIN_COUNT} networks"
    if np.isnan(line["at"]):
        return "no clear break-even"
    ends = np.array([0, max(line["at"], group["density"].max())])
    style: dict[str, Any] = {"color": looks.colour(TECHNIQUE), "linestyle": looks.line(tuning)}
    axis.plot(ends, line["intercept"] + line["slope"] * ends, zorder=1, **style)
    axis.errorbar(
        line["at"],
        1,
        xerr=[[line["at"] - line["low"]], [line["high"] - line["at"]]],
        capsize=2,
        elinewidth=1.2,
        **BREAK_EVEN,
    )
    return f"break-even {line['at']:.2f} [{line['low']:.2f}, {line['high']:.2f}]"
