"""VGG-16 (Simonyan and Zisserman, arXiv:1409.1556) in the form that is used on CIFAR-10.

Batch normalization after each convolution, and one linear layer in place of three.
"""

from torch import nn

from dlas.models.vision import channels, models


def build(classes: int, width: float, stem: str) -> nn.Module:
    """Return VGG-16. Its first layers keep the image's size already, so both stems are the same."""
    layers = [
        layer if layer == "M" else channels(int(layer), width) for layer in models.vgg.cfgs["D"]
    ]
    network = models.vgg.VGG(models.vgg.make_layers(layers, batch_norm=True), num_classes=classes)
    network.avgpool = nn.AdaptiveAvgPool2d(1)
    network.classifier = nn.Sequential(nn.Linear(channels(512, width), classes))
    return network
