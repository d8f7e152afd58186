"""Auto-scheduling unscheduled code can significantly alter which primitive is best.

A network (model, compression, format) on a platform has a fastest primitive before a search for
schedules and one after it. A difference means nothing if two primitives are about equally fast. So
the effect is the cost of one primitive for both ways, see `dlas.analysis.winners`. The claim needs
one network on which this clearly costs something.

The claim is on a search without a template, from unscheduled to auto-scheduled code. The search
with a template, from untuned to auto-tuned code, is judged too and reported beside it. See RULE.
"""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dlas.analysis import judging, marks, panels, winners
from dlas.analysis.columns import LATENCY, STORED
from dlas.analysis.contrasts import CONTRASTS, Contrast, judged, retimed
from dlas.analysis.observation import (
    Observation,
    Tables,
    distinct_names,
    floors,
    needs,
    timed,
)
from dlas.analysis.style import Looks
from dlas.plugins import ObservationPlugin

PLUGIN = ObservationPlugin(
    label="auto-scheduling unscheduled code can significantly alter which primitive is best for a "
    "configuration",
    order=6,
    origin="abstract",
    layer="5 Systems software",
)

RULE_VERSION = 3
RULE = f"""
Networks: each model, compression and format on a platform with every primitive measured unscheduled
and auto-scheduled. Loss of a primitive: the largest factor by which another one is faster, either
way, in paired samples. A network's loss is that of the primitive that loses least: it is 1 where
one primitive is the fastest both ways. The limits of all networks hold at once (family-wise 95 %).
Threshold: {winners.COUNTS}x, or the A/A noise floor if that is more. Supported: the interval of
some network lies above its threshold, so that the best primitive changes. Contradicted: all lie
below {winners.COUNTS}x, and so do the noise floors. Inconclusive otherwise. For other networks: the
exact interval of the share of models on which it clearly changes; yes above {judging.COMMON:.0%},
no below. Networks measured untuned and auto-tuned are judged by the same rule and reported beside
it, without a part in the verdict.
"""
READING = """
A panel is a platform, a row a network with its compression and format, a shape a primitive, a fill
a way to schedule. The upper marks of a row are unscheduled, the lower ones auto-scheduled, in the
lower panels untuned and auto-tuned; each is the latency over that of the fastest primitive of the
same way, with its 95 % interval, on a logarithmic axis. A line joins the two marks of a primitive:
where lines cross, the search changes the order. The fastest of each way is named at the right, bold
where the change is clear.
"""
DATA = """
results/study.csv: networks of which every primitive was measured unscheduled and auto-scheduled, or
untuned and auto-tuned. results/noise_floor.csv: the largest noise floor of each platform and data
set.
"""
STATISTIC = "what one primitive for both ways to schedule costs, on the network where it costs most"
# Offsets of the marks of both ways from the middle of a network's row.
STEPS = (0.2, -0.2)


Networks = dict[tuple[str, ...], winners.Latencies]


def networks(rows: pd.DataFrame, primitives: list[str], contrast: Contrast) -> Networks:
    """Return the latencies of the networks that were measured both ways with every primitive.

    Parameters
    ----------
    rows : DataFrame
        Rows of `observation.timed`.
    primitives : list of str
        All primitives of the study.
    contrast : Contrast
        The two ways to schedule.

    Returns
    -------
    dict of tuple to Latencies
        The latencies of each network by way; its key has the values of STORED.
    """
    columns = [*LATENCY, "row"]
    return {
        network: {
            way: group.loc[
                primitives, [*(f"{name}{suffix}" for name in columns), "status"]
            ].set_axis([*columns, "status"], axis=1)
            for way, suffix in zip(contrast.ways, ("", "_after"), strict=True)
        }
        for network, group in retimed(rows, contrast).set_index("primitive").groupby(STORED)
        if set(group.index) == set(primitives) and len(primitives) > 1
    }


