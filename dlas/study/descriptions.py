"""What jobs learn of the plugins' descriptions: plain values, which reach them as parameters of their rules.

Only what takes part in the study is returned, so that another plugin changes no parameter.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from dlas import registry
from dlas.config import Config

SHOWN = ("label", "order", "sparse", "colour", "marker", "edge", "fill", "line")


def words(config: Config, **_: str) -> dict[str, dict[str, dict[str, Any]]]:
    """Return for each kind and name what figures, pages and captions show of a method: see SHOWN."""
    study = config.study
    return {
        "platform": {name: _shown(vars(config.platforms[name])) for name in study.platforms},
        "dataset": described("dataset", study.datasets),
        "model": described("model", _models(config)),
        "compression": described("compression", study.compression),
        "primitive": described("primitive", study.primitives),
        "format": described("format", study.formats),
        "tuning": described("tuning", study.tuning),
        "runtime": described("runtime", study.peers),
    }


def _models(config: Config) -> set[str]:
    study = config.study
    return {name for dataset in study.datasets for name in study.models[dataset]}


def described(kind: registry.Kind, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return what is shown of methods; one without a plugin of its own is called by its name."""
    plugins = registry.all_of(kind)
    return {name: _shown(vars(plugins[name]) if name in plugins else {}) for name in names}


def _shown(described: Mapping[str, Any]) -> dict[str, Any]:
    return {name: described[name] for name in SHOWN if described.get(name) is not None}


def groups(config: Config, **_: str) -> dict[str, str]:
    """Return the group of each model that is in one, see `dlas.plugins.ModelPlugin`."""
    found = {name: registry.describe("model", name).group for name in _models(config)}
    return {name: group for name, group in found.items() if group}


def claim(config: Config, number: str, **_: str) -> dict[str, str]:
    """Return what an observation claims and where the claim comes from: {"claim": ..., "origin": ...}."""
    described = registry.describe("observation", config.observations[number])
    return {"claim": described.label, "origin": described.origin}


def claims(config: Config, **_: str) -> dict[str, dict[str, str]]:
    """Return the `claim` of each observation, by its number."""
    return {number: claim(config, number) for number in config.observations}
