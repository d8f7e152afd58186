"""Compressions: a single technique, or a pipeline of techniques that are applied in turn.

A compression has the ladder of its last technique with levels. If that is the last step, the ladder
starts from the network that the previous steps chose. If it is an earlier step, the last step is
applied to every level of the previous steps, and the level is chosen again.
"""

from typing import Any, NamedTuple

from dlas import registry
from dlas.config import Config
from dlas.errors import unknown

# The baseline of all techniques.
BASELINE = "none"
# The only level of a compression without a ladder.
SINGLE = "single"
# The level without the technique that has the ladder.
UNPRUNED = "0"


class Start(NamedTuple):
    """The network that a level of a compression starts from.

    Attributes
    ----------
    artifact : str
        The name of its path.
    choices : dict of str to str
        The choices in the path that differ from the level's.
    steps : list of str
        The techniques that made it; empty for the trained network.
    """

    artifact: str
    choices: dict[str, str]
    steps: list[str]


def names(config: Config) -> list[str]:
    """Return the names of all techniques and pipelines."""
    return [*registry.names("compression"), *config.compression.pipelines]


def steps(config: Config, compression: str, **_: str) -> list[str]:
    """Return a compression's techniques in order; raise StudyError for an unknown one."""
    if compression in config.compression.pipelines:
        return [_technique(step) for step in config.compression.pipelines[compression]]
    if compression not in registry.names("compression"):
        raise unknown("compression", compression, names(config))
    return [compression]


def _technique(step: str | dict[str, Any]) -> str:
    return step if isinstance(step, str) else next(iter(step))


def settings(config: Config, compression: str) -> dict[str, Any]:
    """Return the settings of the last step: its technique's, changed by the pipeline's."""
    last = config.compression.pipelines.get(compression, [compression])[-1]
    changes = {} if isinstance(last, str) else last[_technique(last)]
    return {**config.compression.techniques.get(_technique(last), {}), **changes}


def parent(config: Config, compression: str) -> str | None:
    """Return the compression of all steps but the last; None for a single technique.

    Raises
    ------
    StudyError
        If no compression has these steps, so no network could be shared with it.
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
    """Return whether a step of a pipeline has changed settings."""
    return any(
        not isinstance(step, str) for step in config.compression.pipelines.get(compression, [])
    )


def levels(config: Config, compression: str, **_: str) -> list[str]:
    """Return the levels of a compression as in paths, weakest first: "0.8", or only "single"."""
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
    """Return a level of a ladder as in paths."""
    return f"{level:g}"


def previous(config: Config, compression: str, level: str, **_: str) -> str | None:
    """Return the ladder's previous level, whose network a level compresses further.

    Parameters
    ----------
    config, compression, level
        As in `start`.

    Returns
    -------
    str or None
        None for the first level, and if the last step has no ladder.

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
    """Return the network that a level starts from.

    Parameters
    ----------
    config : Config
        The config.
    compression : str
        A technique or pipeline.
    level : str
        The level as in paths, see `levels`.

    Raises
    ------
    StudyError
        For a level that the compression does not have.
    """
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
    """Return the network at level 0 of a compression: the start of its ladder."""
    return start(config, compression, levels(config, compression)[0])


def dtype(config: Config, compression: str, **_: str) -> str:
    """Return the type that the networks of a compression compute in."""
    kinds = [registry.describe("compression", step).dtype for step in steps(config, compression)]
    return next((kind for kind in kinds if kind != "float32"), "float32")


def sparse(config: Config, compression: str) -> bool:
    """Return whether a compression creates zero weights."""
    return any(registry.describe("compression", step).sparse for step in steps(config, compression))


def stores(config: Config, format_: str, compression: str) -> bool:
    """Return whether a compression is compiled in a format; sparse formats need zeros."""
    stored = registry.describe("format", format_)
    made = [registry.describe("compression", step) for step in steps(config, compression)]
    blocks = [step.block for step in made if step.sparse]
    return not stored.sparse or (bool(blocks) and min(blocks) % stored.block == 0)


def modules(config: Config, compression: str, **_: str) -> list[str]:
    """Return the modules of a compression's techniques."""
    return [registry.module_name("compression", step) for step in steps(config, compression)]
