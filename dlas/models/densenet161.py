"""DenseNet161 (Huang et al., arXiv:1608.06993)."""

import re
from collections.abc import Mapping

from torch import Tensor, nn

from dlas.models.vision import channels, models
from dlas.plugins import ModelPlugin

PLUGIN = ModelPlugin(
    label="DenseNet161",
    order=6,
    smallest={"small_input": 8, "large_input": 32},
    weights="DenseNet161_Weights.IMAGENET1K_V1",
)


def build(classes: int, width: float, stem: str) -> nn.Module:
    """Return DenseNet161. The width scales its growth rate.

    All numbers of channels are multiples of the growth rate, as published. The small-input stem is
    one 3x3 convolution with stride 1, without max pooling.
    """
    growth_rate = channels(48, width)
    network = models.DenseNet(
        growth_rate, (6, 12, 36, 24), num_init_features=2 * growth_rate, num_classes=classes
    )
    if stem == "small_input":
        convolution = nn.Conv2d(3, 2 * growth_rate, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(convolution.weight)
        network.features.conv0 = convolution
        network.features.pool0 = nn.Identity()
    return network


def renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights under today's names: torchvision's file has `norm.1` for `norm1`."""
    return {
        re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", name): tensor
        for name, tensor in tensors.items()
    }
