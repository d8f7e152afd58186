"""VGG-16 (Simonyan and Zisserman, arXiv:1409.1556) in its usual form for CIFAR-10.

It has batch normalization after each convolution, and one linear layer instead of three.
"""

from torch import nn

from dlas.models.vision import channels, initialize, models
from dlas.plugins import ModelPlugin

PLUGIN = ModelPlugin(
    label="VGG-16",
    order=2,
    smallest={"small_input": 32, "large_input": 32},
    group="large",
)


def build(classes: int, width: float, stem: str) -> nn.Module:
    """Return VGG-16. Its first layers keep the image's size, so both stems are the same."""
    layers = [
        layer if isinstance(layer, str) else channels(layer, width)
        for layer in models.vgg.cfgs["D"]
    ]
    network = nn.Sequential(
        *models.vgg.make_layers(layers, batch_norm=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(channels(512, width), classes),
    )
    initialize(network)
    return network
