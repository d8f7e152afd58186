"""Check that the parts of a config fit together, and report an error in one line with the keys."""

import os.path
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from dlas import registry
from dlas.config import PUBLISHED, TRAIN, Config, read, typed
from dlas.errors import StudyError
from dlas.plugins import LAYERS
from dlas.study import grid, pipelines, settings


def load(*overlays: str | Path | Mapping[str, Any]) -> Config:
    """Return config.yaml with overlays on it, checked as the workflow checks it.

    Parameters
    ----------
    *overlays : str, Path or mapping
        Files, or the content of files, in the order of merging.

    Raises
    ------
    StudyError
        For a file that cannot be read, and for the first error in the merged config.
    """
    config = typed(read(*overlays))
    check_combinations(config)
    return config


def check_combinations(config: Config) -> None:
    """Check names that other sections define, and settings that exclude each other.

    Raises
    ------
    StudyError
        For the first error.
    """
    _check_sections(config)
    _check_compression(config)
    _check_weights(config)
    _check_images(config)
    _check_recipes(config)
    _check_platforms(config)
    _check_selectors(config)
    _check_trials(config)
    _check_observations(config)


def _check(key: str, names: Iterable[str], allowed: Collection[str]) -> None:
    """Check that names are allowed."""
    for name in names:
        if name not in allowed:
            raise StudyError(f"config: {key} is {name!r}; allowed: {_join(allowed)}")