def observe(tables: Tables) -> Observation:
    """Return the verdict under RULE.

    Returns
    -------
    Observation
        The evidence has one row for each network and contrast, see `winners.changes`. `first` and
        `last` are the fastest primitives before and after the search.
    """
    primitives, rows = sorted(set(tables.study["primitive"])), timed(tables)
    found = {contrast: networks(rows, primitives, contrast) for contrast in CONTRASTS}
    latencies = [
        winners.table(own, STORED, "tuning").assign(contrast=str(contrast))
        for contrast, own in found.items()
    ]
    return judged(lambda contrast: _verdict(found[contrast], tables, contrast)).showing(
        latencies=pd.concat(
            [table for table in latencies if len(table)] or latencies[:1], ignore_index=True
        ),
        platform=distinct_names(tables.study, "platform"),
        primitive=distinct_names(tables.study, "primitive"),
    )


def _verdict(found: Networks, tables: Tables, contrast: Contrast) -> Observation:
    floor = floors(tables.noise_floor)
    complete = {place: latencies for place, latencies in found.items() if place[:2] in floor}
    if not complete:
        return needs(
            f"a network measured `{contrast.before}` and `{contrast.after}` with every primitive",
            STATISTIC,
        )
    evidence = winners.changes(complete, STORED, tables.rounds, floor)
    best = [winners.fastest(latencies) for latencies in complete.values()]
    evidence["first"], evidence["last"] = ([one[way] for one in best] for way in contrast.ways)
    verdict, loss = winners.judge(evidence)
    reason = winners.in_words(evidence, "changes")
    top = evidence.loc[evidence["loss"].idxmax()]
    reason += (
        f"; most on `{top['model']}`, `{top['dataset']}` (`{top['compression']}`, "
        f"`{top['format']}`) on `{top['platform']}`: fastest is `{top['first']}` "
        f"`{contrast.before}` and `{top['last']}` `{contrast.after}`, and one for both costs "
        f"{top['loss']:.2f} [{top['low']:.2f}, {top['high']:.2f}]"
    )
    return Observation(
        verdict,
        reason,
        STATISTIC,
        *loss,
        n=len(evidence),
        others=winners.for_others(evidence),
        evidence=evidence,
    )


def draw(observation: Observation, looks: Looks) -> tuple[Figure, list[Line2D]]:
    """Return the figure of each primitive's latency over the lowest of its way to schedule.

    A contrast is a line of panels. In a row, the marks before the search stand above those after
    it. Lines join the two marks of a primitive: where they cross, the order changes. The fastest
    ones are named at the right, bold where the network changes clearly.
    """
    shown = observation.shown["latencies"]
    platforms = looks.ordered("platform", observation.names("platform"))
    if shown.empty:
        text = "no network was measured before and after a search with every primitive"
        return panels.empty(looks, platforms, text)
    sections = {
        contrast: own
        for contrast in CONTRASTS
        for own in [shown[shown["contrast"] == str(contrast)]]
        if len(own)
    }
    figure, axes, heights = panels.network_sections(
        looks, platforms, [(own, 0.33) for own in sections.values()]
    )
    clear = winners.changing(observation.evidence, ["contrast", *STORED])
    for line, places, (contrast, own) in zip(axes, heights, sections.items(), strict=True):
        limits = [0.95, 1.2]
        for axis, platform in zip(line, platforms, strict=True):
            panels.set_title(axis, looks, platform, contrast.ways)
            here = own[own["platform"] == platform]
            for place, height in places.items():
                at = dict(zip(contrast.ways, (height + step for step in STEPS), strict=True))
                rows = here[panels.at(here, *place)]
                if rows.empty:
                    marks.absent(axis, height, "not searched")
                for network, latencies in winners.by_network(rows, STORED, "tuning").items():
                    colour = looks.colour(network[STORED.index("compression")])
                    styles = {
                        way: {"color": colour, "fillstyle": looks.fill(way)} for way in latencies
                    }
                    changes = (str(contrast), *network) in clear
                    ends = winners.draw(axis, looks, latencies, at, styles, colour, changes)
                    limits = [min(limits[0], ends[0]), max(limits[1], ends[1])]
        winners.scale(line, limits, "latency / fastest of the same way")
    return figure, [
        *looks.handles("primitive", looks.ordered("primitive", observation.names("primitive"))),
        *looks.legend(shown, "tuning", "status"),
    ]
