"""The parts of a config that rules depend on, as plain values for jobs."""

from collections.abc import Mapping
from typing import Any

from dlas import registry
from dlas.config import DOWNLOAD, PUBLISHED, TRAIN, Config, Section
from dlas.errors import unknown
from dlas.study import pipelines
from dlas.study.grid import compiled, measured_platforms, peers, timed_together

Settings = dict[str, Any]


def value(config: Config, key: str) -> Any:
    """Return the value at a dotted key."""
    found: Any = config
    for part in key.split("."):
        found = found[part] if isinstance(found, Mapping) else getattr(found, part)
    return found.plain() if isinstance(found, Section) else found


def canonical(value: Any) -> Any:
    """Return a canonical form that is the same for equal values: keys sorted, 1 for 1.0."""
    if isinstance(value, Mapping):
        return {key: canonical(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def downloads(config: Config) -> list[str]:
    """Return the data sets whose archive is downloaded."""
    return sorted(
        name for name, settings in config.datasets.items() if settings.get("source") == DOWNLOAD
    )


def preparation(config: Config, dataset: str, **_: str) -> Settings:
    """Return the settings of a data set, without the mirrors and checksum of its archive."""
    settings = config.datasets[dataset]
    return {key: value for key, value in settings.items() if key not in ("mirrors", "sha256")}


def preparing_threads(dataset: str) -> int:
    """Return the most threads that prepare a data set."""
    return registry.describe("dataset", dataset).threads


def stem(config: Config, dataset: str, **_: str) -> str:
    """Return the kind of first layers that networks have for a data set."""
    return registry.describe("dataset", dataset).stem


def recipe(config: Config, dataset: str, model: str) -> Settings:
    """Return the training recipe of a model: its data set's, with the model's changes.

    The keys are the fields of `dlas.models.training.Recipe`.
    """
    shared = {"device": config.models.device, "processes": config.models.processes}
    return shared | _of_model(config.models.training[dataset], model)


def fine_tuning(config: Config, compression: str, dataset: str, model: str, **_: str) -> Settings:
    """Return the fine-tuning recipe of a model: its training recipe with changes.

    Levels of a ladder are fine-tuned, and networks whose last step has `epochs`. Others have the
    training recipe.
    """
    common = recipe(config, dataset, model)
    epochs = pipelines.settings(config, compression).get("epochs", 0)
    if not pipelines.own_levels(config, compression) and not epochs:
        return common
    tuned = common | _of_model(config.compression.fine_tuning.get(dataset, {}), model)
    return tuned | ({"epochs": epochs} if epochs else {})


def _of_model(common: Settings, model: str) -> Settings:
    shared = {key: value for key, value in common.items() if key != "models"}
    return shared | common.get("models", {}).get(model, {})


def gpus(config: Config) -> int:
    """Return the number of GPUs that one training takes."""
    return config.models.processes if config.models.device == "cuda" else 0


def weights(config: Config, dataset: str, model: str, **_: str) -> str:
    """Return the source of a model's weights: TRAIN, PUBLISHED, or the path of a file."""
    return config.models.weights.get(dataset, {}).get(model, TRAIN)


def from_torchvision(config: Config, dataset: str, model: str, **_: str) -> bool:
    """Return whether a model has torchvision's published weights."""
    return weights(config, dataset, model) == PUBLISHED


def untrained(config: Config) -> list[tuple[str, str]]:
    """Return every (dataset, model) that is not trained here, in the study or not."""
    return sorted(
        (dataset, model)
        for dataset, models in config.models.weights.items()
        for model, source in models.items()
        if source != TRAIN
    )


def published(config: Config, model: str, **_: str) -> str:
    """Return torchvision's name for a model's published weights; raise StudyError without any."""
    names = {name: registry.describe("model", name).weights for name in registry.names("model")}
    if not names.get(model):
        having = [name for name, weights in names.items() if weights]
        raise unknown(f"model with {PUBLISHED} weights", model, having)
    return names[model]


def technique(config: Config, compression: str, **_: str) -> Settings:
    """Return the last step's settings without levels: a level does not depend on the others."""
    settings = pipelines.settings(config, compression)
    return {key: value for key, value in settings.items() if key != "levels"}


def has_ladder(config: Config, compression: str, **_: str) -> bool:
    """Return whether the last step has a ladder of levels."""
    return bool(pipelines.own_levels(config, compression))


def start_steps(config: Config, compression: str, level: str, **_: str) -> list[str]:
    """Return the techniques that made the network at the start of a level."""
    return pipelines.start(config, compression, level).steps


def tolerance(config: Config, compression: str, **_: str) -> float:
    """Return the points of validation top-1 that the chosen level may lose; 0 if none is chosen."""
    chosen = pipelines.levels(config, compression) != [pipelines.SINGLE]
    return config.compression.tolerance if chosen else 0.0


def give_up(config: Config, compression: str, level: str, **_: str) -> float | None:
    """Return the points that the previous level may have lost; None without a previous level."""
    first = pipelines.previous(config, compression, level) is None
    return None if first else config.compression.give_up


def check(config: Config, compression: str, **_: str) -> Settings:
    """Return the tolerances of a compression's libraries against the framework, for its dtype."""
    settings, kind = config.compiler.check, pipelines.dtype(config, compression)
    return {
        "tolerance": getattr(settings.tolerance, kind),
        "top1_tolerance": getattr(settings.top1_tolerance, kind),
    }


def tuning(config: Config, tuning: str, **_: str) -> Settings:
    """Return the settings of a way to schedule, without the selected configurations."""
    settings = config.tuning.plain("select")
    return settings | {"trials": settings["trials"].get(tuning, {})}


def platform(config: Config, platform: str, **_: str) -> Settings:
    """Return a platform's settings without its label, timing, models and number of boards."""
    return measured_platforms(config)[platform].plain("label", "timing", "models", "boards")


def compiled_for(config: Config, platform: str, **_: str) -> Settings:
    """Return the settings that determine a platform's target."""
    settings = config.platforms[platform].plain()
    return {key: settings[key] for key in settings if key in ("target", "threads", "host")}


def linker(config: Config, platform: str, **_: str) -> list[str]:
    """Return the words of a platform's linker command; empty for the default one."""
    return measured_platforms(config)[platform].linker or []


def library_modules(config: Config, **wildcards: str) -> list[str]:
    """Return the modules of the primitives, formats and tunings of a network's libraries."""
    kinds: tuple[registry.Kind, ...] = ("primitive", "format", "tuning")
    found = compiled(config, **wildcards)
    return sorted(
        {registry.module_name(kind, getattr(one, kind)) for one in found for kind in kinds}
    )


def runtimes(config: Config, **wildcards: str) -> list[str]:
    """Return the modules of the peer runtimes in the timing of a model on a machine."""
    found = {name for each in timed_together(config, **wildcards) for name in peers(config, each)}
    return sorted(registry.module_name("runtime", name) for name in found)


def connection(config: Config, platform: str = "", machine: str = "", **_: str) -> str:
    """Return the module of a platform's or machine's connection, or the package without one."""
    reached = measured_platforms(config)[platform or machine].connection or {}
    kinds = [kind for kind in registry.names("connection") if kind in reached]
    return ".".join(["dlas.hardware.connections", *kinds])


def boards(config: Config) -> dict[str, str]:
    """Return the name of the boards of each platform with a connection.

    Platforms with the same connection share their boards, named after the first platform: a CPU and
    a GPU may be on one board.
    """
    first: dict[str, str] = {}
    found = {}
    for name, platform in sorted(measured_platforms(config).items()):
        if platform.connection:
            reached = {
                key: platform.connection[key] for key in platform.connection if key != "timeout_s"
            }
            found[name] = first.setdefault(str(canonical(reached)), name)
    return found


def board_counts(config: Config) -> dict[str, int]:
    """Return the number of boards by their name, which limits the jobs that use them at a time."""
    counts: dict[str, int] = {}
    for name, board in boards(config).items():
        counts[board] = max(counts.get(board, 1), measured_platforms(config)[name].boards)
    return counts


def top1_floors(config: Config, **_: str) -> dict[str, float]:
    """Return the lowest top-1, in percent, of a recommended configuration, for each data set."""
    floors = config.recommendation.top1_floor
    return {dataset: floors[dataset] for dataset in config.study.datasets}


def observation_module(config: Config, number: str) -> str:
    """Return the module of an observation's number."""
    return registry.module_name("observation", config.observations[number])


def observation_modules(config: Config, **_: str) -> list[str]:
    """Return the modules of all observations."""
    return sorted({observation_module(config, number) for number in config.observations})


def observation_category(config: Config, number: str) -> str:
    """Return the place of an observation in the report, one of `dlas.plugins.LAYERS`."""
    return registry.describe("observation", config.observations[number]).layer


def observation_label(config: Config, number: str) -> str:
    """Return an observation's name in the report: its number and its claim."""
    claim = registry.describe("observation", config.observations[number]).label
    return f"Observation {number}: {claim}"
