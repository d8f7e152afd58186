"""An estimate as text and as JSON, and the rates of a finished study of the user."""

import csv
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.estimate.demand import Network
from benchmarks.estimate.rates import Rates
from benchmarks.estimate.stages import Finished, Stage, dominating, total

# The time of BY_LAYER depends only on the number of layers. That of FIXED depends on no config key.
BY_LAYER = ("import_network", "export_network", "build_libraries")
FIXED = (
    *(
        "choose_level",
        "resolve_target",
        "probe_platform",
        "tabulate_study",
        "trace_rows",
        "tabulate_curves",
        "tabulate_answers",
    ),
    *("tabulate_tuning", "assess_observation", "draw_observation", "draw_overview", "draw_curves"),
    *("draw_tuning", "tabulate_observations", "tabulate_summary", "recommend", "draw_pareto"),
    "draw_roofline",
    "draw_explorer",
    "summarize_statuses",
)


def finished(results: Path, networks: Mapping[str, Network], rates: Rates) -> Finished:
    """Return the rates of a finished study; none if it has no benchmark files.

    Parameters
    ----------
    results : Path
        The study's results, with Snakemake's benchmark files in the folder `benchmarks`.
    networks : mapping of str to Network
        The networks of the estimated study.
    rates : Rates
        Rates measured on this machine, for the start of jobs.
    """
    taken: dict[str, list[tuple[Path, float]]] = defaultdict(list)
    folder = results / "benchmarks"
    for file in sorted(folder.rglob("*.tsv")):
        rule = file.relative_to(folder).parts[0].removesuffix(".tsv").removesuffix("_remotely")
        with open(file) as lines:
            for row in csv.DictReader(lines, delimiter="\t"):
                taken[rule].append((file, float(row["s"])))
    layers = {network.model: network.layers for network in networks.values()}
    by_layer = {}
    for rule in BY_LAYER:
        known = [
            (layers[job.parts[1]] * _libraries(results, job, rule), seconds)
            for file, seconds in taken[rule]
            if (job := file.relative_to(folder / rule).with_suffix("")).parts[1] in layers
        ]
        start = rates.start[
            {"import_network": "importing", "export_network": "exporting"}.get(rule, "compiling")
        ]
        if known:
            spent = sum(seconds for _, seconds in known) - start * len(known)
            by_layer[rule] = max(0.0, spent) / max(1, sum(count for count, _ in known))
    searches: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for file, seconds in taken["tune_network"]:
        curve = results / "tuning" / file.relative_to(folder / "tune_network").with_suffix(".csv")
        if curve.is_file():
            searches[file.stem].append((seconds, len(curve.read_text().splitlines()) - 1))
    return Finished(
        {
            rule: sum(seconds for _, seconds in taken[rule]) / len(taken[rule])
            for rule in FIXED
            if taken[rule]
        },
        by_layer,
        {
            way: sum(seconds for seconds, _ in found) / measured
            for way, found in searches.items()
            if (measured := sum(count for _, count in found))
        },
    )


def _libraries(results: Path, job: Path, rule: str) -> int:
    """Return the number of libraries that a job compiled; 1 for a rule that compiles none."""
    builds = (results / "builds" / job).with_suffix(".json")
    if rule != "build_libraries":
        return 1
    return len(json.loads(builds.read_text())) if builds.is_file() else 0


def duration(seconds: float) -> str:
    """Return a duration in a suitable unit."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def size(number: float) -> str:
    """Return bytes in a suitable unit; an empty text for 0."""
    for unit, each in (("GB", 1e9), ("MB", 1e6)):
        if number >= 0.95 * each:
            return f"{number / each:.1f} {unit}"
    return f"{number / 1e3:.0f} kB" if number else ""


def text(
    found: Sequence[Stage], networks: Mapping[str, Network], cores: int, notes: Sequence[str]
) -> str:
    """Return the networks, the stages, their sum, the dominating stage and the notes as text."""
    whole = total(found, cores)
    rows = [
        {
            "stage": stage.rule,
            "jobs": stage.jobs,
            "job time": duration(stage.seconds),
            "wall time": duration(stage.wall(cores)),
            "share": f"{100 * stage.wall(cores) / whole:.0f} %" if whole else "",
            "runs": "alone" if stage.exclusive else "side by side",
            "disk": size(stage.disk),
            "memory": size(stage.memory),
        }
        for stage in found
    ]
    listed = [
        {
            "network": network.name,
            "images": network.images.train,
            "pixels": network.images.size,
            "parameters, M": f"{network.parameters / 1e6:.2f}",
            "MACs, M": f"{network.macs / 1e6:.1f}",
            "layers": network.layers,
        }
        for network in networks.values()
    ]
    longest = dominating(found, cores)
    share = 100 * longest.wall(cores) / whole
    memory = max(stage.memory * (1 if stage.exclusive else cores) for stage in found)
    return "\n".join(
        [
            pd.DataFrame(listed).to_string(index=False),
            "",
            pd.DataFrame(rows).to_string(index=False),
            "",
            f"dominated by {longest.rule}: {duration(longest.wall(cores))}, {share:.0f} % of the "
            f"wall time",
            f"total: {sum(stage.jobs for stage in found)} jobs, {duration(whole)} on {cores} "
            f"cores, "
            f"{size(sum(stage.disk for stage in found))} of disk, "
            f"up to {size(memory)} of memory with {cores} jobs side by side",
            *notes,
        ]
    )


def as_json(
    found: Sequence[Stage],
    networks: Mapping[str, Network],
    cores: int,
    rates: Rates,
    notes: Sequence[str],
) -> dict[str, Any]:
    """Return the estimate as plain data, in seconds and bytes."""
    return {
        "cores": cores,
        "wall_seconds": total(found, cores),
        "dominating": dominating(found, cores).rule,
        "stages": [asdict(stage) | {"wall_seconds": stage.wall(cores)} for stage in found],
        "networks": [asdict(network) for network in networks.values()],
        "rates": asdict(rates),
        "notes": list(notes),
    }


def loaded(content: str) -> list[Stage]:
    """Return the stages of an estimate from its JSON."""
    stages = json.loads(content)["stages"]
    return [
        Stage(**{name: value for name, value in each.items() if name != "wall_seconds"})
        for each in stages
    ]
