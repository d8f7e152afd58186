"""ResNet18 (He et al., arXiv:1512.03385)."""

from torch import nn

from dlas.models.resnet import ResNet
from dlas.models.vision import models
from dlas.plugins import ModelPlugin

PLUGIN = ModelPlugin(
    label="ResNet18",
    order=1,
    smallest={"small_input": 8, "large_input": 8},
    group="large",
)


def build(classes: int, width: float, stem: str) -> nn.Module:
    """Return ResNet18: four stages of two basic blocks."""
    return ResNet(models.resnet.BasicBlock, [2, 2, 2, 2], classes, width, stem)
