"""The study's networks, small and untrained, as the compiler imports them."""

import numpy as np
import torch

from dlas import compression, datasets, models
from dlas.compiler.importer import import_network, reference_outputs
from dlas.compiler.network import Network
from dlas.models.training import Recipe
from tests.unit.compression import small

PAIRS = [
    ("resnet18", "small_input", 32),
    ("vgg16", "small_input", 32),
    ("mobilenet_v1", "small_input", 32),
    ("mobilenet_v2", "small_input", 32),
    ("resnet50", "large_input", 64),
    ("densenet161", "large_input", 64),
    ("efficientnet_b0", "large_input", 64),
    ("mobilenet_v2", "large_input", 64),
]


def lively(model: torch.nn.Module, size: int = 32) -> torch.nn.Module:
    """Give batch normalizations statistics of their features, as training leaves them.

    With others a deep network has the same logits for all images. Their variance is a little
    larger, which damps how rounding errors grow from layer to layer.
    """
    normalizations = [each for each in model.modules() if isinstance(each, torch.nn.BatchNorm2d)]
    model.eval()
    for module in normalizations:
        torch.nn.init.uniform_(module.weight, 0.5, 1.5)
        torch.nn.init.normal_(module.bias, std=0.5)
        module.momentum = 1.0
        module.train()
    with torch.no_grad():
        model(torch.randn(8, 3, size, size))
        for module in normalizations:
            module.running_var *= 1.5
    return model.eval()


def network_of(*channels: int, linear: bool = True) -> Network:
    """Return a network of 3x3 convolutions of 8x8 images, with a classifier or not."""
    torch.manual_seed(0)
    modules: list[torch.nn.Module] = []
    for before, after in zip((3, *channels), channels, strict=False):
        modules += [torch.nn.Conv2d(before, after, 3, padding=1), torch.nn.ReLU()]
    modules += [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()]
    if linear:
        modules.append(torch.nn.Linear(channels[-1], 4))
    return import_network(torch.nn.Sequential(*modules).eval(), (1, 3, 8, 8))


def layer_of(technique: str) -> Network:
    """Return a network of one 3x3 convolution with ReLU and no classifier, compressed."""
    torch.manual_seed(0)
    layer = [torch.nn.Conv2d(3, 16, 3, padding=1, bias=False), torch.nn.BatchNorm2d(16)]
    body = [*layer, torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()]
    return _compressed(torch.nn.Sequential(*body).eval(), technique, 8)[0]


def imported(
    name: str,
    stem: str,
    size: int,
    technique: str = "none",
    width: float = 0.125,
    sparsity: float = 0.0,
) -> tuple[Network, np.ndarray, np.ndarray]:
    """Return a network of random weights, two images, and the logits that it must make of them.

    All convolutions but depthwise ones and that of the images have a share of zeros.
    """
    torch.manual_seed(0)
    model = models.build(name, 10, width, stem)
    for layer in model.modules():
        if isinstance(layer, torch.nn.Conv2d) and layer.groups == 1 and layer.in_channels > 3:
            layer.weight.data *= torch.rand_like(layer.weight) >= sparsity
    return _compressed(lively(model, size), technique, size)


def _compressed(
    model: torch.nn.Module, technique: str, size: int
) -> tuple[Network, np.ndarray, np.ndarray]:
    dataset = small.dataset(size, 8)
    recipe = Recipe("sgd", 0.1, 0.0, epochs=1, batch_size=8)
    settings = {"observer": "minmax", "calibration_images": 8, "epochs": 0}
    task = compression.Task(dataset, settings, recipe, 0, 1, False, 0)
    model = compression.load(technique).compress(model, None, task)
    images = datasets.normalize(dataset.test.images[:2], dataset.mean, dataset.std)
    network = import_network(model, (1, 3, size, size))
    return network, images, reference_outputs(model, network, images)
