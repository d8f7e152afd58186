"""At width 1 the eight pairs of the study have the literature's parameters and MACs, to 1 %.

MACs are multiply-accumulate operations of convolutions and linear layers; where a source counts more or
writes FLOPs for MACs, it is said beside its number.
"""

import pytest
from torch import nn

from dlas import models
from dlas.models import accounting
from dlas.models.vision import models as torchvision_models

SMALL, LARGE = (1, 3, 32, 32), (1, 3, 224, 224)
WEIGHTS = {
    "resnet50": torchvision_models.ResNet50_Weights.IMAGENET1K_V1,
    "densenet161": torchvision_models.DenseNet161_Weights.IMAGENET1K_V1,
    "efficientnet_b0": torchvision_models.EfficientNet_B0_Weights.IMAGENET1K_V1,
    "mobilenet_v2": torchvision_models.MobileNet_V2_Weights.IMAGENET1K_V1,
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_large_input_models_have_torchvisions_counts(name):
    """torchvision's metadata: num_params, and `_ops` in units of 1e9, which are MACs."""
    published = WEIGHTS[name].meta
    network = models.build(name, 1000, 1.0, "large_input")
    assert accounting.parameters(network) == pytest.approx(published["num_params"], rel=0.01)
    assert accounting.macs(network, LARGE) == pytest.approx(published["_ops"] * 1e9, rel=0.01)


@pytest.mark.parametrize(
    ("name", "parameters", "operations"),
    [
        # README of a fork of kuangliu/pytorch-cifar, whose networks it counts with thop: "Params" and "MACs";
        # da2so/DA2Lite, model_zoo/README.md, has 11.17 M and 0.56 G for ResNet18, 14.73 M and 0.31 G for VGG-16.
        ("resnet18", 11_173_962, 556.65e6),
        ("vgg16", 14_728_266, 314.03e6),
        ("mobilenet_v1", 3_217_226, 47.18e6),
    ],
)
def test_small_input_models_have_the_counts_of_pytorch_cifar(name, parameters, operations):
    """Beside MACs, thop counts two operations for each output of batch normalization."""
    network = models.build(name, 10, 1.0, "small_input")
    assert accounting.parameters(network) == pytest.approx(parameters, rel=0.01)

    normalized = 0

    def count(module, inputs, output):
        nonlocal normalized
        normalized += output.numel()

    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(count)
    macs = accounting.macs(network, SMALL)
    assert macs + 2 * normalized == pytest.approx(operations, rel=0.01)


def test_mobilenet_v2_has_the_counts_of_pytorch_cifar_models():
    """README of chenyaofo/pytorch-cifar-models, mobilenetv2_x1_0: #Params(M), #MAdds(M) as MACs.

    kuangliu/pytorch-cifar adds convolutions to three shortcuts that the paper does not have (2.30 M).
    """
    network = models.build("mobilenet_v2", 10, 1.0, "small_input")
    assert accounting.parameters(network) == pytest.approx(2.24e6, rel=0.01)
    assert accounting.macs(network, SMALL) == pytest.approx(87.98e6, rel=0.01)


def test_mobilenet_v1_has_the_counts_of_its_paper():
    """arXiv:1704.04861, its tables: 1.0 MobileNet-224, 569 million mult-adds, 4.2 million parameters."""
    network = models.build("mobilenet_v1", 1000, 1.0, "large_input")
    assert accounting.parameters(network) == pytest.approx(4.2e6, rel=0.01)
    assert accounting.macs(network, LARGE) == pytest.approx(569e6, rel=0.01)


def test_macs_of_known_layers():
    """By hand: output positions x kernel x input channels of a group x output channels."""
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.Flatten(),
        nn.Linear(8 * 5 * 5, 10),
    )
    expected = 25 * 9 * 3 * 8 + 25 * 9 * 8 + 200 * 10
    assert accounting.macs(network, (1, 3, 9, 9)) == expected
    assert accounting.macs(network, (2, 3, 9, 9)) == 2 * expected
    assert accounting.parameters(network) == (9 * 3 * 8 + 8) + (9 * 8 + 8) + (2000 + 10)
    assert accounting.model_bytes(network) == 4 * accounting.parameters(network)
    assert network.training


def test_nonzero_parameters_leave_out_exact_zeros():
    layer = nn.Linear(4, 3)
    layer.weight.data[0] = 0
    assert accounting.nonzero_parameters(layer) == 15 - 4
