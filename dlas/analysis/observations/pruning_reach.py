"""At equal accuracy weight pruning compresses further than channel pruning.

The accuracy curve of each network shows how far each technique compresses it before it loses
accuracy. The effect size is the geometric mean of the two factors' ratio over the networks. Its
interval comes from the test images, which are the same for all levels. A ladder whose strongest
level still holds gives a lower bound. See RULE.
"""

from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dlas.analysis import curves, judging, marks, panels, reach, statistics
from dlas.analysis.columns import MODEL
from dlas.analysis.observation import Observation, Tables, needs
from dlas.analysis.style import Looks
from dlas.plugins import ObservationPlugin

PLUGIN = ObservationPlugin(
    label="at equal accuracy weight pruning compresses further than channel pruning",
    order=2,
    origin="formulated",
    layer="3 Model optimizations",
)

RULE_VERSION = 2
RULE = f"""
Compression: parameters of the uncompressed network over the non-zero ones left. Equal accuracy:
{reach.ALLOWED}; between two levels top-1 is interpolated over the logarithm of the compression.
Where a ladder's strongest level still holds its compression is a lower bound, and both techniques
count on that network only up to it. The ratio is weight pruning's compression over channel
pruning's, its geometric mean over the networks with a 95 % bootstrap interval over the test images,
the same ones for all levels. Threshold: {reach.FURTHER}x, since less may come from the spacing of
the levels. Supported: the interval lies above the threshold. Contradicted: it lies below, whatever
the compressions are of which only a lower bound is known. Inconclusive otherwise. For other
networks: the same with the t interval over the networks.
"""
READING = """
A row is a network, a colour a technique. A mark is the compression, parameters over non-zero
parameters left, up to which top-1 holds, with its 95 % interval from the number of test images; the
axis is logarithmic. An arrow says "at least": the strongest level that was tried still holds. It
supports the claim where the mark of weight pruning is clearly to the right of that of channel
pruning in the same row.
"""
DATA = """
results/accuracy_curves.csv: every level of weight and of channel pruning, and the uncompressed
network as level 0. results/answers.npz: what they answer to each test image. Nothing is timed for
it.
"""
STATISTIC = (
    "geometric mean ratio of the compressions of weight and channel pruning at equal accuracy"
)
TECHNIQUES = ("weight_pruning", "channel_pruning")


def observe(tables: Tables) -> Observation:
    """Return the verdict under RULE.

    Returns
    -------
    Observation
        The evidence has one row for each network and technique, see `reach.Reaches`, with
        `counted`, the compression that counts.
    """
    pruned = tables.curves[tables.curves["compression"].isin(TECHNIQUES)]
    members = tables.curves[MODEL].drop_duplicates()
    return _verdict(reach.reaches(pruned, tables.answers)).showing(members=members)


def _verdict(found: reach.Reaches) -> Observation:
    evidence = found.table.assign(counted=np.nan)
    ratios, highest = [], []
    for _, at in found.table.groupby(MODEL).indices.items():
        counted = found.of(at).counted()
        evidence.loc[evidence.index[at], "counted"] = np.exp(counted.log[:, 0])
        names = list(found.table["compression"].iloc[at])
        if set(TECHNIQUES) <= set(names):
            weight, channel = (names.index(name) for name in TECHNIQUES)
            ratios.append(counted.log[weight] - counted.log[channel])
            highest.append(counted.most[weight] - counted.least[channel])
    if not ratios:
        needed = needs(
            "the accuracy curves of both techniques on a network, and the answers of their levels",
            STATISTIC,
        )
        return replace(needed, evidence=evidence)
    measured = np.array([one[0] for one in ratios])
    ratio, high = (reach.interval(np.mean(each, axis=0)) for each in (ratios, highest))
    others = statistics.geometric_mean_ratio(np.exp(measured), np.ones(len(measured)))
    bounds = evidence[evidence["bound"]].groupby("compression").size()
    open_ended = ", ".join(f"{count} of `{name}`" for name, count in bounds.items()) or "none"
    reason = (
        f"weight pruning compresses {ratio.estimate:.2f} times as far [{ratio.low:.2f}, "
        f"{ratio.high:.2f}], further on {(measured > 0).sum()} and less far on "
        f"{(measured < 0).sum()} of {len(ratios)} networks; ladders that end before accuracy is "
        f"lost: {open_ended}"
    )
    return Observation(
        judging.any_beyond(ratio.low, high.high, reach.FURTHER),
        reason,
        STATISTIC,
        *ratio,
        n=len(ratios),
        others=judging.for_others(
            judging.any_beyond(others.low, max(others.high, high.estimate), reach.FURTHER),
            *others[1:],
        ),
        evidence=evidence,
    )


def draw(observation: Observation, looks: Looks) -> tuple[Figure, list[Line2D]]:
    """Return the figure of the compression that each network tolerates; arrows are lower bounds."""
    found, places = observation.evidence, looks.sort(observation.shown["members"], MODEL)
    figure, axes = panels.columns(looks, [], height=0.9 + 0.22 * max(1, len(places)))
    axis = axes[0, 0]
    if found.empty:
        marks.note(axis, "no accuracy curve was measured")
        return figure, []
    heights = panels.rows_of(axes, places, looks.label)
    for (dataset, model), height in heights.items():
        here = found[(found["dataset"] == dataset) & (found["model"] == model)]
        if here.empty:
            marks.absent(axis, height)
        for technique, offset in panels.spread(TECHNIQUES).items():
            own = here[here["compression"] == technique]
            curves.draw_reach(axis, looks, own, height + offset)
    panels.log_axis(axis.xaxis, 1, curves.right_end(found))
    axis.set_xlabel("compression at equal accuracy\n(parameters / non-zero parameters left)")
    return figure, [*looks.legend(found, "compression"), curves.bound_handle()]
