"""Compact architectures (MobileNets, EfficientNet) tolerate less pruning than VGG-16 and the ResNets.

The compression that a network tolerates under a pruning technique comes from its accuracy curve. The two groups are
few networks on different data, some of which are harder: the data sets are blocks of the comparison, and the interval
is Student's t with the few degrees of freedom that are left. An exact permutation within the data sets could not
reach 5 % with so few. Each model says itself in which group it is, if in any. See RULE.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dlas.analysis import curves, marks, panels, reach, statistics
from dlas.analysis.columns import MODEL
from dlas.analysis.observation import Observation, Tables, Verdict, needs
from dlas.analysis.style import Looks
from dlas.plugins import ObservationPlugin

PLUGIN = ObservationPlugin(
    label="compact architectures (MobileNets, EfficientNet) tolerate less pruning than VGG-16 and the ResNets",
    order=3,
    origin="formulated",
    layer="3 Model optimizations",
)

RULE = f"""
Compression: parameters of the uncompressed network over the non-zero ones left. Tolerated: the largest with equal
accuracy, {reach.ALLOWED}; between two levels top-1 is interpolated over the logarithm of the compression. Where a
ladder's strongest level still holds its compression is a lower bound, and all networks count only up to the smallest
such bound of the technique. For each of weight and channel pruning: ratio of the groups' geometric means, compact over
large, within the data sets (least squares on logarithms), with a t interval at a family-wise 95 %. Compact:
architectures designed to be small (MobileNets, EfficientNet); large: VGG-16 and the ResNets; each model describes its
group. Supported: the interval of a technique lies below 1/{reach.FURTHER} and that of none above {reach.FURTHER},
since less may come from the spacing of the levels. Contradicted: one lies above and none below. Inconclusive otherwise.
"""
READING = """
A panel is a pruning technique, a row a network, grouped into compact and large architectures and those in neither. A
mark is the compression up to which top-1 holds, with its 95 % interval from the number of test images; the axis is
logarithmic, and an arrow says "at least". It supports the claim where the compact group lies to the left of the large
one. Below a panel is the ratio of the groups' means that is judged, with its interval.
"""
DATA = """
results/accuracy_curves.csv: every level of weight and of channel pruning, and the uncompressed network as level 0.
Nothing is timed for it.
"""
STATISTIC = (
    "ratio of the compressions that compact and large architectures tolerate, where it is clearest"
)
TECHNIQUES = ("weight_pruning", "channel_pruning")
GROUPS = ("compact", "large", "neither")


def tolerated(tables: Tables) -> pd.DataFrame:
    """Return `reach.reaches` of the pruned networks, with group and counted, the compression that counts."""
    found = reach.reaches(tables.curves[tables.curves["compression"].isin(TECHNIQUES)])
    found = found.assign(group=_group(found["model"], tables.groups), counted=found["factor"])
    for _, technique in found[found["group"] != "neither"].groupby("compression"):
        found.loc[technique.index, "counted"] = reach.comparable(
            technique["factor"], technique["bound"]
        )
    return found


def _group(models: pd.Series, groups: Mapping[str, str]) -> pd.Series:
    return models.map(lambda model: groups.get(model, "neither")).astype(object)


def _ratios(found: pd.DataFrame) -> dict[str, statistics.Interval]:
    """Return the ratio of the groups under each technique for which there is one."""
    judged = found[found["group"] != "neither"]
    techniques = {
        name: judged[judged["compression"] == name]
        for name in TECHNIQUES
        if name in set(judged["compression"])
    }
    confidence = 1 - statistics.ERROR_RATE / max(1, len(techniques))
    ratios = {
        name: statistics.group_ratio(
            rows["counted"], rows["group"] == "compact", rows["dataset"], confidence
        )
        for name, rows in techniques.items()
        if (rows.groupby("group").size().reindex(["compact", "large"]) >= 2).all()
    }
    return {name: ratio for name, ratio in ratios.items() if ratio.low == ratio.low}  # not NaN


def observe(tables: Tables) -> Observation:
    """Return the verdict under RULE; the evidence is the table of `tolerated`."""
    found = tolerated(tables)
    ratios = _ratios(found)
    members = tables.curves[MODEL].drop_duplicates()
    return _verdict(found, ratios).showing(
        members=members.assign(group=_group(members["model"], tables.groups)),
        ratios=pd.DataFrame(
            [(name, *ratio) for name, ratio in ratios.items()],
            columns=["compression", "ratio", "low", "high"],
        ),
    )


def _verdict(found: pd.DataFrame, ratios: Mapping[str, statistics.Interval]) -> Observation:
    if not ratios:
        needed = needs("accuracy curves of two compact and two large networks", STATISTIC)
        return replace(needed, evidence=found)
    below = [name for name, ratio in ratios.items() if ratio.high < 1 / reach.FURTHER]
    above = [name for name, ratio in ratios.items() if ratio.low > reach.FURTHER]
    verdict: Verdict = "inconclusive"
    if below and not above:
        verdict = "supported"
    elif above and not below:
        verdict = "contradicted"
    clearest = max(
        [*below, *above] or ratios, key=lambda name: abs(math.log(ratios[name].estimate))
    )
    reason = (
        "compact networks tolerate this many times the compression of large ones: "
        + ", ".join(f"{_text(*ratio)} under `{name}`" for name, ratio in ratios.items())
    )
    judged = found[(found["group"] != "neither") & found["bound"]]
    reason += f"; ladders that end before accuracy is lost: {len(judged)}"
    count = int(((found["compression"] == clearest) & (found["group"] != "neither")).sum())
    return Observation(verdict, reason, STATISTIC, *ratios[clearest], n=count, evidence=found)


def _text(ratio: float, low: float, high: float) -> str:
    return f"{ratio:.2f} [{low:.2f}, {high:.2f}]"


def draw(observation: Observation, looks: Looks) -> tuple[Figure, list[Line2D]]:
    """Return the compression that each network tolerates, by group and technique; an arrow is a lower bound."""
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
        axis.set_xlabel(f"compression\ncompact / large:\n{text}")
    return figure, [curves.bound_handle()]
