"""The work of a study: the jobs of each rule, the images and the networks' sizes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dlas import datasets, models, registry, study
from dlas.models import accounting

ROOT = Path(__file__).parents[2]
# The official archive of CIFAR-10.
CIFAR10 = {"train": 50_000, "test": 10_000, "classes": 10, "size": 32}
IMAGENET_CLASSES = 1000
# Jobs of analysis that exist once.
TABLES = (
    "tabulate_study",
    "trace_rows",
    "tabulate_curves",
    "tabulate_answers",
    "tabulate_tuning",
    "tabulate_observations",
    "compare_machines",
    "recommend",
    "summarize_statuses",
    "draw_overview",
    "draw_curves",
    "draw_tuning",
    "draw_pareto",
    "draw_roofline",
    "draw_explorer",
)

Jobs = Mapping[str, list[dict[str, str]]]


@dataclass(frozen=True)
class Images:
    """The number of images in each split of a data set, of classes, and the pixels on each side."""

    train: int
    validation: int
    test: int
    classes: int
    size: int

    @property
    def total(self) -> int:
        """The number of images in all splits."""
        return self.train + self.validation + self.test


@dataclass(frozen=True)
class Network:
    """An uncompressed model on a data set.

    Attributes
    ----------
    dataset, model : str
        Its names.
    images : Images
        The images of the data set.
    parameters : int
        Number of parameters.
    macs, activations : int
        Multiply-accumulate operations and layer outputs of one image.
    layers, workloads : int
        Number of convolutions and linear layers, and of convolutions with different shapes.
    kind : {"dense", "depthwise"}
        "depthwise" if it has depthwise convolutions.
    """

    dataset: str
    model: str
    images: Images
    parameters: int
    macs: int
    activations: int
    layers: int
    workloads: int
    kind: str

    @property
    def name(self) -> str:
        """The key "dataset/model"."""
        return f"{self.dataset}/{self.model}"


def jobs(config: study.Config) -> Jobs:
    """Return the wildcards of every job except downloads, by rule, in the order of the stack."""
    untrained, networks = set(study.untrained(config)), study.networks(config)
    pairs = sorted({(network["dataset"], network["model"]) for network in networks})
    trained, loaded = (
        [
            {"dataset": dataset, "model": model}
            for dataset, model in pairs
            if ((dataset, model) in untrained) == from_file
        ]
        for from_file in (False, True)
    )
    beside_peers = [
        {"dataset": dataset, "model": model}
        for platform, dataset, model in study.timings(config)
        if study.peers(config, platform)
    ]
    compiled = _different(study.choices(config), "dataset", "model", "compression", "platform")
    here = study.measured_platforms(config)
    platforms = [{"platform": name} for name in study.platforms(config) if name in here]
    observations = [{"number": number} for number in sorted(config.observations)]
    found = {
        "prepare_dataset": [{"dataset": name} for name in study.prepared(config)],
        "train_model": trained,
        "load_weights": loaded,
        "compress_model": [
            {**network, "level": level}
            for network in networks
            for level in study.levels(config, network["compression"])
        ],
        "choose_level": networks,
        "import_network": networks,
        "export_network": _different(beside_peers, "dataset", "model"),
        "resolve_target": platforms,
        "probe_platform": platforms,
        "tune_network": study.tuning_jobs(config),
        "build_libraries": compiled,
        "check_libraries": compiled,
        "time_libraries": study.timing_jobs(config),
    }
    found |= {name: [{}] for name in TABLES}
    found["tabulate_summary"] = [{"table": name} for name in study.SUMMARY_TABLES]
    return found | {"assess_observation": observations, "draw_observation": observations}


def _different(choices: list[dict[str, str]], *layers: str) -> list[dict[str, str]]:
    found = sorted({tuple(choice[layer] for layer in layers) for choice in choices})
    return [dict(zip(layers, each, strict=True)) for each in found]


def images(config: study.Config, dataset: str) -> Images:
    """Return the images of a data set that may not be on disk; an embedded one is made in seconds.

    Raises
    ------
    StudyError
        For any other data set that is not prepared.
    """
    settings = config.datasets[dataset]
    if dataset == "cifar10":
        held = settings["validation_images"]
        count = CIFAR10["train"] - held, held, CIFAR10["test"]
        return Images(*count, CIFAR10["classes"], CIFAR10["size"])
    if dataset == "imagenet":
        each = settings["images_per_class"]
        count = tuple(settings["classes"] * each[split] for split in datasets.SPLITS)
        return Images(*count, settings["classes"], settings["size"])
    if "source" in settings:
        found = datasets.load(ROOT / study.path("dataset", dataset=dataset))
    else:
        found = datasets.prepare(dataset, settings, config.seed)
    count = (len(getattr(found, split).labels) for split in datasets.SPLITS)
    return Images(*count, len(found.class_names), found.train.images.shape[1])


def networks(config: study.Config) -> dict[str, Network]:
    """Return every model on its data set, by "dataset/model"."""
    found = {name: images(config, name) for name in config.study.datasets}
    listed = [
        network(dataset, model, found[dataset], config.models.width)
        for dataset, model in study.pairs(config)
    ]
    return {each.name: each for each in listed}


def network(dataset: str, model: str, images: Images, width: float) -> Network:
    """Return the size of a model on images, built on torch's meta device without memory."""
    shape = (1, 3, images.size, images.size)
    with torch.device("meta"):
        built = models.build(
            model, images.classes, width, registry.describe("dataset", dataset).stem
        ).eval()
        macs = accounting.macs(built, shape)
        activations, workloads = _traced(built, torch.zeros(shape))
    layers = [each for each in built.modules() if isinstance(each, nn.Conv2d | nn.Linear)]
    depthwise = any(1 < getattr(layer, "groups", 1) == layer.in_channels for layer in layers)  # type: ignore[union-attr]
    return Network(
        dataset,
        model,
        images,
        accounting.parameters(built),
        macs,
        activations,
        len(layers),
        workloads,
        "depthwise" if depthwise else "dense",
    )


def _traced(model: nn.Module, image: torch.Tensor) -> tuple[int, int]:
    """Return the number of layer outputs, and of convolutions with different shapes."""
    numbers, shapes = 0, set()

    def note(layer: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        nonlocal numbers
        numbers += output.numel()
        if isinstance(layer, nn.Conv2d):
            form = layer.weight.shape, layer.stride, layer.groups
            shapes.add((tuple(inputs[0].shape), *map(str, form)))

    handles = [
        layer.register_forward_hook(note) for layer in model.modules() if not list(layer.children())
    ]
    with torch.inference_mode():
        model(image)
    for handle in handles:
        handle.remove()
    return numbers, len(shapes)