def _join(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _check_sections(config: Config) -> None:
    """Check that everything in the study has the sections that it needs."""
    study = config.study
    needed: dict[str, Collection[str]] = {
        "datasets": config.datasets,
        "study.models": study.models,
        "models.training": config.models.training,
        "recommendation.top1_floor": config.recommendation.top1_floor,
    }
    for key, section in needed.items():
        for dataset in study.datasets:
            if dataset not in section:
                raise StudyError(f"config: {key} lacks {dataset}, which study.datasets names")
    _check("study.platforms", study.platforms, config.platforms)


def _check_compression(config: Config) -> None:
    chosen, names = config.study.compression, pipelines.names(config)
    for place, name in enumerate(chosen):
        if name not in names:
            raise StudyError(
                f"config: study.compression.{place} is {name!r}; allowed: {', '.join(names)}"
            )
    if pipelines.BASELINE not in chosen:
        raise StudyError(
            f"config: study.compression lacks {pipelines.BASELINE}, which every technique is "
            f"compared with"
        )
    for name in config.compression.pipelines:
        _check_pipeline(config, name)
    for name in chosen:
        _check_groups(config, name)
    for technique in dict.fromkeys(
        step for name in chosen for step in pipelines.steps(config, name)
    ):
        plugin = registry.describe("compression", technique)
        _check(
            f"dtype in dlas/compression/{technique}.py",
            [plugin.dtype],
            ("float32", "float16", "int8"),
        )
        required = any(setting.required for setting in plugin.settings.values())
        if required and technique not in config.compression.techniques:
            raise StudyError(
                f"config: compression.techniques lacks {technique}, which study.compression names"
            )


def _check_groups(config: Config, compression: str) -> None:
    """Check that the levels of a technique with groups are whole numbers of weights."""
    settings = pipelines.settings(config, compression)
    group = settings.get("group", 1)
    for level in settings.get("levels", []) if group > 1 else []:
        if abs(level * group - round(level * group)) > 1e-9:
            technique = pipelines.steps(config, compression)[-1]
            raise StudyError(
                f"config: compression.techniques.{technique}.levels has {level:g}; must be a "
                f"multiple "
                f"of 1/{group}, as its group is {group}"
            )


def _check_pipeline(config: Config, name: str) -> None:
    """Check that the steps of a pipeline can follow each other and start with a pipeline."""
    key, described = f"config: compression.pipelines.{name}", config.compression.pipelines[name]
    if name in registry.names("compression"):
        raise StudyError(f"{key} has the name of a technique; allowed: another name")
    if any(not isinstance(step, str) for step in described[:-1]):
        raise StudyError(
            f"{key}: only the last step may have settings of its own; allowed: a pipeline of the "
            "steps before, which others share"
        )
    steps = pipelines.steps(config, name)
    plugins = {step: registry.describe("compression", step) for step in steps}
    for place, step in enumerate(steps):
        where = f"{key}.{place} is {step!r}"
        if step == pipelines.BASELINE:
            raise StudyError(f"{where}; allowed: techniques that change the network")
        for other in steps[:place]:
            earlier = plugins[other]
            if earlier.dtype != "float32":
                raise StudyError(
                    f"{where}, which cannot follow {other}: its networks compute in "
                    f"{earlier.dtype}; allowed after it: no further step"
                )
            if earlier.sparse and not plugins[step].keeps_zeros:
                raise StudyError(
                    f"{where}, which cannot follow {other}: it does not keep zeros; "
                    f"allowed: {step} before {other}"
                )
        if step in steps[:place]:
            raise StudyError(f"{where} a second time; allowed: each technique once")
    try:
        pipelines.parent(config, name)
    except StudyError as error:
        raise StudyError(
            f"{key}: its steps before the last, {', '.join(steps[:-1])}, must be a pipeline too"
        ) from error


def _check_weights(config: Config) -> None:
    """Check that published weights are chosen only for networks that have them."""
    for dataset, model in grid.pairs(config):
        if not settings.from_torchvision(config, dataset, model):
            continue
        key = f"models.weights.{dataset}.{model} is {PUBLISHED}"
        try:
            settings.published(config, model)
        except StudyError as error:
            raise StudyError(f"config: {key}: {error}") from error
        if config.models.width != 1:
            raise StudyError(
                f"config: {key}, so models.width must be 1; it is {config.models.width:g}"
            )
        if settings.stem(config, dataset) != "large_input":
            raise StudyError(
                f"config: {key}, which is of networks for large images; allowed with {dataset}: "
                f"{TRAIN}, or a file"
            )


def _check_images(config: Config) -> None:
    """Check the images of each data set against its splits and the networks' strides."""
    for dataset in config.study.datasets:
        _check_splits(dataset, config.datasets[dataset])
    for dataset, model in grid.pairs(config):
        size = image_size(config, dataset)
        smallest = registry.describe("model", model).smallest[settings.stem(config, dataset)]
        if size < smallest:
            raise StudyError(
                f"config: the images of {dataset} have {size} pixels on each side; {model}, which "
                f"study.models.{dataset} names, needs at least {smallest}"
            )


def image_size(config: Config, dataset: str) -> int:
    """Return the pixels on each side of a data set's images."""
    return _given(config.datasets[dataset], registry.describe("dataset", dataset).size)


def _given(section: dict[str, Any], value: int | str) -> int:
    """Return a number of a description, which may be the name of a setting."""
    found: int = section[value] if isinstance(value, str) else value
    return found


def _check_splits(dataset: str, section: dict[str, Any]) -> None:
    """Check that stratified splits have an image of each class, if their number is known."""
    shares = {
        key: section[key] for key in ("validation_fraction", "test_fraction") if key in section
    }
    key, plugin = f"config: datasets.{dataset}", registry.describe("dataset", dataset)
    if sum(shares.values()) >= 1:
        raise StudyError(f"{key}: the sum of {' and '.join(shares)} must be less than 1")
    if not shares or plugin.images is None:
        return
    classes = _given(section, plugin.classes)
    counts = {key: round(share * plugin.images) for key, share in shares.items()}
    rest = plugin.images - sum(counts.values())
    for name, count in counts.items():
        if count < classes:
            raise StudyError(
                f"{key}.{name} is {shares[name]}, {count} of {plugin.images} images; "
                f"must give each of the {classes} classes an image"
            )
    if rest < classes:
        raise StudyError(
            f"{key}: {' and '.join(shares)} leave {rest} of {plugin.images} images to train on; "
            f"must leave each of the {classes} classes an image"
        )


def _check_recipes(config: Config) -> None:
    """Check the batch sizes against the processes, and the crops against the images."""
    processes = config.models.processes
    for dataset, model in grid.pairs(config):
        recipes = [("models.training", settings.recipe(config, dataset, model))]
        for technique in config.study.compression:
            fine_tuning = settings.fine_tuning(config, technique, dataset, model)
            recipes.append(("compression.fine_tuning", fine_tuning))
        for section, recipe in recipes:
            where, batch = f"of {model} in {section}.{dataset}", recipe["batch_size"]
            if batch % processes or batch < 2 * processes:
                raise StudyError(
                    f"config: batch_size {where} is {batch}; allowed with models.processes "
                    f"{processes}: a multiple of that, at least twice as large"
                )
            pad, size = recipe["pad_crop"], image_size(config, dataset)
            if pad >= size:
                raise StudyError(
                    f"config: pad_crop {where} is {pad}; must be less than the {size} pixels on "
                    f"each "
                    "side of its images, which are reflected"
                )


def _check_platforms(config: Config) -> None:
    read: dict[str, str] = {}
    for name, bundled in grid.bundles(config).items():
        for folder in map(os.path.normpath, bundled.folders):
            if folder in read:
                raise StudyError(
                    f"config: platforms.{name}.bundle is {folder}, which is a bundle of "
                    f"platforms.{read[folder]} already; allowed: each bundle once"
                )
            read[folder] = name
    timed = {platform for platform, _, _ in grid.timings(config)}
    for platform in config.study.platforms:
        if platform not in timed:
            models = {model for _, model in grid.pairs(config)}
            raise StudyError(
                f"config: platforms.{platform}.models names no model that takes part; "
                f"allowed: {_join(models)}"
            )


def _check_selectors(config: Config) -> None:
    """Check that each selector selects a configuration, with any way to schedule."""
    if config.study.tuning == [grid.UNTUNED]:
        return
    every = grid.configurations(config)
    for number, selector in enumerate(grid.selectors(config)):
        others = {layer: names for layer, names in selector.items() if layer != "tuning"}
        if not any(grid.agrees(one, others) for one in every):
            raise StudyError(
                f"config: tuning.select.{number} selects no configuration; allowed: choices that "
                "some configuration of the study makes"
            )


def _check_trials(config: Config) -> None:
    """Check that each way to schedule with a search has a number of trials."""
    for tuning in config.study.tuning:
        for name in registry.describe("tuning", tuning).combines or (tuning,):
            if registry.describe("tuning", name).searches and name not in config.tuning.trials:
                raise StudyError(
                    f"config: tuning.trials lacks {name}, which study.tuning names"
                    + ("" if name == tuning else f" in {tuning}")
                )


def _check_observations(config: Config) -> None:
    for number, name in config.observations.items():
        layer = settings.observation_category(config, number)
        _check(f"layer in dlas/analysis/observations/{name}.py", [layer], LAYERS)
