"""ResNet50 (He et al., arXiv:1512.03385), with strides in the 3x3 convolutions."""

from torch import nn

from dlas.models.resnet import ResNet
from dlas.models.vision import models
from dlas.plugins import ModelPlugin

PLUGIN = ModelPlugin(
    label="ResNet50",
    order=5,
    smallest={"small_input": 8, "large_input": 8},
    weights="ResNet50_Weights.IMAGENET1K_V2",
    group="large",
)


def build(classes: int, width: float, stem: str) -> nn.Module:
    """Return ResNet50: four stages of 3, 4, 6 and 3 bottlenecks."""
    return ResNet(models.resnet.Bottleneck, [3, 4, 6, 3], classes, width, stem)
