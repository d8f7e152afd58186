"""The parts of plugins' descriptions that reach jobs, as parameters of their rules.

They cover only the plugins in the study, so a new plugin changes no parameter.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from dlas import registry
from dlas.config import Config
from dlas.plugins import TechniquePlugin
from dlas.study import grid, pipelines

# Properties of a plugin or platform that figures and pages show, if it has them.
SHOWN = ("label", "order", "sparse", "colour", "marker", "edge", "fill", "line")
Words = dict[str, dict[str, dict[str, Any]]]


def words(config: Config, **_: str) -> Words:
    """Return the shown properties by kind and name, for the rows of study.csv and peers.csv."""
    chosen = config.study
    formats = [
        name
        for name in chosen.formats
        if any(pipelines.stores(config, name, compression) for compression in chosen.compression)
    ]
    return {
        "platform": _platforms(config, chosen.platforms),
        "dataset": described("dataset", chosen.datasets),
        "model": described("model", (name for _, name in grid.pairs(config))),
        "compression": _compressions(config, chosen.compression),
        "primitive": described("primitive", chosen.primitives),
        "format": described("format", formats),
        "tuning": described("tuning", chosen.tuning),
        "runtime": described("runtime", chosen.peers),
    }


def words_of_curves(config: Config, **_: str) -> Words:
    """Return the shown properties by kind and name, for the rows of accuracy_curves.csv."""
    return _words_of(config, grid.every_network(config))


def words_of_tuning(config: Config, **_: str) -> Words:
    """Return the shown properties by kind and name, for the rows of tuning_curves.csv."""
    return _words_of(config, grid.tunings_shown(config))


def _words_of(config: Config, rows: Iterable[Mapping[str, str]]) -> Words:
    names: dict[str, set[str]] = {}
    for row in rows:
        for kind, name in row.items():
            names.setdefault(kind, set()).add(name)
    of_config = {"platform": _platforms, "compression": _compressions}
    return {
        kind: of_config[kind](config, found) if kind in of_config else described(kind, found)  # type: ignore[arg-type]
        for kind, found in names.items()
    }


def _platforms(config: Config, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    return {name: _shown(vars(config.platforms[name])) for name in names}


def _compressions(config: Config, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the shown properties of compressions, with their "steps"."""
    return {name: _compression(config, name) for name in names}


def _compression(config: Config, name: str) -> dict[str, Any]:
    steps = pipelines.steps(config, name)
    every = [registry.describe("compression", step) for step in steps]
    shown = _shown(vars(every[0])) if steps == [name] else _pipeline(config, name, every)
    return shown | {"sparse": pipelines.sparse(config, name), "steps": steps}


def _pipeline(config: Config, name: str, steps: list[TechniquePlugin]) -> dict[str, Any]:
    last = max(each.order for each in registry.all_of("compression").values())
    label = ", ".join(step.label for step in steps)
    alike = [pipelines.steps(config, other) for other in pipelines.names(config)]
    # Compressions with the same steps differ in settings; their names distinguish them.
    if alike.count(pipelines.steps(config, name)) > 1:
        label = f"{label} ({name})"
    # Pipelines come behind all techniques, in the order of the config.
    place = list(config.compression.pipelines).index(name)
    return {"label": label, "order": last + 1 + place}


def described(kind: registry.Kind, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the shown properties of plugins by name; none for a name without a plugin."""
    plugins = registry.all_of(kind)
    return {name: _shown(vars(plugins[name]) if name in plugins else {}) for name in names}


def _shown(description: Mapping[str, Any]) -> dict[str, Any]:
    return {name: description[name] for name in SHOWN if description.get(name) is not None}


def groups(config: Config, **_: str) -> dict[str, str]:
    """Return the group of each model that has one, see `dlas.plugins.ModelPlugin`."""
    found = {name: registry.describe("model", name).group for _, name in grid.pairs(config)}
    return {name: group for name, group in found.items() if group}


def steps(config: Config, **_: str) -> dict[str, list[str]]:
    """Return the techniques of each compression in the study, in their order."""
    return {name: pipelines.steps(config, name) for name in config.study.compression}


def claim(config: Config, number: str, **_: str) -> dict[str, str]:
    """Return the claim of an observation and its origin: {"claim": ..., "origin": ...}."""
    described = registry.describe("observation", config.observations[number])
    return {"claim": described.label, "origin": described.origin}


def claims(config: Config, **_: str) -> dict[str, dict[str, str]]:
    """Return the `claim` of each observation, by its number."""
    return {number: claim(config, number) for number in config.observations}
