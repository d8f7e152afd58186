"""What a configuration of the study is, and which ones a config asks for.

The study varies one choice on every layer of the stack; a configuration is one choice on each.
"""

from dataclasses import dataclass

from dlas import registry
from dlas.config import BundledPlatform, Config, Platform
from dlas.errors import StudyError
from dlas.study.pipelines import stores

# The way to schedule that is for all configurations.
UNTUNED = "untuned"


@dataclass(frozen=True, order=True)
class Configuration:
    """One choice on every layer of the stack."""

    dataset: str
    model: str
    compression: str
    primitive: str
    format: str
    tuning: str
    platform: str


def configurations(config: Config, **choices: str) -> list[Configuration]:
    """Return the configurations that the config asks for and that agree with `choices`, in a canonical order.

    Each is a row of study.csv. Sparse formats are for the networks of techniques that make weights
    zero. Ways to schedule other than the default one are for those that `selectors` select.
    """
    study = config.study
    selected = selectors(config)

    def asked(layer: str, names: list[str]) -> list[str]:
        return [name for name in names if choices.get(layer, name) == name]

    every = (
        Configuration(dataset, model, compression, primitive, format_, tuning, platform)
        for platform, dataset, model in timings(config)
        if asked("platform", [platform]) and asked("dataset", [dataset]) and asked("model", [model])
        for compression in asked("compression", study.compression)
        for primitive in asked("primitive", study.primitives)
        for format_ in asked("format", study.formats)
        if stores(config, format_, compression)
        for tuning in asked("tuning", study.tuning)
    )
    return sorted(
        one
        for one in every
        if one.tuning == UNTUNED or any(agrees(one, selector) for selector in selected)
    )


def selectors(config: Config) -> list[dict[str, list[str]]]:
    """Return which configurations have other ways than the default one: those that agree with one of these choices."""
    select = config.tuning.select
    return [{}] if select == "all" else [selector.layers() for selector in select]


def agrees(configuration: Configuration, selector: dict[str, list[str]]) -> bool:
    """Return whether a configuration makes one of the choices on each layer that a selector names."""
    return all(getattr(configuration, layer) in names for layer, names in selector.items())


def compiled(config: Config, **choices: str) -> list[Configuration]:
    """Return the `configurations` that have jobs: those of bundles have rows alone."""
    here = measured_platforms(config)
    return [one for one in configurations(config, **choices) if one.platform in here]


def choices(config: Config, **choices: str) -> list[dict[str, str]]:
    """Return the `compiled` configurations as plain dictionaries."""
    return [dict(vars(one)) for one in compiled(config, **choices)]


def measured_platforms(config: Config) -> dict[str, Platform]:
    """Return the platforms that this study can measure, taking part or not: all but those of bundles."""
    every = config.platforms.items()
    return {name: one for name, one in every if isinstance(one, Platform)}


def bundles(config: Config) -> dict[str, BundledPlatform]:
    """Return the platforms of bundles that take part, in a canonical order."""
    every = {name: config.platforms[name] for name in platforms(config)}
    return {name: one for name, one in every.items() if isinstance(one, BundledPlatform)}


def bundled_choices(config: Config, platform: str, **_: str) -> list[dict[str, str]]:
    """Return the configurations of a platform of a bundle as plain dictionaries."""
    return [dict(vars(one)) for one in configurations(config, platform=platform)]


def tuned_choices(config: Config, **others: str) -> list[dict[str, str]]:
    """Return the `configurations` whose tuning searches, as plain dictionaries."""
    return [one for one in choices(config, **others) if searches(one["tuning"])]


def tuning_jobs(config: Config) -> list[dict[str, str]]:
    """Return the configurations that are tuned: `tuned_choices`, and those whose schedules these combine."""
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for one in tuned_choices(config):
        for tuning in (one["tuning"], *registry.describe("tuning", one["tuning"]).combines):
            job = one | {"tuning": tuning}
            found[tuple(job.values())] = job
    return list(found.values())


def tunings_shown(config: Config, **_: str) -> list[dict[str, str]]:
    """Return `tuned_choices` without those for simulated platforms."""
    here = measured_platforms(config)
    return [one for one in tuned_choices(config) if not here[one["platform"]].simulated]


def pairs(config: Config) -> list[tuple[str, str]]:
    """Return every (dataset, model) that takes part."""
    study = config.study
    return sorted((dataset, model) for dataset in study.datasets for model in study.models[dataset])


def networks(config: Config) -> list[dict[str, str]]:
    """Return every dataset, model and compression that takes part: each is a network of its own.

    There are none where bundles are all that takes part.
    """
    return every_network(config) if len(bundles(config)) < len(config.study.platforms) else []


def every_network(config: Config) -> list[dict[str, str]]:
    """Return every dataset, model and compression of the grid, whether networks are made here or not."""
    return [
        {"dataset": dataset, "model": model, "compression": compression}
        for dataset, model in pairs(config)
        for compression in sorted(config.study.compression)
    ]


def timings(config: Config) -> list[tuple[str, str, str]]:
    """Return every (platform, dataset, model) that has timings: a platform may name a subset of the models."""
    return sorted(
        (platform, dataset, model)
        for platform in config.study.platforms
        for dataset, model in pairs(config)
        if model in (config.platforms[platform].models or [model])
    )


def machines(config: Config) -> dict[str, str]:
    """Return the machine of each platform that can be measured: what is timed on one machine is timed in one job.

    The platforms whose code runs on this machine's CPU are one machine, named after the first of
    them. Each other one is a machine of its own: a GPU, or a board behind a connection.
    """
    here = sorted(measured_platforms(config).items())
    shared = [name for name, platform in here if _is_this_cpu(platform)]
    return {name: shared[0] if name in shared else name for name, _ in here}


def _is_this_cpu(platform: Platform) -> bool:
    target = platform.target
    kind = target if isinstance(target, str) else target.kind
    return not platform.connection and kind in ("host", "llvm")


def timing_jobs(config: Config) -> list[dict[str, str]]:
    """Return every dataset, model and machine with a platform that is timed: each is a job of its own."""
    machine = machines(config)
    timed = [one for one in timings(config) if one[0] in machine]
    found = sorted({(dataset, model, machine[name]) for name, dataset, model in timed})
    return [dict(zip(("dataset", "model", "machine"), one, strict=True)) for one in found]


def timed_together(config: Config, dataset: str, model: str, machine: str) -> list[str]:
    """Return the platforms of a machine that are timed in one job; raise StudyError where there are none."""
    machine_of = machines(config)
    found = [
        platform
        for platform, *place in timings(config)
        if place == [dataset, model] and machine_of.get(platform) == machine
    ]
    if not found:
        raise StudyError(
            f"{model} on {dataset} is not timed on {machine}; allowed: what study.models and "
            "study.platforms name, and the models of each platform"
        )
    return found


def platforms(config: Config) -> list[str]:
    """Return the platforms that take part, in a canonical order."""
    return sorted(config.study.platforms)


def peers(config: Config, platform: str, **_: str) -> list[str]:
    """Return the runtimes that are timed beside the libraries of a platform, by name.

    They use every instruction that this machine has, so there are none where the libraries are
    limited to others.
    """
    described = measured_platforms(config).get(platform)
    unlimited = described is not None and described.target == "host"
    return sorted(config.study.peers) if unlimited else []


def searches(tuning: str) -> bool:
    """Return whether a tuning measures candidates first; raise StudyError for an unknown tuning."""
    return registry.describe("tuning", tuning).searches
