"""int8: exactly the integers that it says, ranges of training images alone, errors in one line."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from dlas import compression, datasets, models
from dlas.compression import int8
from dlas.errors import FailedError, RowError, StudyError, UnsupportedError
from dlas.models import accounting, accuracy, checkpoint
from dlas.models.folding import fold
from tests.unit.compression import small

MINMAX = {"observer": "minmax", "calibration_images": 16, "epochs": 0}
HISTOGRAM = {"observer": "histogram", "calibration_images": 16, "epochs": 0}


def in_integers(layer, inputs):
    """Return float64 outputs of a Quantized on float32 `inputs`, computed on int64 in numpy.

    The formula of Jacob et al., arXiv:1712.05877: r = S (q - Z), sums of products of integers.
    """
    inverse = np.float32(1 / float(layer.input_scale))
    zero_point = int(layer.input_zero_point)
    data = np.clip(np.rint(inputs * inverse) + zero_point, 0, 255).astype(np.int64) - zero_point
    weight = layer.weight.numpy().astype(np.int64)
    if weight.ndim == 2:
        sums = data @ weight.T
    else:
        stride, padding, dilation, groups = layer.options
        data = np.pad(data, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
        K, depth, R, S = weight.shape
        height = (data.shape[2] - dilation[0] * (R - 1) - 1) // stride[0] + 1
        width = (data.shape[3] - dilation[1] * (S - 1) - 1) // stride[1] + 1
        sums = np.zeros((len(data), K, height, width), np.int64)
        for k, c, r, s in np.ndindex(weight.shape):
            channel = k // (K // groups) * depth + c
            rows = slice(r * dilation[0], r * dilation[0] + height * stride[0], stride[0])
            columns = slice(s * dilation[1], s * dilation[1] + width * stride[1], stride[1])
            sums[:, k] += weight[k, c, r, s] * data[:, channel, rows, columns][:, :height, :width]
    shape = (-1,) + (1,) * (sums.ndim - 2)
    scale = layer.weight_scale.numpy().astype(np.float64) * float(layer.input_scale)
    bias = 0.0 if layer.bias is None else layer.bias.numpy().astype(np.float64).reshape(shape)
    return sums * scale.reshape(shape) + bias


@st.composite
def layers(draw):
    if draw(st.booleans()):
        return nn.Linear(draw(st.integers(1, 20)), draw(st.integers(1, 5)), draw(st.booleans()))
    groups = draw(st.integers(1, 3))
    return nn.Conv2d(
        groups * draw(st.integers(1, 2)),
        groups * draw(st.integers(1, 2)),
        (draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        stride=draw(st.integers(1, 2)),
        padding=draw(st.integers(0, 2)),
        dilation=draw(st.integers(1, 2)),
        groups=groups,
        bias=draw(st.booleans()),
    )


@settings(max_examples=60, deadline=None)
@given(layer=layers(), zero_point=st.integers(0, 255), seed=st.integers(0, 10_000))
def test_a_layer_computes_the_integers_exactly(layer, zero_point, seed):
    """With scales that are powers of two, float32 rounds nothing: the outputs are the same bits.

    Inputs are multiples of a quarter of the scale, ties included, and go beyond what 8 bits hold.
    """
    generator = np.random.default_rng(seed)
    quantized = int8.Quantized(layer)
    scale = 2.0 ** generator.integers(-6, 3)
    weight_scale = 2.0 ** generator.integers(-9, 0, len(layer.weight))
    tensors = {
        "weight": generator.integers(-127, 128, layer.weight.shape).astype(np.int8),
        "weight_scale": weight_scale.astype(np.float32),
        "weight_zero_point": np.zeros(len(layer.weight), np.int8),
        "input_scale": np.float32(scale),
        "input_zero_point": np.uint8(zero_point),
    }
    if layer.bias is not None:
        steps = generator.integers(-1000, 1000, len(layer.weight))
        tensors["bias"] = (steps * weight_scale * scale).astype(np.float32)
    quantized.load_state_dict({name: torch.tensor(value) for name, value in tensors.items()})
    shape = (2, layer.in_features) if isinstance(layer, nn.Linear) else (2, layer.in_channels, 7, 8)
    inputs = (generator.integers(-1200, 1200, shape) * scale / 4).astype(np.float32)
    outputs = quantized(torch.from_numpy(inputs)).numpy()
    assert np.array_equal(outputs, in_integers(quantized, inputs))


@pytest.mark.parametrize("setting", [MINMAX, HISTOGRAM], ids=str)
def test_a_compressed_network_computes_its_integers_and_is_close_to_float32(setting):
    model = small.network()
    expected = accuracy.logits(model, images())
    quantized = int8.compress(model, None, small.task(setting))
    assert not quantized.training
    layers = [layer for layer in quantized.modules() if isinstance(layer, int8.Quantized)]
    assert len(layers) == 4 and not any(
        isinstance(layer, nn.Conv2d | nn.Linear) for layer in quantized.modules()
    )
    seen = []
    for layer in layers:
        layer.register_forward_hook(lambda *call: seen.append(call))
    logits = accuracy.logits(quantized, images())
    for layer, (inputs,), outputs in seen:
        found, exact = outputs.numpy(), in_integers(layer, inputs.numpy())
        assert np.abs(found - exact).max() <= 1e-5 * np.abs(exact).max()
    error = np.linalg.norm(logits - expected) / np.linalg.norm(expected)
    assert 0 < error < 0.05


def images():
    dataset = small.dataset()
    return datasets.normalize(dataset.test.images, dataset.mean, dataset.std)


def test_weights_are_at_most_half_a_step_away():
    """The largest weight of each output channel is 127 steps from zero."""
    model = fold(small.network())
    state = int8.compress(model, None, small.task(MINMAX)).state_dict()
    for name in ("0", "2", "4", "9"):
        weight = model.get_submodule(name).weight.detach().flatten(1)
        scale = state[f"{name}.weight_scale"]
        assert torch.allclose(scale, weight.abs().amax(1) / 127)
        integers = state[f"{name}.weight"]
        assert integers.dtype == torch.int8
        assert (integers.flatten(1).short().abs().amax(1) == 127).all()
        distance = (integers.flatten(1) * scale[:, None] - weight).abs().amax(1)
        assert (distance <= 0.501 * scale).all()
        assert torch.equal(state[f"{name}.bias"], model.get_submodule(name).bias)


def test_the_first_range_is_that_of_the_training_images():
    """All of them if fewer are there than wanted, as inference sees them."""
    task = small.task(MINMAX | {"calibration_images": 999})
    dataset = task.dataset
    dataset.validation.images[:] = 255  # more than any normalized training image has
    state = int8.compress(small.network(), None, task).state_dict()
    seen = datasets.normalize(dataset.train.images, dataset.mean, dataset.std)
    assert float(state["0.input_scale"]) == pytest.approx((seen.max() - seen.min()) / 255)
    assert int(state["0.input_zero_point"]) == round(-seen.min() / (seen.max() - seen.min()) * 255)


@pytest.mark.parametrize("setting", [MINMAX, HISTOGRAM], ids=str)
def test_calibration_sees_no_image_but_those_for_training(setting):
    task = small.task(setting)
    expected = int8.compress(small.network(), None, task).state_dict()
    hidden = dataclasses.replace(task.dataset, validation=None, test=None)
    found = int8.compress(small.network(), None, dataclasses.replace(task, dataset=hidden))
    assert_same(found.state_dict(), expected)


def test_the_seed_draws_the_images():
    task = small.task(MINMAX | {"calibration_images": 2})
    states = [
        int8.compress(small.network(), None, dataclasses.replace(task, seed=seed)).state_dict()
        for seed in (0, 0, 1)
    ]
    assert_same(states[0], states[1])
    assert states[0]["4.input_scale"] != states[2]["4.input_scale"]


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        assert torch.equal(tensor, expected[name]) and tensor.dtype == expected[name].dtype


@pytest.mark.parametrize("setting", [MINMAX, HISTOGRAM], ids=str)
def test_what_follows_a_relu_has_its_zero_at_zero(setting):
    state = int8.compress(small.network(), None, small.task(setting)).state_dict()
    zeros = {name: int(state[f"{name}.input_zero_point"]) for name in ("0", "2", "4", "9")}
    assert zeros["2"] == zeros["9"] == 0
    assert zeros["0"] > 0 and zeros["4"] > 0


@pytest.mark.parametrize("setting", [MINMAX, HISTOGRAM], ids=str)
def test_an_activation_that_is_always_zero_has_a_range(setting):
    model = small.network()
    model[0].bias.data.fill_(-1000)
    quantized = int8.compress(model, None, small.task(setting))
    assert float(quantized.get_submodule("2").input_scale) > 0
    assert np.isfinite(accuracy.logits(quantized, images())).all()


def test_layers_that_read_one_tensor_have_one_range():
    model = models.build("resnet18", 4, 0.125, "small_input")
    state = int8.compress(model, None, small.task(HISTOGRAM | {"calibration_images": 4}))
    state = state.state_dict()
    for layer in (2, 3, 4):
        for name in ("input_scale", "input_zero_point"):
            shortcut = state[f"layer{layer}.0.downsample.0.{name}"]
            assert torch.equal(state[f"layer{layer}.0.conv1.{name}"], shortcut)


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0", "densenet161"])
def test_a_checkpoint_gives_the_same_outputs_bit_by_bit(name, tmp_path):
    task = small.task(MINMAX | {"calibration_images": 2}, size=32, count=2)
    model = models.build(name, 4, 0.125, "large_input", seed=1)
    quantized = int8.compress(model, None, task)
    checkpoint.save(quantized, tmp_path / "int8.safetensors")
    other = models.build(name, 4, 0.125, "large_input", seed=2)
    restored = compression.restore(["int8"], other, tmp_path / "int8.safetensors")
    assert_same(restored.state_dict(), quantized.state_dict())
    data = torch.randn(2, 3, 32, 32)
    assert torch.equal(restored(data), quantized(data))


@pytest.mark.parametrize("name", ["mobilenet_v2", "efficientnet_b0", "resnet50"])
def test_an_exported_network_quantizes_before_each_layer(name):
    """What the compiler's importer relies on."""
    model = models.build(name, 4, 0.125, "large_input")
    count = sum(isinstance(layer, nn.Conv2d | nn.Linear) for layer in model.modules())
    exported = torch.export.export(
        int8.restore_architecture(fold(model), {}), (torch.zeros(1, 3, 32, 32),)
    )
    operations = torch.ops.quantized_decomposed
    layers = [
        node
        for node in exported.graph.nodes
        if node.target in (torch.ops.aten.conv2d.default, torch.ops.aten.linear.default)
    ]
    assert len(layers) == count
    for node in layers:
        inputs, weight = node.args[:2]
        assert inputs.target == operations.dequantize_per_tensor.tensor
        assert inputs.args[0].target == operations.quantize_per_tensor.tensor
        assert inputs.args[1:] == inputs.args[0].args[1:]
        assert weight.target == operations.dequantize_per_channel.default
        assert weight.args[0].op == "placeholder"


