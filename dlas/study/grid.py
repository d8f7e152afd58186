"""The grid: the configurations, networks, platforms and jobs of a config.

The study varies one choice on every layer of the stack. A configuration is one choice on each.
"""

from dataclasses import dataclass

from dlas import registry
from dlas.config import BundledPlatform, Config, Platform
from dlas.errors import StudyError
from dlas.study.pipelines import stores

# The default way to schedule, which all configurations have.
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
    """Return the configurations of the study that agree with `choices`, in a canonical order.

    Each is a row of study.csv. Sparse formats are for networks with zero weights. Ways to schedule
    other than the default one are for the configurations that `selectors` select.

    Parameters
    ----------
    config : Config
        The config.
    **choices : str
        Names by layer, such as `platform="host"`. Without a layer, all its names count.

    Returns
    -------
    list of Configuration
        The configurations, sorted.
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
    """Return the choices that select configurations for ways to schedule other than the default.

    A configuration is selected if it agrees with one of them, see `agrees`.
    """
    select = config.tuning.select
    return [{}] if select == "all" else [selector.layers() for selector in select]


def agrees(configuration: Configuration, selector: dict[str, list[str]]) -> bool:
    """Return whether a configuration matches a selector on each layer that the selector names."""
    return all(getattr(configuration, layer) in names for layer, names in selector.items())


def compiled(config: Config, **choices: str) -> list[Configuration]:
    """Return the `configurations` that have jobs; those of bundles only have rows."""
    here = measured_platforms(config)
    return [one for one in configurations(config, **choices) if one.platform in here]


def choices(config: Config, **choices: str) -> list[dict[str, str]]:
    """Return the `compiled` configurations as plain dictionaries."""
    return [dict(vars(one)) for one in compiled(config, **choices)]


def measured_platforms(config: Config) -> dict[str, Platform]:
    """Return all platforms of the config except bundles, in the study or not."""
    every = config.platforms.items()
    return {name: one for name, one in every if isinstance(one, Platform)}


def bundles(config: Config) -> dict[str, BundledPlatform]:
    """Return the study's platforms that come from bundles, in a canonical order."""
    every = {name: config.platforms[name] for name in platforms(config)}
    return {name: one for name, one in every.items() if isinstance(one, BundledPlatform)}


def bundled_choices(config: Config, platform: str, **_: str) -> list[dict[str, str]]:
    """Return the configurations of a bundle's platform as plain dictionaries."""
    return [dict(vars(one)) for one in configurations(config, platform=platform)]


def tuned_choices(config: Config, **others: str) -> list[dict[str, str]]:
    """Return the `choices` whose tuning searches."""
    return [one for one in choices(config, **others) if searches(one["tuning"])]


def tuning_jobs(config: Config) -> list[dict[str, str]]:
    """Return the configurations to tune: `tuned_choices`, and the ones that they combine."""
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for one in tuned_choices(config):
        for tuning in (one["tuning"], *registry.describe("tuning", one["tuning"]).combines):
            job = one | {"tuning": tuning}
            found[tuple(job.values())] = job
    return list(found.values())


def tunings_shown(config: Config, **_: str) -> list[dict[str, str]]:
    """Return `tuned_choices` without simulated platforms."""
    here = measured_platforms(config)
    return [one for one in tuned_choices(config) if not here[one["platform"]].simulated]


def pairs(config: Config) -> list[tuple[str, str]]:
    """Return every (dataset, model) of the study."""
    study = config.study
    return sorted((dataset, model) for dataset in study.datasets for model in study.models[dataset])


def networks(config: Config) -> list[dict[str, str]]:
    """Return every dataset, model and compression of the study; each is a network.

    There are none if all platforms are bundles.
    """
    return every_network(config) if len(bundles(config)) < len(config.study.platforms) else []


def every_network(config: Config) -> list[dict[str, str]]:
    """Return every dataset, model and compression of the grid, made here or not."""
    return [
        {"dataset": dataset, "model": model, "compression": compression}
        for dataset, model in pairs(config)
        for compression in sorted(config.study.compression)
    ]


def timings(config: Config) -> list[tuple[str, str, str]]:
    """Return every timed (platform, dataset, model); a platform may limit the models."""
    return sorted(
        (platform, dataset, model)
        for platform in config.study.platforms
        for dataset, model in pairs(config)
        if model in (config.platforms[platform].models or [model])
    )


def machines(config: Config) -> dict[str, str]:
    """Return the machine of each measured platform. One job times everything on a machine.

    Platforms whose code runs on this machine's CPU share a machine, named after the first of them.
    Each other platform is a separate machine: a GPU, or a board behind a connection.
    """
    here = sorted(measured_platforms(config).items())
    shared = [name for name, platform in here if _is_this_cpu(platform)]
    return {name: shared[0] if name in shared else name for name, _ in here}


def _is_this_cpu(platform: Platform) -> bool:
    target = platform.target
    kind = target if isinstance(target, str) else target.kind
    return not platform.connection and kind in ("host", "llvm")


def timing_jobs(config: Config) -> list[dict[str, str]]:
    """Return every dataset, model and machine that is timed; each is a job."""
    machine = machines(config)
    timed = [one for one in timings(config) if one[0] in machine]
    found = sorted({(dataset, model, machine[name]) for name, dataset, model in timed})
    return [dict(zip(("dataset", "model", "machine"), one, strict=True)) for one in found]


def timed_together(config: Config, dataset: str, model: str, machine: str) -> list[str]:
    """Return the platforms of a machine that one job times.

    Parameters
    ----------
    config : Config
        The config.
    dataset, model : str
        The network.
    machine : str
        The machine, see `machines`.

    Raises
    ------
    StudyError
        If there are none.
    """
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
    """Return the study's platforms, in a canonical order."""
    return sorted(config.study.platforms)


def peers(config: Config, platform: str, **_: str) -> list[str]:
    """Return the runtimes that are timed beside the libraries of a platform, sorted.

    Runtimes use every instruction of this machine, so only platforms with the target "host" have
    them.
    """
    described = measured_platforms(config).get(platform)
    unlimited = described is not None and described.target == "host"
    return sorted(config.study.peers) if unlimited else []


def searches(tuning: str) -> bool:
    """Return whether a way to schedule measures candidates; raise StudyError for an unknown one."""
    return registry.describe("tuning", tuning).searches
