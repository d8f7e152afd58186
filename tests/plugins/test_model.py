"""A model is built for each stem, at reduced widths and its smallest image, and compiled."""

import pytest
import torch
from torch import nn

from dlas import models, registry
from dlas.compiler.importer import import_network
from dlas.models import accounting

KIND = "model"


def convolutions(network):
    return [module for module in network.modules() if isinstance(module, nn.Conv2d)]


@pytest.mark.parametrize("stem", models.STEMS)
def test_reduced_widths_classify_with_channels_divisible_by_8(name, stem):
    network = models.build(name, 7, 0.25, stem).eval()
    with torch.inference_mode():
        assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 7)
    for layer in convolutions(network):
        # Squeeze-and-excitation has a quarter of a block's channels, as published.
        squeeze = layer.kernel_size == (1, 1) and layer.bias is not None
        assert squeeze or layer.out_channels % 8 == 0


@pytest.mark.parametrize("stem", models.STEMS)
def test_the_smallest_image_passes(name, stem):
    size = registry.describe("model", name).smallest[stem]
    network = models.build(name, 7, 0.125, stem).eval()
    with torch.inference_mode():
        assert network(torch.zeros(2, 3, size, size)).shape == (2, 7)


def test_parameters_and_macs_grow_with_the_width(name):
    shape = (1, 3, 32, 32)
    counts = [
        (accounting.parameters(network), accounting.macs(network, shape))
        for network in (models.build(name, 10, width, "small_input") for width in (0.25, 0.5, 0.75))
    ]
    assert counts[0][0] < counts[1][0] < counts[2][0]
    assert counts[0][1] < counts[1][1] < counts[2][1]


@pytest.mark.parametrize("stem", models.STEMS)
def test_the_compiler_takes_it(name, stem):
    network = import_network(models.build(name, 7, 0.125, stem).eval(), (1, 3, 64, 64))
    assert "conv2d" in network.module.script()
