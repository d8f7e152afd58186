"""What it costs to use one primitive under several conditions: networks, tunings or precisions.

Under each condition every two primitives are compared in paired samples. A primitive loses the
largest factor by which another one is faster under any of the conditions. The loss of a set of
conditions is that of the primitive that loses least: whoever uses one primitive throughout loses
this much somewhere. It is 1 where one is the fastest throughout.
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

# By condition: LATENCY, status and row, see `observation.timed`; a row is a primitive, the same
# ones in each.
Latencies = Mapping[str, pd.DataFrame]

# The smallest loss that counts, where the noise floor is smaller.
COUNTS = 1.03
# Of a panel's width, kept free for the names of the fastest.
NAMES_SHARE = 0.25


def fastest(latencies: Latencies) -> dict[str, str]:
    """Return the fastest primitive under each condition."""
    return {condition: str(rows["latency_ms"].idxmin()) for condition, rows in latencies.items()}


def comparisons(networks: Sequence[Latencies]) -> int:
    """Return how many pairs of primitives are compared in these networks."""
    counts = [len(rows) for latencies in networks for rows in latencies.values()]
    return sum(count * (count - 1) // 2 for count in counts)


def losses(latencies: Latencies, rounds: Rounds, comparisons: int) -> Limits:
    """Return the factor that each primitive loses at most.

    The limits of so many comparisons hold at once.
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
    """Return the loss of the primitive that loses least, with its limits, see `losses`."""
    return Interval(*(float(each.min()) for each in losses(latencies, rounds, comparisons)))


def changes(
    networks: Mapping[tuple[str, ...], Latencies],
    names: list[str],
    rounds: Rounds,
    floor: Mapping[tuple[str, str], float],
) -> pd.DataFrame:
    """Return one row for each network on whether its fastest primitive changes with its condition.

    Its columns are `names`, loss with its limits low and high, floor, and outcome: changes (the
    loss is above COUNTS and the noise floor), stays (it is below COUNTS, and so is the floor) or
    unclear. `floor` is that of `observation.floors`, by the first two of `names`.
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
    """Return whether the fastest primitive changes on some network, and the largest loss."""
    verdict = any_beyond(changes["low"], changes["high"], COUNTS, changes["floor"])
    return verdict, Interval(*(float(changes[name].max()) for name in ("loss", "low", "high")))


def in_words(changes: pd.DataFrame, verb: str) -> str:
    """Return on how many networks the fastest primitive changes and stays: `verb` is "changes" or "varies"."""
    counts = {name: int((changes["outcome"] == name).sum()) for name in ("changes", "stays")}
    return (
        f"the fastest primitive {verb} clearly on {counts['changes']} and stays on "
        f"{counts['stays']} of {len(changes)} networks"
    )


def for_others(changes: pd.DataFrame) -> Generalization:
    """Return whether it changes on more than a share of other networks, by the models on which it clearly does."""
    models = changes.groupby(MODEL)["outcome"].agg(lambda outcomes: (outcomes == "changes").any())
    return for_others_by_share(int(models.sum()), len(models))


def changing(evidence: pd.DataFrame, names: list[str]) -> set[tuple[str, ...]]:
    """Return the networks, by these columns, whose outcome in a table is "changes"."""
    # Nothing could be judged.
    if evidence.empty:
        return set()
    rows = evidence.loc[evidence["outcome"] == "changes", names]
    return set(rows.itertuples(index=False, name=None))


def table(
    networks: Mapping[tuple[str, ...], Latencies], names: list[str], kind: str
) -> pd.DataFrame:
    """Return the latencies of networks in one table.

    Its columns are `names`, those of a network's key, `kind`, that of the condition, primitive,
    LATENCY and status.
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

    A condition has its height and its style; its primitives lie `apart` by this much, one above
    another. Lines of the colour `joined` run from a primitive's mark to its next: where they cross
    the order changes. The fastest are named at the right, bold where it is `clear` that they
    change.
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