def test_it_has_the_macs_of_the_network_and_its_bytes_by_hand():
    model = small.network()
    expected = accounting.macs(model, (1, 3, 8, 8))
    quantized = int8.compress(model, None, small.task(MINMAX))
    assert accounting.macs(quantized, (1, 3, 8, 8)) == expected
    weights = 8 * 3 * 9 + 8 * 9 + 16 * 8 + 4 * 16
    channels = 8 + 8 + 16 + 4
    # For each output channel a float32 bias, a float32 scale and an int8 zero; a float32 and a
    # uint8 for each input.
    assert accounting.model_bytes(quantized) == weights + channels * (4 + 4 + 1) + 4 * (4 + 1)


@pytest.mark.parametrize(("wanted", "count"), [(0, 16), (-1, 16), (8, 0)])
def test_an_empty_calibration_set_is_refused(wanted, count):
    task = small.task(MINMAX | {"calibration_images": wanted})
    train = datasets.Split(task.dataset.train.images[:count], task.dataset.train.labels[:count])
    task = dataclasses.replace(task, dataset=dataclasses.replace(task.dataset, train=train))
    refuse(small.network(), task, f"calibration_images is {wanted}, of {count} training images")


def test_an_unknown_observer_is_refused():
    task = small.task(MINMAX | {"observer": "guess"})
    refuse(small.network(), task, "unknown observer 'guess'; allowed: histogram, minmax")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", ["0", "4", "9"])
