"""Choices on the layers of the stack: layer by layer, and jointly.

Layer by layer, each layer's choice is made with the other layers at their default. These choices
put together are the combination. The joint optimum is the fastest of all configurations. The
default primitive is the fastest on average on the platform, the choice without co-design: a slow
default would make the choice layer by layer look worse than it is.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from dlas.analysis import reach
from dlas.analysis.columns import LATENCY, PLACE
from dlas.analysis.effects import Rounds
from dlas.analysis.observation import compared
from dlas.analysis.statistics import Interval

STACK = (["compression", "format"], ["primitive"], ["tuning"])
DEFAULT = {"compression": "none", "format": "dense", "tuning": "untuned"}
# The columns that each layer chooses.
Layers = Sequence[Sequence[str]]
# (platform, dataset, model), or (platform, dataset) where the model is one of the choices.
Place = tuple[str, ...]


class Choice(NamedTuple):
    """Rows of the study to choose from in one place, and the chosen ones.

    Attributes
    ----------
    default : DataFrame
        The row of the default configuration.
    combination : DataFrame
        The row of the configuration chosen layer by layer; no row if it was not measured.
    joint : DataFrame
        The row of the fastest configuration.
    configurations : DataFrame
        All rows to choose from.
    """

    default: pd.DataFrame
    combination: pd.DataFrame
    joint: pd.DataFrame
    configurations: pd.DataFrame


def top1(rows: pd.DataFrame) -> pd.Series:
    """Return each configuration's test top-1 in percent, compiled, or else in the framework."""
    return rows["top1_compiled"].fillna(rows["top1"]).astype(float)


def accurate(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of compressions that are as accurate as the uncompressed network.

    Equal accuracy: the compiled top-1 on the test split is at most `reach.LOSS` points lower.
    Libraries of one compression may differ by an image or so, and the least accurate one counts.
    Unscheduled libraries have no compiled top-1 and count only if their compression has no others.

    Parameters
    ----------
    rows : DataFrame
        Measured rows of study.csv.
    """
    every = rows.groupby([*PLACE, "compression"])[["top1", "top1_compiled"]].min()
    lowest = top1(every).rename("lowest").reset_index()
    uncompressed = lowest[lowest["compression"] == "none"].drop(columns="compression")
    both = lowest.merge(uncompressed, on=PLACE, suffixes=("", "_before"))
    equal = both["lowest_before"] - both["lowest"] <= reach.LOSS + 1e-9
    return rows.merge(both.loc[equal, [*PLACE, "compression"]], on=[*PLACE, "compression"])


def default(rows: pd.DataFrame) -> dict[str, str]:
    """Return the default configuration of a platform.

    The default primitive has the lowest geometric mean latency over the networks that were measured
    in every primitive with all other layers at their default.

    Parameters
    ----------
    rows : DataFrame
        Measured rows of one platform.

    Returns
    -------
    dict of str to str
        DEFAULT and "primitive", which is left out if there is no such network.
    """
    plain = having(rows, DEFAULT)
    latencies = plain.pivot(index=PLACE, columns="primitive", values="latency_ms").dropna()
    if latencies.empty:
        return dict(DEFAULT)
    return DEFAULT | {"primitive": str(np.log(latencies).mean().idxmin())}


def by_network(rows: pd.DataFrame) -> dict[Place, Choice]:
    """Return the choice on each network that has options on at least two layers of the stack.

    Parameters
    ----------
    rows : DataFrame
        Rows of `observation.timed` that are also rows of `observation.distinct`.

    Returns
    -------
    dict of (platform, dataset, model) to Choice
        Without the networks whose default was not measured.
    """
    found = {}
    columns = [*PLACE, *chain(*STACK), *LATENCY, "status", "row"]
    for _, here in accurate(rows)[columns].groupby("platform"):
        usual = default(here)
        for place, network in here.groupby(PLACE):
            usually = having(network, usual)
            options = sorted(
                len(set(zip(*(network[name] for name in layer), strict=True))) for layer in STACK
            )
            if "primitive" in usual and len(usually) and options[-2] > 1:
                combination = having(network, layer_by_layer(network, usual))
                joint = network.loc[[network["latency_ms"].idxmin()]]
                found[place] = Choice(usually, combination, joint, network)
    return found


def having(rows: pd.DataFrame, values: Mapping[str, str]) -> pd.DataFrame:
    """Return the rows with these values, given by column."""
    same = [rows[name].to_numpy() == value for name, value in values.items()]
    return rows[np.logical_and.reduce(same)]


def layer_by_layer(
    rows: pd.DataFrame, usual: Mapping[str, str], layers: Layers = STACK
) -> dict[str, str]:
    """Return the fastest choice on each layer with the others at their default, put together.

    Parameters
    ----------
    rows : DataFrame
        The configurations to choose from; the default one has to be among them.
    usual : mapping of str to str
        The default of each column.
    layers : sequence of sequence of str
        The columns of each layer.

    Returns
    -------
    dict of str to str
        The choice for each column.
    """
    chosen: dict[str, str] = {}
    latencies = rows["latency_ms"].to_numpy(float)
    same = {name: rows[name].to_numpy() == value for name, value in usual.items()}
    for layer in layers:
        alone = np.logical_and.reduce([same[name] for name in usual if name not in layer])
        fastest = np.where(alone, latencies, np.inf).argmin()
        chosen |= {name: str(rows[name].iat[fastest]) for name in layer}
    return chosen


def gains(
    found: Mapping[Place, Choice], floor: Mapping[Any, float], rounds: Rounds
) -> dict[Place, Interval]:
    """Return the speedup of the joint optimum over the combination.

    Parameters
    ----------
    found : mapping of tuple to Choice
        The choices by place.
    floor : mapping of (platform, dataset) to float
        Noise floors, see `observation.floors`.
    rounds : Rounds
        The samples of the rows.

    Returns
    -------
    dict of tuple to Interval
        By place. The speedup is 1 where its lower limit does not exceed the noise floor. Places
        without a measured combination or without a noise floor are left out.

    Notes
    -----
    The joint optimum is the lowest of many measured latencies and the combination is one of them.
    By chance alone their ratio exceeds 1, and it is never below 1. Therefore the speedup of each
    configuration over the combination gets an interval. The largest lower and upper limits are
    those of the gain.

    All intervals hold at once, family-wise 95 % over all pairs of configurations, because the same
    samples chose the combination. Ratios are of paired samples; those of different models are of
    the latencies' own intervals.
    """
    complete = {
        place: choice
        for place, choice in found.items()
        if len(choice.combination) and place[:2] in floor
    }
    counts = [len(choice.configurations) for choice in complete.values()]
    pairs = sum(count * (count - 1) // 2 for count in counts)
    speedups = {}
    for place, (_, combination, _, rows) in complete.items():
        others = rows[~rows.index.isin(combination.index)]
        over = combination.loc[combination.index.repeat(len(others))]
        effect, _ = compared(over, others, rounds)
        limits = effect.interval(pairs)
        gain = Interval(*(float(each.max(initial=1.0)) for each in limits))
        clear = gain.low > floor[place[:2]]
        speedups[place] = gain if clear else Interval(1.0, 1.0, gain.high)
    return speedups


def in_words(configuration: Mapping[Any, Any]) -> str:
    """Return compression, format, primitive and tuning as text, with names in backquotes."""
    stored = configuration["format"]
    compressed = f"`{configuration['compression']}`" + f" in `{stored}`" * (stored != "dense")
    return f"{compressed}, `{configuration['primitive']}`, `{configuration['tuning']}`"
