"""What bundles and a study must have in common, and which files they are read into."""

from typing import Any

from dlas import registry
from dlas.config import Config
from dlas.errors import StudyError
from dlas.study import grid, pipelines, settings
from dlas.study.combinations import image_size
from dlas.study.paths import BUNDLED_TABLES, path


def network_terms(config: Config, **_: str) -> dict[str, Any]:
    """Return the settings that networks made elsewhere must share with a study."""
    return {
        "width": config.models.width,
        "datasets": {name: image_size(config, name) for name in config.study.datasets},
        "compressions": {name: pipelines.steps(config, name) for name in config.study.compression},
    }


def terms(config: Config, **_: str) -> dict[str, Any]:
    """Return the settings that rows of a bundle must share with a study."""
    check = config.compiler.check
    return network_terms(config) | {
        "checks": {
            kind: [
                check.images,
                getattr(check.tolerance, kind),
                getattr(check.top1_tolerance, kind),
            ]
            for kind in ("float32", "float16", "int8")
        },
    }


def packed_platform(config: Config, **_: str) -> str:
    """Return the platform that `make bundle` packs; raise StudyError unless it is measured here."""
    name = config.bundle.platform
    measured = {one.platform for one in grid.compiled(config)}
    if name not in measured:
        raise StudyError(
            f"config: bundle.platform is {name!r}; allowed: platforms that the study measures: "
            f"{', '.join(sorted(measured)) or 'there are none'}"
        )
    if grid.measured_platforms(config)[name].simulated:
        raise StudyError(f"config: bundle.platform is {name!r}, which is simulated")
    return name


def packing(config: Config, bundle: str) -> dict[str, Any]:
    """Return the settings of packing; raise StudyError if the study reads the bundle itself."""
    for name, platform in grid.bundles(config).items():
        if path("bundle", bundle=bundle) in platform.folders:
            raise StudyError(f"{path('bundle', bundle=bundle)} is read as platforms.{name}.bundle")
    name = packed_platform(config)
    return {
        "platform": name,
        "here": grid.measured_platforms(config)[name].connection is None,
        "settings": terms(config)
        | {
            "seed": config.seed,
            "timing": settings.value(config, f"platforms.{name}.timing"),
            "tuning": config.tuning.plain("select"),
        },
        "networks": {
            "/".join(network.values()): path("chosen", **network)
            for network in grid.networks(config)
        },
    }


def compared_modules(config: Config, **_: str) -> dict[str, str]:
    """Return the modules whose code the rows of study.csv depend on, by kind and name."""
    study = config.study
    techniques = [step for name in study.compression for step in pipelines.steps(config, name)]
    methods: dict[registry.Kind, Any] = {
        "model": [model for _, model in grid.pairs(config)],
        "compression": techniques,
        "primitive": study.primitives,
        "format": study.formats,
        "tuning": study.tuning,
    }
    found = {
        f"{kind} {name}": registry.module_name(kind, name)
        for kind, names in methods.items()
        for name in names
    }
    return {"compiler": "dlas.compiler.libraries"} | dict(sorted(found.items()))


def reading(config: Config, platform: str) -> dict[str, Any]:
    """Return what a study takes from the bundles of a platform."""
    described = grid.bundles(config).get(platform)
    if described is None:
        raise StudyError(f"{platform} has no bundle; allowed: {', '.join(grid.bundles(config))}")
    return {
        "folders": described.folders,
        "same_code": described.bundle_code == "same",
        "rows": [
            one | {"dtype": pipelines.dtype(config, one["compression"])}
            for one in grid.bundled_choices(config, platform)
        ],
        "runtimes": sorted(config.study.peers),
        "terms": terms(config),
    }


def bundle_inputs(config: Config) -> dict[str, dict[str, Any]]:
    """Return the folders of each platform of a bundle, and the configurations asked of it."""
    return {
        name: {"folders": one.folders, "configurations": grid.bundled_choices(config, name)}
        for name, one in grid.bundles(config).items()
    }


def bundled_tables(config: Config, **_: str) -> dict[str, dict[str, str]]:
    """Return the tables that each platform of a bundle gives the study, by name."""
    return {
        name: {table: path(f"bundled_{table}", platform=name) for table in BUNDLED_TABLES}
        for name in grid.bundles(config)
    }


def machine_platforms(config: Config, **_: str) -> dict[str, list[str]]:
    """Return the platforms that take part by their machine; a bundle is a machine of its own."""
    machine_of = grid.machines(config)
    found: dict[str, list[str]] = {}
    for name in grid.platforms(config):
        found.setdefault(machine_of.get(name, name), []).append(name)
    return found
