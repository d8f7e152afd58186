"""MobileNetV2 (Sandler et al., arXiv:1801.04381)."""

from torch import nn

from dlas.models.vision import models
from dlas.plugins import ModelPlugin

PLUGIN = ModelPlugin(
    label="MobileNetV2",
    order=4,
    smallest={"small_input": 8, "large_input": 8},
    weights="MobileNet_V2_Weights.IMAGENET1K_V2",
    group="compact",
)

# Expansion, output channels, repetitions and stride of each stage (table 2 of the paper).
STAGES = [
    [1, 16, 1, 1],
    [6, 24, 2, 2],
    [6, 32, 3, 2],
    [6, 64, 4, 2],
    [6, 96, 3, 1],
    [6, 160, 3, 2],
    [6, 320, 1, 1],
]


def build(classes: int, width: float, stem: str) -> nn.Module:
    """Return MobileNetV2. Widths below 1 do not narrow its last convolution, as in the paper.

    The small-input stem has stride 1 in the first convolution and in the second stage.
    """
    stages = [list(stage) for stage in STAGES]
    if stem == "small_input":
        stages[1][3] = 1
    network = models.MobileNetV2(
        classes,
        width_mult=width,
        inverted_residual_setting=stages,
        # A small network underfits with the usual 0.2.
        dropout=0.2 * min(1.0, width),
    )
    if stem == "small_input":
        network.features[0][0].stride = (1, 1)
    return network
