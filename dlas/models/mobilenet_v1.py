"""MobileNetV1 (Howard et al., arXiv:1704.04861)."""

from torch import nn

from dlas.models.vision import channels, initialize
from dlas.plugins import ModelPlugin

PLUGIN = ModelPlugin(
    label="MobileNetV1",
    order=3,
    smallest={"small_input": 8, "large_input": 8},
    group="compact",
)

# Output channels and stride of each depthwise separable convolution (table 1 of the paper).
LAYERS = [
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *[(512, 1)] * 5,
    (1024, 2),
    (1024, 1),
]


def build(classes: int, width: float, stem: str) -> nn.Module:
    """Return MobileNetV1. The small-input stem has stride 1 in the first convolution."""
    current = channels(32, width)
    layers = convolution(3, current, 3, stride=1 if stem == "small_input" else 2)
    for published, stride in LAYERS:
        output = channels(published, width)
        layers += convolution(current, current, 3, stride, groups=current)
        layers += convolution(current, output, 1)
        current = output
    network = nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(current, classes)
    )
    initialize(network)
    return network


def convolution(
    inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """Return a convolution with same padding, a batch normalization and a ReLU.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    size : int
        Kernel size.
    stride, groups : int
        As in `nn.Conv2d`.
    """
    return [
        nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]
