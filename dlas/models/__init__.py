"""Layer 2 of the stack: the neural architectures, one file each, and their training.

An architecture is found by the name of its file, which gives `build(classes, width, stem)`.
"""

import math

import torch
from torch import nn

from dlas import datasets, registry
from dlas.errors import StudyError, unknown

STEMS = ("small_input", "large_input")


def build(name: str, classes: int, width: float, stem: str, seed: int = 0) -> nn.Module:
    """Return the architecture `name` with random weights drawn by `seed`.

    It maps float32 [B, 3, H, W] to logits float32 [B, classes]. `width` multiplies the channels of
    all layers (kept divisible by 8; 1 is the published network). `stem` is "large_input" for the
    published first layers, "small_input" for those that the literature on CIFAR-10 uses, which
    shrink the image less. Raises StudyError for an unknown name or stem, and for a width that is
    not above 0.
    """
    architecture = registry.load("model", name)
    if stem not in STEMS:
        raise unknown("stem", stem, STEMS)
    if not (0 < width < math.inf):
        raise StudyError(f"the width {width} of {name} is not allowed; it must be a number above 0")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network: nn.Module = architecture.build(classes, width, stem)
    return network


def build_for(
    dataset: datasets.Dataset, name: str, width: float, stem: str, seed: int = 0
) -> nn.Module:
    """Return the architecture `name` as `build` does, with the classes of a data set."""
    return build(name, len(dataset.class_names), width, stem, seed)
