"""What there is to choose from on the layers of the stack, what is chosen layer by layer, and what is best jointly.

Layer by layer means that each layer's choice is made for itself, with the other layers at their
default, and that what was chosen is put together: the combination. The joint optimum is the fastest
of all configurations. The default primitive is what one would take without co-design, the fastest
on average on the platform: a slow one would make the choice layer by layer look worse than it is.
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
# The columns of each layer's choice.
Layers = Sequence[Sequence[str]]
# Platform, data set and, where each network is looked at alone, model.
Place = tuple[str, ...]


class Choice(NamedTuple):
    """What there is to choose from in a place: rows of the study.

    `combination` has no row where it was not measured, like `default` and `joint` one else.
    """

    default: pd.DataFrame
    combination: pd.DataFrame
    joint: pd.DataFrame
    configurations: pd.DataFrame


def top1(rows: pd.DataFrame) -> pd.Series:
    """Return each configuration's top-1 on the test split in percent: compiled, or else in the framework."""
    return rows["top1_compiled"].fillna(rows["top1"]).astype(float)


def accurate(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the measured rows of compressions that are as accurate as the uncompressed network.

    Equal accuracy: the compiled top-1 on the test split is at most `reach.LOSS` lower. Libraries of
    one compression may differ by an image or so; the least accurate one counts. Unscheduled ones
    have no compiled top-1 and do not count beside others.
    """
    every = rows.groupby([*PLACE, "compression"])[["top1", "top1_compiled"]].min()
    lowest = top1(every).rename("lowest").reset_index()
    uncompressed = lowest[lowest["compression"] == "none"].drop(columns="compression")
    both = lowest.merge(uncompressed, on=PLACE, suffixes=("", "_before"))
    equal = both["lowest_before"] - both["lowest"] <= reach.LOSS + 1e-9
    return rows.merge(both.loc[equal, [*PLACE, "compression"]], on=[*PLACE, "compression"])


def default(rows: pd.DataFrame) -> dict[str, str]:
    """Return the default of compression, format, tuning and primitive on a platform, from its measured rows.

    The primitive is the one of lowest geometric mean latency over the networks that were measured
    so in every one; it is left out where there is no such network.
    """
    plain = having(rows, DEFAULT)
    latencies = plain.pivot(index=PLACE, columns="primitive", values="latency_ms").dropna()
    if latencies.empty:
        return dict(DEFAULT)
    return DEFAULT | {"primitive": str(np.log(latencies).mean().idxmin())}


def by_network(rows: pd.DataFrame) -> dict[Place, Choice]:
    """Return the choice for each network with more than one option on at least two layers of the stack.

    `rows` are those of `observation.timed`, of different networks.
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
    """Return the rows with these values."""
    same = [rows[name].to_numpy() == value for name, value in values.items()]
    return rows[np.logical_and.reduce(same)]


def layer_by_layer(
    rows: pd.DataFrame, usual: Mapping[str, str], layers: Layers = STACK
) -> dict[str, str]:
    """Return what is fastest on each layer with the others at their default, put together.

    The configuration `usual` has to be among the rows.
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
    """Return the speedup of the joint optimum over the combination, where that was measured and there is a noise floor.

    `floor` is that of `observation.floors`. The speedup is 1 where the optimum is not faster by
    more than that: it is the lowest of many measured latencies and the combination is one of them,
    so that by chance alone their ratio is above 1, and never below it. So the speedup of each
    configuration over the combination gets an interval, and these hold all at once (family-wise 95
    %); the largest lower and upper limits are those of the largest speedup. Which one is the
    combination was chosen by the same samples: the comparisons are all pairs of configurations.
    They are of paired samples, of different models of the latencies' own intervals.
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
    """Return compression, format, primitive and tuning in words, with names in backquotes."""
    stored = configuration["format"]
    compressed = f"`{configuration['compression']}`" + f" in `{stored}`" * (stored != "dense")
    return f"{compressed}, `{configuration['primitive']}`, `{configuration['tuning']}`"
