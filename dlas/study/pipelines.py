"""Compressions: a technique alone, or a pipeline of techniques, each applied to the network of the one before.

A compression has the ladder of levels of its last technique that has one. Where that is the last
step, the ladder starts from the network that the steps before chose. Where it is an earlier one,
the last step is applied to every level of the steps before, and the level is chosen again.
"""

from typing import Any, NamedTuple

from dlas import registry
from dlas.config import Config
from dlas.errors import unknown

# The technique that all others are compared with.
BASELINE = "none"
# The one level of a compression without a ladder.
SINGLE = "single"
# The level at which the technique that has the ladder is left out.
UNPRUNED = "0"


class Start(NamedTuple):
    """What a level of a compression starts from.

    `artifact` is the name of its path, `choices` are those that differ from the level's own, and
    `steps` the techniques that made it, none for the trained network.
    """

    artifact: str
    choices: dict[str, str]
    steps: list[str]


def names(config: Config) -> list[str]:
    """Return the names of all techniques and pipelines."""
    return [*registry.names("compression"), *config.compression.pipelines]


def steps(config: Config, compression: str, **_: str) -> list[str]:
    """Return the techniques of a compression in their order; raise StudyError for an unknown compression."""
    if compression in config.compression.pipelines:
        return [_technique(step) for step in config.compression.pipelines[compression]]
    if compression not in registry.names("compression"):
        raise unknown("compression", compression, names(config))
    return [compression]


def _technique(step: str | dict[str, Any]) -> str:
    return step if isinstance(step, str) else next(iter(step))


def settings(config: Config, compression: str) -> dict[str, Any]:
    """Return the settings of the last step: those of its technique, and what the pipeline does differently."""
    last = config.compression.pipelines.get(compression, [compression])[-1]
    changes = {} if isinstance(last, str) else last[_technique(last)]
    return {**config.compression.techniques.get(_technique(last), {}), **changes}


def parent(config: Config, compression: str) -> str | None:
    """Return the compression of all steps but the last; None for a technique alone.

    Raises
    ------
    StudyError
        If there is none, so that no network would be shared with it.
    """
    before = steps(config, compression)[:-1]
    if not before:
        return None
    plain = {name: steps(config, name) for name in names(config) if not _changes(config, name)}
    found = [name for name in plain if plain[name] == before]
    if not found:
        raise unknown("pipeline with the steps", ", ".join(before), plain)
    return found[0]


def _changes(config: Config, compression: str) -> bool:
    """Return whether a pipeline has settings of its own."""
    return any(
        not isinstance(step, str) for step in config.compression.pipelines.get(compression, [])
    )


def levels(config: Config, compression: str, **_: str) -> list[str]:
    """Return the levels of a compression as they stand in paths, the weakest first: "0.8", or "single" alone."""
    ladder = own_levels(config, compression)
    before = parent(config, compression)
    if ladder or before is None:
        return ladder or [SINGLE]
    inherited = levels(config, before)
    return inherited if UNPRUNED in inherited or inherited == [SINGLE] else [UNPRUNED, *inherited]


def own_levels(config: Config, compression: str) -> list[str]:
    """Return the levels of the last step alone."""
    return [level_name(level) for level in settings(config, compression).get("levels", [])]


def level_name(level: float) -> str:
    """Return a level of a ladder as it stands in paths."""
    return f"{level:g}"


def previous(config: Config, compression: str, level: str, **_: str) -> str | None:
    """Return the level that a level is a further step of; None for the first, and without a ladder in the last step.

    Raises
    ------
    StudyError
        For a level that the compression does not have.
    """
    every = levels(config, compression)
    if level not in every:
        raise unknown(f"level of {compression}", level, every)
    if not own_levels(config, compression) or level == every[0]:
        return None
    return every[every.index(level) - 1]


def start(config: Config, compression: str, level: str, **_: str) -> Start:
    """Return what a level starts from; raise StudyError for a level that the compression does not have."""
    before, weaker = parent(config, compression), previous(config, compression, level)
    if weaker is not None:
        return Start("compressed", {"level": weaker}, steps(config, compression))
    if before is None:
        return Start("checkpoint", {}, [])
    if own_levels(config, compression):
        return Start("chosen", {"compression": before}, steps(config, before))
    if level == UNPRUNED and level not in levels(config, before):
        return unpruned(config, before)
    return Start("compressed", {"compression": before}, steps(config, before))


def unpruned(config: Config, compression: str) -> Start:
    """Return the network at level 0 of a compression whose last step has a ladder: what that starts from."""
    return start(config, compression, levels(config, compression)[0])


def dtype(config: Config, compression: str, **_: str) -> str:
    """Return the type that the networks of a compression compute in."""
    kinds = [registry.describe("compression", step).dtype for step in steps(config, compression)]
    return next((kind for kind in kinds if kind != "float32"), "float32")


def sparse(config: Config, compression: str) -> bool:
    """Return whether a compression makes weights zero."""
    return any(registry.describe("compression", step).sparse for step in steps(config, compression))


def stores(config: Config, format_: str, compression: str) -> bool:
    """Return whether a compression is compiled in a format: sparse ones are for the zeros that it makes."""
    stored = registry.describe("format", format_)
    made = [registry.describe("compression", step) for step in steps(config, compression)]
    blocks = [step.block for step in made if step.sparse]
    return not stored.sparse or (bool(blocks) and min(blocks) % stored.block == 0)


def modules(config: Config, compression: str, **_: str) -> list[str]:
    """Return the modules of the techniques of a compression."""
    return [registry.module_name("compression", step) for step in steps(config, compression)]
