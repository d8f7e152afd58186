"""Build the networks of an architecture, and check the size of their images."""

import math

import torch
from torch import nn

from dlas.datasets import Dataset
from dlas.errors import StudyError, unknown
from dlas.models import plugin

STEMS = ("small_input", "large_input")


def build(name: str, classes: int, width: float, stem: str, seed: int = 0) -> nn.Module:
    """Build a network with random weights.

    Parameters
    ----------
    name : str
        The architecture.
    classes : int
        Length of its output.
    width : float
        Multiplies the channels of all layers, which stay divisible by 8. 1 is the published
        network.
    stem : {"small_input", "large_input"}
        "large_input" for the published first layers; "small_input" for those in the literature on
        CIFAR-10, which shrink the image less.
    seed : int
        Seed of the weights; torch's global generator is unchanged.

    Returns
    -------
    nn.Module
        Maps float32 [B, 3, H, W] to logits float32 [B, classes].

    Raises
    ------
    StudyError
        For an unknown name or stem, and for a width that is not above 0.
    """
    architecture = plugin.load(name)
    if stem not in STEMS:
        raise unknown("stem", stem, STEMS)
    if not (0 < width < math.inf):
        raise StudyError(f"the width {width} of {name} is not allowed; it must be a number above 0")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return architecture.build(classes, width, stem)


def build_for(dataset: Dataset, name: str, width: float, stem: str, seed: int = 0) -> nn.Module:
    """Build a network with the classes of a data set; the other parameters are those of `build`."""
    return build(name, len(dataset.class_names), width, stem, seed)


def check_size(model: nn.Module, dataset: Dataset) -> None:
    """Raise StudyError unless the images of a data set are large enough for a network's strides."""
    height, width = dataset.train.images.shape[1:3]
    try:
        with torch.inference_mode():
            model.eval()(torch.zeros(1, 3, height, width))
    except RuntimeError as error:
        raise StudyError(
            f"the images have {height}x{width} pixels, too few for the strides of the network "
            f"({str(error).splitlines()[0]}); allowed: larger images, or a model with fewer strides"
        ) from error
