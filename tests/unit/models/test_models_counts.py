"""At width 1 the eight pairs of the study have the literature's parameters and MACs, to 1 %.

MACs are multiply-accumulate operations of convolutions and linear layers; where a source counts
more or writes FLOPs for MACs, it is said beside its number.
"""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
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
    """Torchvision's metadata: num_params, and `_ops` in units of 1e9, which are MACs."""
    published = WEIGHTS[name].meta
    network = models.build(name, 1000, 1.0, "large_input")
    assert accounting.parameters(network) == pytest.approx(published["num_params"], rel=0.01)
    assert accounting.macs(network, LARGE) == pytest.approx(published["_ops"] * 1e9, rel=0.01)


@pytest.mark.parametrize(
    ("name", "parameters", "operations"),
    [
        # README of a fork of kuangliu/pytorch-cifar, whose networks it counts with thop: "Params"
        # and "MACs"; da2so/DA2Lite, model_zoo/README.md, has 11.17 M and 0.56 G for ResNet18, 14.73
        # M and 0.31 G for VGG-16.
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

    kuangliu/pytorch-cifar adds convolutions to three shortcuts that the paper does not have (2.30
    M).
    """
    network = models.build("mobilenet_v2", 10, 1.0, "small_input")
    assert accounting.parameters(network) == pytest.approx(2.24e6, rel=0.01)
    assert accounting.macs(network, SMALL) == pytest.approx(87.98e6, rel=0.01)


def test_mobilenet_v1_has_the_counts_of_its_paper():
    """arXiv:1704.04861: 1.0 MobileNet-224 has 569 million mult-adds, 4.2 million parameters."""
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


def test_nonzero_macs_leave_out_exact_zeros():
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Flatten(), nn.Linear(8 * 16, 5))
    network[0].weight.data[:, 0] = 0
    network[2].weight.data[1:] = 0
    assert accounting.nonzero_macs(network, (1, 3, 4, 4)) == 16 * 8 * 2 * 9 + 8 * 16


def test_macs_of_grouped_layers():
    network = nn.Sequential(
        nn.Conv2d(3, 8, 1, bias=False),
        nn.Conv2d(8, 12, 3, groups=4),
        nn.Conv2d(12, 24, 1, groups=12),
    )
    expected = {"0": 36 * 3 * 8, "1": 16 * 9 * (8 // 4) * 12, "2": 16 * 24}
    assert accounting.macs_of_layers(network, (1, 3, 6, 6)) == expected
    assert accounting.macs(network, (1, 3, 6, 6)) == sum(expected.values())


def test_a_half_network_has_the_same_macs_and_half_the_bytes():
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 4))
    macs, size = accounting.macs(network, (1, 3, 3, 3)), accounting.model_bytes(network)
    network.half()
    assert accounting.macs(network, (1, 3, 3, 3)) == macs == 9 * 3 * 8 + 8 * 4
    assert accounting.model_bytes(network) * 2 == size


def test_stored_bytes_count_running_statistics_but_not_the_batches():
    """Scale, shift, mean and variance of 8 channels; only training needs the int64 counter."""
    assert accounting.model_bytes(nn.BatchNorm2d(8)) == 4 * 8 * 4
    assert accounting.parameters(nn.BatchNorm2d(8)) == 2 * 8


@pytest.mark.parametrize(
    ("dtype", "size"), [(torch.float32, 4), (torch.float16, 2), (torch.int8, 1)]
)
def test_csr_bytes_by_hand(dtype, size):
    """Two values with a 4-byte column each, and 4-byte pointers to three rows and the end."""
    weight = torch.zeros(3, 5, 1, 2).to(dtype)
    weight[0, 4, 0, 1] = 1
    weight[2, 0, 0, 0] = -1
    assert accounting.csr_bytes(weight) == 2 * (size + 4) + 4 * 4


@pytest.mark.parametrize("kept", [0, 1, 20, 40, 80])
def test_a_weight_is_stored_in_its_smaller_form(kept):
    layer = nn.Linear(10, 8)
    layer.weight.data.fill_(1.0).flatten()[kept:] = 0
    dense, sparse = 4 * 80, 8 * kept + 4 * 9
    assert accounting.model_bytes(layer) == min(dense, sparse) + 4 * 8


@given(
    st.integers(0, 2**32), st.floats(0, 1), st.sampled_from([(4, 3, 3, 3), (6, 1, 5, 5), (3, 7)])
)
def test_csr_bytes_are_those_of_scipy(seed, density, shape):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(shape, generator=generator)
    weight *= torch.rand(shape, generator=generator) < density
    matrix = csr_array(weight.flatten(1).numpy())
    arrays = (matrix.data, matrix.indices, matrix.indptr)
    assert accounting.csr_bytes(weight) == sum(array.nbytes for array in arrays)
    assert matrix.indices.dtype == matrix.indptr.dtype == "int32"


def test_layers_that_are_no_weights_are_stored_dense():
    """Biases and statistics stay dense though all zero."""
    network = nn.Sequential(nn.BatchNorm2d(100))
    for tensor in network.state_dict().values():
        tensor.zero_()
    assert accounting.model_bytes(network) == 4 * 100 * 4


def test_the_summary_names_the_columns_of_the_table():
    network = nn.Sequential(nn.Conv2d(3, 8, 1, bias=False))
    network[0].weight.data[0] = 0
    assert accounting.summarize(network, (1, 3, 2, 2)) == {
        "params": 24,
        "nonzero_params": 21,
        "macs": 4 * 24,
        "nonzero_macs": 4 * 21,
        "model_bytes": 4 * 24,
    }
