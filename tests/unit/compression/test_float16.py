"""float16: half precision in all of the network, with sums that are wider."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from dlas import compression, datasets, models
from dlas.compression import float16
from dlas.models import accounting, accuracy, checkpoint
from dlas.models.folding import fold
from tests.unit.compression import small


def images(count=16, size=8):
    dataset = small.dataset(size, count)
    return datasets.normalize(dataset.test.images, dataset.mean, dataset.std)


def test_all_of_the_network_is_in_half_precision_and_close_to_float32():
    model = small.network()
    half = float16.compress(copy.deepcopy(model), None, small.task({}))
    assert not half.training
    types = []
    for layer in half.children():
        layer.register_forward_hook(lambda _, inputs, output: types.extend([inputs[0], output]))
    logits = accuracy.logits(half, images())
    assert {tensor.dtype for tensor in types} == {torch.float16}
    assert {tensor.dtype for tensor in half.state_dict().values()} == {torch.float16}
    assert logits.dtype == np.float32
    expected = accuracy.logits(model, images())
    error = np.linalg.norm(logits - expected) / np.linalg.norm(expected)
    assert 0 < error < 2e-2


def test_normalizations_are_folded_before_values_are_rounded():
    model = small.network()
    model[3].weight.data.uniform_(0.5, 2)
    half = float16.compress(copy.deepcopy(model), None, small.task({}))
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in half.modules())
    assert torch.equal(half.get_submodule("2").weight, fold(model).get_submodule("2").weight.half())


@pytest.mark.parametrize("groups", [1, 2])
def test_torch_adds_in_float32(groups):
    """A sum of ones in float16 would stay at 2048: the next float16 number is 2050."""
    size = 8
    ones = torch.ones(1, 64 * groups, size, size, dtype=torch.float16)
    weight = torch.ones(groups, 64, size, size, dtype=torch.float16)
    assert functional.conv2d(ones, weight, groups=groups).flatten().tolist() == [4096.0] * groups
    assert functional.linear(ones.flatten(1), ones.flatten(1)).item() == 4096.0 * groups


@pytest.mark.parametrize("name", ["mobilenet_v1", "densenet161"])
def test_a_checkpoint_gives_the_same_outputs_bit_by_bit(name, tmp_path):
    model = models.build(name, 4, 0.125, "large_input", seed=1)
    half = float16.compress(model, None, small.task({}))
    checkpoint.save(half, tmp_path / "half.safetensors")
    other = models.build(name, 4, 0.125, "large_input", seed=2)
    restored = compression.restore(["float16"], other, tmp_path / "half.safetensors")
    data = images(2, 32)
    assert np.array_equal(accuracy.logits(restored, data), accuracy.logits(half, data))


def test_it_takes_half_the_bytes_and_the_same_operations():
    model = fold(small.network())
    half = float16.compress(small.network(), None, small.task({}))
    assert 2 * accounting.model_bytes(half) == accounting.model_bytes(model)
    assert accounting.macs(half, (1, 3, 8, 8)) == accounting.macs(model, (1, 3, 8, 8))
