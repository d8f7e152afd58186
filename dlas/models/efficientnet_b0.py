"""EfficientNetB0 (Tan and Le, arXiv:1905.11946)."""

from torch import nn

from dlas.models.vision import models
from dlas.plugins import ModelPlugin

PLUGIN = ModelPlugin(
    label="EfficientNetB0",
    order=7,
    smallest={"small_input": 8, "large_input": 8},
    weights="EfficientNet_B0_Weights.IMAGENET1K_V1",
    group="compact",
)

# Expansion, kernel size, stride, input channels, output channels and repetitions of each stage
# (table 1 of the paper).
STAGES = [
    (1, 3, 1, 32, 16, 1),
    (6, 3, 2, 16, 24, 2),
    (6, 5, 2, 24, 40, 2),
    (6, 3, 2, 40, 80, 3),
    (6, 5, 1, 80, 112, 3),
    (6, 5, 2, 112, 192, 4),
    (6, 3, 1, 192, 320, 1),
]


def build(classes: int, width: float, stem: str) -> nn.Module:
    """Return EfficientNetB0. The small-input stem has stride 1 in the first convolution.

    Widths below 1 lower the rates of dropout and stochastic depth, as small networks underfit with
    the published 0.2. Larger members of the family have higher rates.
    """
    stages = [models.efficientnet.MBConvConfig(*stage, width, 1.0) for stage in STAGES]
    rate = 0.2 * min(1.0, width)
    network = models.EfficientNet(
        stages, dropout=rate, stochastic_depth_prob=rate, num_classes=classes
    )
    if stem == "small_input":
        network.features[0][0].stride = (1, 1)
    return network
