"""The fastest primitive of a network under several conditions, its tunings or its precisions: does it change?

That it differs says nothing where two primitives are about equally fast, so a change counts only if both orders are
clear: by more than the A/A noise floor and the intervals, see `statistics.clear_orders`.
"""

from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from dlas.analysis import marks, panels, statistics
from dlas.analysis.columns import LATENCY
from dlas.analysis.observation import Verdict, log_errors
from dlas.analysis.style import GREY, Looks

Latencies = Mapping[str, pd.DataFrame]  # by condition: LATENCY and status; a row is a primitive

LARGEST_SHARE = 0.25  # of changes: more cannot be excluded where a claim that there are some is not contradicted
NAMES_SHARE = 0.25  # of a panel's width, kept free for the names of the fastest


def fastest(latencies: Latencies) -> dict[str, str]:
    """Return the fastest primitive under each condition."""
    return {condition: str(rows["latency_ms"].idxmin()) for condition, rows in latencies.items()}


def changes(latencies: Latencies, floor: float, comparisons: int) -> list[tuple[str, str]]:
    """Return every two conditions, in both orders, between which the fastest primitive changes clearly.

    Each one's fastest primitive is there clearly faster than the other's.
    """
    best = fastest(latencies)
    beaten = {name: slower(rows, floor, comparisons) for name, rows in latencies.items()}
    return [
        (first, second)
        for first, second in permutations(latencies, 2)
        if best[second] in beaten[first] and best[first] in beaten[second]
    ]


def outcome(latencies: Latencies, floor: float, comparisons: int) -> str:
    """Return "changes"; "stays" where one primitive is clearly faster than each other one throughout; or "unclear"."""
    if changes(latencies, floor, comparisons):
        return "changes"
    stays = len(set(fastest(latencies).values())) == 1 and all(
        len(slower(rows, floor, comparisons)) == len(rows) - 1 for rows in latencies.values()
    )
    return "stays" if stays else "unclear"


def slower(rows: pd.DataFrame, floor: float, comparisons: int) -> set[str]:
    """Return the primitives that are clearly slower than the fastest; a row of LATENCY is a primitive."""
    fastest = rows["latency_ms"].to_numpy().argmin()
    orders = statistics.clear_orders(rows["latency_ms"], log_errors(rows), floor, comparisons)
    return set(rows.index[orders[:, fastest] == 1])


def cost(latencies: Latencies, first: str, second: str) -> float:
    """Return the latency of the first condition's fastest primitive over the lowest, both under the second."""
    chosen = fastest(latencies)[first]
    return float(
        latencies[second].loc[chosen, "latency_ms"] / latencies[second]["latency_ms"].min()
    )


def judge(outcomes: pd.Series) -> tuple[Verdict, statistics.Interval, int]:
    """Return the verdict on the claim that there are changes, their share of what is decided, and how much that is.

    One clear change supports it; that there is none contradicts it if the share's upper limit is below LARGEST_SHARE.
    """
    changed, stays = (int((outcomes == name).sum()) for name in ("changes", "stays"))
    share = statistics.proportion(changed, changed + stays)
    verdict: Verdict = "inconclusive"
    if changed:
        verdict = "supported"
    elif share.high < LARGEST_SHARE:
        verdict = "contradicted"
    return verdict, share, changed + stays


def changing(evidence: pd.DataFrame, names: list[str]) -> set[tuple[str, ...]]:
    """Return the networks, by these columns, whose outcome in a table is "changes"."""
    if evidence.empty:  # nothing could be judged
        return set()
    rows = evidence.loc[evidence["outcome"] == "changes", names]
    return set(rows.itertuples(index=False, name=None))


def table(
    networks: Mapping[tuple[str, ...], Latencies], names: list[str], kind: str
) -> pd.DataFrame:
    """Return the latencies of networks in one table.

    Its columns are `names`, those of a network's key, `kind`, that of the condition, primitive, LATENCY and status.
    """
    parts = [
        rows.reset_index().assign(**dict(zip(names, network, strict=True)), **{kind: condition})
        for network, latencies in networks.items()
        for condition, rows in latencies.items()
    ]
    columns = [*names, kind, "primitive", *LATENCY, "status"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def by_network(
    rows: pd.DataFrame, names: list[str], kind: str
) -> dict[tuple[str, ...], dict[str, pd.DataFrame]]:
    """Return the latencies of each network by condition from what `table` returned."""
    return {
        network: {
            str(condition): own.set_index("primitive")[[*LATENCY, "status"]]
            for condition, own in group.groupby(kind, sort=False)
        }
        for network, group in rows.groupby(names, sort=False)
    }


def draw(
    axis: Axes,
    looks: Looks,
    latencies: Latencies,
    heights: Mapping[str, float],
    styles: Mapping[str, dict[str, Any]],
    joined: str,
    clear: bool,
    apart: float = 0.0,
) -> tuple[float, float]:
    """Draw each primitive's latency over the lowest of its condition, and return the limits of what was drawn.

    A condition has its height and its style; its primitives lie `apart` by this much, one above another. Lines of the
    colour `joined` run from a primitive's mark to its next: where they cross the order changes. The fastest are named
    at the right, bold where it is `clear` that they change.
    """
    relative = {
        condition: rows.assign(**rows[LATENCY] / rows["latency_ms"].min())
        for condition, rows in latencies.items()
    }
    primitives = looks.ordered("primitive", next(iter(relative.values())).index)
    for rank, primitive in enumerate(primitives):
        offset = apart * ((len(primitives) - 1) / 2 - rank)
        along = [rows.loc[primitive, "latency_ms"] for rows in relative.values()]
        at = [heights[condition] + offset for condition in relative]
        axis.plot(along, at, color=joined, linewidth=0.6, zorder=1)
        for height, (condition, rows) in zip(at, relative.items(), strict=True):
            marks.intervals(
                axis,
                rows.loc[[primitive]],
                [height],
                marker=looks.marker(primitive),
                **styles[condition],
            )
    for condition, primitive in fastest(latencies).items():
        marks.remark(axis, heights[condition], looks.label(primitive), clear)
    drawn = pd.concat(relative.values())
    return float(drawn["latency_ms_low"].min()), float(drawn["latency_ms_high"].max())


def scale(axes: np.ndarray, limits: Sequence[float], text: str) -> None:
    """Give panels of `draw` an axis of these limits, with room for the names, and this text."""
    low, high = limits
    names = (high / low) ** (NAMES_SHARE / (1 - NAMES_SHARE))
    for axis in axes.flat:
        panels.log_axis(axis.xaxis, low, high * names, fine=2.2)
        axis.axvline(1, color=GREY, linewidth=0.8)
        axis.set_xlabel(text)