def test_the_layer_that_gives_no_finite_numbers_is_named(name, value):
    model = small.network()
    model.get_submodule(name).weight.data.flatten()[0] = value
    message = f"the output of the layer {name} is not finite"
    refuse(model, small.task(MINMAX), message, FailedError)


@pytest.mark.parametrize("kind", ["input_scale", "weight_scale"])
@pytest.mark.parametrize("value", [0.0, float("inf"), float("nan")])
def test_a_scale_that_is_no_number_above_zero_is_named(kind, value, monkeypatch):
    quantize = int8._quantize

    def spoiled(*arguments):
        layer = quantize(*arguments)
        layer.get_buffer(kind).fill_(value)
        return layer

    monkeypatch.setattr(int8, "_quantize", spoiled)
    refuse(small.network(), small.task(MINMAX), f"0.{kind} is {value:g}; allowed", FailedError)


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.ones(1))

    def forward(self, inputs):
        return inputs * self.factor


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.ConvTranspose2d(8, 8, 1), "1.weight of a ConvTranspose2d"),
        (nn.PReLU(), "1.weight of a PReLU"),
        (nn.GroupNorm(2, 8), "1.weight of a GroupNorm"),
        (nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect"), "1.weight of a Conv2d"),
        (nn.Conv2d(8, 8, 3, padding="same"), "1.weight of a Conv2d"),
        (Scaled(), "1.factor of a Module"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_layer_that_integers_cannot_express_is_refused(layer, message):
    model = nn.Sequential(nn.Conv2d(3, 8, 3), layer)
    message = f"int8 cannot express {message}; allowed: Conv2d "
    refuse(model, small.task(MINMAX), message, UnsupportedError)


def refuse(model, task, message, kind=StudyError):
    with pytest.raises(StudyError) as caught:
        int8.compress(model, None, task)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert isinstance(caught.value, kind) and isinstance(caught.value, RowError) == (
        kind != StudyError
    )


def pruned_network(seed=3):
    """Return a network half of whose weights are zero."""
    model = small.network(seed)
    generator = torch.Generator().manual_seed(0)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.weight.data *= torch.rand(layer.weight.shape, generator=generator) < 0.5
    return model


def test_fine_tuning_changes_weights_and_keeps_zeros():
    start = pruned_network()
    zero = {
        name: layer.weight == 0 for name, layer in fold(start).named_modules() if has_weight(layer)
    }
    recipe = dataclasses.replace(small.RECIPE, learning_rate=0.5)
    task = small.task(MINMAX | {"epochs": 2}, start, recipe)
    plain = int8.compress(pruned_network(), None, small.task(MINMAX, start))
    tuned = int8.compress(start, None, task)
    for name, mask in zero.items():
        weight = tuned.get_submodule(name).weight
        assert weight.dtype == torch.int8 and not weight[mask].any()
        assert len(mask[~mask]) and weight[~mask].any()
    before, after = plain.get_submodule("0"), tuned.get_submodule("0")
    assert not torch.equal(before.weight, after.weight)
    # The ranges of the activations are those of the calibration.
    assert torch.equal(before.input_scale, after.input_scale)
    again = int8.compress(pruned_network(), None, task)
    assert all(map(torch.equal, again.state_dict().values(), tuned.state_dict().values()))


def has_weight(layer):
    return isinstance(layer, nn.Conv2d | nn.Linear)


def test_fine_tuning_sees_the_numbers_that_are_compiled():
    """With weights that do not move it ends where it began."""
    start = small.network(5)
    task = small.task(MINMAX | {"epochs": 1}, start, recipe=small.FROZEN)
    frozen = int8.compress(start, None, task)
    plain = int8.compress(small.network(5), None, small.task(MINMAX, start))
    for name, tensor in plain.state_dict().items():
        other = frozen.state_dict()[name]
        same = torch.allclose if tensor.is_floating_point() else torch.equal
        assert same(tensor, other), name
