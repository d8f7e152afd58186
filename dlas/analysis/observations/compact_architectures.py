"""Compact architectures tolerate less weight pruning than VGG-16 and the ResNets.

The compression that a network tolerates comes from its accuracy curve. The networks are on
different data, some of which are harder: the data sets are blocks of the comparison. On the grid
its interval comes from the test images. For other networks it is Student's t with the few remaining
degrees of freedom. An exact permutation within the data sets could not reach 5 % with so few.

The plugin of each model names its group, if it is in one. The claim is on weight pruning; the same
comparison for channel pruning is reported beside it. See RULE.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dlas.analysis import curves, judging, marks, panels, reach, statistics
from dlas.analysis.columns import MODEL
from dlas.analysis.observation import Observation, Tables, needs
from dlas.analysis.statistics import Interval
from dlas.analysis.style import Looks
from dlas.plugins import ObservationPlugin

PLUGIN = ObservationPlugin(
    label="compact architectures (MobileNets, EfficientNet) tolerate less weight pruning than "
    "VGG-16 and the ResNets",
    order=3,
    origin="formulated",
    layer="3 Model optimizations",
)

RULE_VERSION = 2
RULE = f"""
Compression: parameters of the uncompressed network over the non-zero ones left. Tolerated: the
largest with equal accuracy, {reach.ALLOWED}; between two levels top-1 is interpolated over the
logarithm of the compression. Where a ladder's strongest level still holds its compression is a
lower bound, and all networks count only up to the smallest such bound of the technique. Ratio: that
of the groups' geometric means under weight pruning, large over compact, within the data sets (least
squares on logarithms), with a 95 % bootstrap interval over the test images, the same ones for all
networks. Compact: architectures designed to be small (MobileNets, EfficientNet); large: VGG-16 and
the ResNets; each model describes its group. Threshold: {reach.FURTHER}x, since less may come from
the spacing of the levels. Supported: the interval lies above the threshold. Contradicted: it lies
below, whatever the compressions are of which only a lower bound is known. Inconclusive otherwise.
For other networks: the same with the t interval of the least squares. The ratio under channel
pruning is reported and not judged.
"""
READING = """
A panel is a pruning technique, a row a network, grouped into compact and large architectures and
those in neither. A mark is the compression up to which top-1 holds, with its 95 % interval from the
number of test images; the axis is logarithmic, and an arrow says "at least". It supports the claim
where the compact group lies to the left of the large one. Below a panel is the ratio of the groups'
means that is judged, with its interval.
"""
DATA = """
results/accuracy_curves.csv: every level of weight and of channel pruning, and the uncompressed
network as level 0. results/answers.npz: what they answer to each test image. Nothing is timed for
it.
"""
STATISTIC = (
    "ratio of the compressions that large and compact architectures tolerate under weight pruning"
)
TECHNIQUES = ("weight_pruning", "channel_pruning")
JUDGED = "weight_pruning"
GROUPS = ("compact", "large", "neither")


@dataclass(frozen=True)
class Ratio:
    """The factor by which the large group can be compressed further than the compact one.

    Attributes
    ----------
    grid : Interval
        On the grid.
    highest : Interval
        The largest factor that the lower bounds of compressions allow on the grid.
    others : Interval
        With the networks as a sample.
    networks : int
        The number of networks in both groups.
    """

    grid: Interval
    highest: Interval
    others: Interval
    networks: int


def tolerated(tables: Tables) -> tuple[pd.DataFrame, dict[str, Ratio]]:
    """Return the compression that each network tolerates, and the ratio of the groups.

    Returns
    -------
    table : DataFrame
        `reach.Reaches.table` with group and counted, the compression that counts.
    ratios : dict of str to Ratio
        By technique, if each group has two networks or more.
    """
    pruned = tables.curves[tables.curves["compression"].isin(TECHNIQUES)]
    found = reach.reaches(pruned, tables.answers)
    table = found.table.assign(
        group=_group(found.table["model"], tables.groups), counted=found.table["factor"]
    )
    ratios = {}
    for technique in TECHNIQUES:
        chosen = ((table["compression"] == technique) & (table["group"] != "neither")).to_numpy()
        counted = found.of(chosen).counted()
        table.loc[chosen, "counted"] = np.exp(counted.log[:, 0])
        rows = table[chosen]
        if (rows["group"].value_counts().reindex(["compact", "large"], fill_value=0) >= 2).all():
            large = (rows["group"] == "large").to_numpy()
            # The highest ratio: large networks compressed most, compact ones least.
            most = np.where(large[:, None], counted.most, counted.least)
            unknown = np.isinf(most)
            (effect, others), (highest, _) = (
                statistics.group_difference(logs, large, rows["dataset"])
                for logs in (counted.log, np.where(unknown, 0, most))
            )
            highest[unknown.any(axis=0)] = np.inf
            if np.isfinite(others.low):
                ratios[technique] = Ratio(
                    reach.interval(effect),
                    reach.interval(highest),
                    Interval(*np.exp(others)),
                    len(rows),
                )
    return table, ratios


def _group(models: pd.Series, groups: Mapping[str, str]) -> pd.Series:
    return models.map(lambda model: groups.get(model, "neither")).astype(object)


def observe(tables: Tables) -> Observation:
    """Return the verdict under RULE.

    Returns
    -------
    Observation
        The evidence is the table of `tolerated`.
    """
    found, ratios = tolerated(tables)
    members = tables.curves[MODEL].drop_duplicates()
    return _verdict(found, ratios).showing(
        members=members.assign(group=_group(members["model"], tables.groups)),
        ratios=pd.DataFrame(
            [(name, *ratio.grid) for name, ratio in ratios.items()],
            columns=["compression", "ratio", "low", "high"],
        ),
    )


def _verdict(found: pd.DataFrame, ratios: Mapping[str, Ratio]) -> Observation:
    if JUDGED not in ratios:
        needed = needs(
            "accuracy curves of two compact and two large networks under weight pruning, and the "
            "answers of their levels",
            STATISTIC,
        )
        return replace(needed, evidence=found)
    ratio = ratios[JUDGED]
    texts = [f"{_text(*one.grid)} under `{name}`" for name, one in ratios.items()]
    bounds = ((found["group"] != "neither") & found["bound"]).sum()
    reason = (
        "large networks tolerate this many times the compression of compact ones: "
        f"{', '.join(texts)}; ladders that end before accuracy is lost: {bounds}"
    )
    highest = max(ratio.others.high, ratio.highest.estimate)
    verdicts = [
        judging.any_beyond(low, high, reach.FURTHER)
        for low, high in ((ratio.grid.low, ratio.highest.high), (ratio.others.low, highest))
    ]
    return Observation(
        verdicts[0],
        reason,
        STATISTIC,
        *ratio.grid,
        n=ratio.networks,
        others=judging.for_others(verdicts[1], ratio.others.low, ratio.others.high),
        evidence=found,
    )


def _text(ratio: float, low: float, high: float) -> str:
    return f"{ratio:.2f} [{low:.2f}, {high:.2f}]"


def draw(observation: Observation, looks: Looks) -> tuple[Figure, list[Line2D]]:
    """Return the figure of the compression that each network tolerates; arrows are lower bounds."""
    found, members = observation.evidence, observation.shown["members"]
    techniques = looks.ordered("compression", found["compression"]) or list(TECHNIQUES)
    height = 0.7 + 0.2 * (len(members) + 2)
    figure, axes = panels.columns(looks, techniques, height=height, sharey=True)
    if found.empty:
        for axis in axes[0]:
            marks.note(axis, "no accuracy curve was measured")
        return figure, []
    members = looks.sort(members, ["model", "dataset"])
    members = members.sort_values("group", key=lambda names: names.map(GROUPS.index), kind="stable")
    members = members.assign(name=members["model"] + ", " + members["dataset"])
    heights = panels.rows_of(axes, members[["group", "name"]], looks.labels)
    ratios = observation.shown["ratios"].set_index("compression")
    for axis, technique in zip(axes[0], techniques, strict=True):
        rows = found[found["compression"] == technique]
        for member in members.itertuples():
            one = rows[(rows["dataset"] == member.dataset) & (rows["model"] == member.model)]
            height = heights[member.group, member.name]
            curves.draw_reach(axis, looks, one, height)
            if one.empty:
                marks.absent(axis, height)
        if len(rows):
            panels.log_axis(axis.xaxis, 1, curves.right_end(rows), fine=2.2)
        text = "not enough networks"
        if technique in ratios.index:
            text = _text(*ratios.loc[technique])
        axis.set_xlabel(f"compression\nlarge / compact:\n{text}")
    return figure, [curves.bound_handle()]
