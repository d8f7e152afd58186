"""The cost of one primitive under several conditions: networks, tunings or precisions.

Under each condition every two primitives are compared in paired samples. The loss of a primitive is
the largest factor by which another one is faster under any of the conditions. The loss of a set of
conditions is that of the primitive that loses least. It is the cost of using one primitive
throughout, and 1 where one is the fastest throughout.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from dlas.analysis import marks, panels
from dlas.analysis.columns import LATENCY, MODEL
from dlas.analysis.effects import Limits, Rounds, effects
from dlas.analysis.judging import Generalization, Verdict, any_beyond, for_others_by_share, short
from dlas.analysis.statistics import Interval
from dlas.analysis.style import GREY, Looks

# Rows of `observation.timed` by condition: LATENCY, status and row, indexed by primitive. All
# conditions have the same primitives in the same order.
Latencies = Mapping[str, pd.DataFrame]

# The smallest loss that counts, unless the noise floor is larger.
COUNTS = 1.03
# The share of a panel's width that is kept free for the names of the fastest.
NAMES_SHARE = 0.25


def fastest(latencies: Latencies) -> dict[str, str]:
    """Return the fastest primitive under each condition."""
    return {condition: str(rows["latency_ms"].idxmin()) for condition, rows in latencies.items()}


def comparisons(networks: Sequence[Latencies]) -> int:
    """Return the number of pairs of primitives that are compared in some networks."""
    counts = [len(rows) for latencies in networks for rows in latencies.values()]
    return sum(count * (count - 1) // 2 for count in counts)


def losses(latencies: Latencies, rounds: Rounds, comparisons: int) -> Limits:
    """Return the loss of each primitive.

    Parameters
    ----------
    latencies : mapping of str to DataFrame
        The rows of the primitives under each condition.
    rounds : Rounds
        The samples of the rows.
    comparisons : int
        The number of comparisons whose limits hold at once.

    Returns
    -------
    Limits
        Arrays [primitives], factors of at least 1, in the order of the rows.
    """
    rows = np.array([own["row"].to_numpy(int) for own in latencies.values()])
    conditions, primitives = rows.shape
    over, under = (
        np.broadcast_to(one, (conditions, primitives, primitives)).ravel()
        for one in (rows[:, :, None], rows[:, None, :])
    )
    limits = effects(rounds.ratios(over, under)).interval(comparisons)
    shape = (conditions, primitives, primitives)
    return Limits(*(each.reshape(shape).max(axis=(0, 2)) for each in limits))


def loss(latencies: Latencies, rounds: Rounds, comparisons: int) -> Interval:
    """Return the loss of the primitive that loses least.

    Parameters
    ----------
    latencies, rounds, comparisons : mapping, Rounds, int
        See `losses`.
    """
    return Interval(*(float(each.min()) for each in losses(latencies, rounds, comparisons)))


def changes(
    networks: Mapping[tuple[str, ...], Latencies],
    names: list[str],
    rounds: Rounds,
    floor: Mapping[tuple[str, str], float],
) -> pd.DataFrame:
    """Return for each network whether its fastest primitive changes with its condition.

    Parameters
    ----------
    networks : mapping of tuple to Latencies
        By network, whose key begins with platform and data set.
    names : list of str
        The columns of a network's key.
    rounds : Rounds
        The samples of the rows.
    floor : mapping of (platform, dataset) to float
        Noise floors, see `observation.floors`.

    Returns
    -------
    DataFrame
        `names`, loss, low, high, floor and outcome. The outcome is "changes" if the loss is clearly
        above COUNTS and the noise floor. It is "stays" if the loss is clearly below COUNTS, and so
        is the noise floor. It is "unclear" otherwise.
    """
    pairs = comparisons(list(networks.values()))
    found = [
        (*network, *loss(latencies, rounds, pairs), floor[network[0], network[1]])
        for network, latencies in networks.items()
    ]
    table = pd.DataFrame(found, columns=[*names, "loss", "low", "high", "floor"])
    outcomes = [
        table["low"] > table["floor"].clip(lower=COUNTS),
        short(table["high"], COUNTS, table["floor"]),
    ]
    return table.assign(outcome=np.select(outcomes, ["changes", "stays"], "unclear"))


def judge(changes: pd.DataFrame) -> tuple[Verdict, Interval]:
    """Return whether the fastest primitive changes on some network, and the largest loss.

    Parameters
    ----------
    changes : DataFrame
        The table of `changes`.

    Returns
    -------
    verdict : Verdict
        The verdict on the grid.
    loss : Interval
        The largest loss, lower and upper limit over the networks.
    """
    verdict = any_beyond(changes["low"], changes["high"], COUNTS, changes["floor"])
    return verdict, Interval(*(float(changes[name].max()) for name in ("loss", "low", "high")))


def in_words(changes: pd.DataFrame, verb: str) -> str:
    """Return on how many networks the fastest primitive changes and stays, as text."""
    counts = {name: int((changes["outcome"] == name).sum()) for name in ("changes", "stays")}
    return (
        f"the fastest primitive {verb} clearly on {counts['changes']} and stays on "
        f"{counts['stays']} of {len(changes)} networks"
    )


def for_others(changes: pd.DataFrame) -> Generalization:
    """Return whether the fastest primitive changes on other networks, from the share of models."""
    models = changes.groupby(MODEL)["outcome"].agg(lambda outcomes: (outcomes == "changes").any())
    return for_others_by_share(int(models.sum()), len(models))


def changing(evidence: pd.DataFrame, names: list[str]) -> set[tuple[str, ...]]:
    """Return the networks, by these columns, with the outcome "changes" in the evidence."""
    # Without a judged network the evidence has no columns.
    if evidence.empty:
        return set()
    rows = evidence.loc[evidence["outcome"] == "changes", names]
    return set(rows.itertuples(index=False, name=None))


def table(
    networks: Mapping[tuple[str, ...], Latencies], names: list[str], kind: str
) -> pd.DataFrame:
    """Return the latencies of networks in one table, see `by_network`.

    Parameters
    ----------
    networks : mapping of tuple to Latencies
        The latencies by network.
    names : list of str
        The columns of a network's key.
    kind : str
        The column of the condition.

    Returns
    -------
    DataFrame
        `names`, `kind`, primitive, LATENCY and status.
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
    """Return the latencies of each network by condition, the inverse of `table`.

    Parameters
    ----------
    rows : DataFrame
        The table of `table`.
    names : list of str
        The columns of a network's key.
    kind : str
        The column of the condition.

    Returns
    -------
    dict of tuple to dict of str to DataFrame
        LATENCY and status by primitive, without row.
    """
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
    """Draw each primitive's latency over the lowest of its condition.

    The fastest primitives are named at the right.

    Parameters
    ----------
    axis : Axes
        The panel.
    looks : Looks
        Labels, order and looks of the methods.
    latencies : Latencies
        The latencies of a network.
    heights : mapping of str to float
        The y coordinate of each condition.
    styles : mapping of str to dict
        Keywords of the marks of each condition.
    joined : str
        The colour of the lines from a primitive's mark to its next. Where they cross, the order
        changes.
    clear : bool
        Whether the fastest primitive clearly changes: its names are bold.
    apart : float
        The distance of the primitives of a condition, which stand one above another.

    Returns
    -------
    tuple of float
        The smallest lower and the largest upper limit of the intervals.
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
    """Set the x-axes of panels of `draw`, with room for the names.

    Parameters
    ----------
    axes : np.ndarray
        The panels.
    limits : sequence of float
        The smallest and the largest value.
    text : str
        The label of the axes.
    """
    low, high = limits
    names = (high / low) ** (NAMES_SHARE / (1 - NAMES_SHARE))
    for axis in axes.flat:
        panels.log_axis(axis.xaxis, low, high * names, fine=2.2)
        axis.axvline(1, color=GREY, linewidth=0.8)
        axis.set_xlabel(text)
