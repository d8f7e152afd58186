"""Static quantization to 8-bit integers, after training or with quantization-aware fine-tuning.

Weights are signed and symmetric with one scale per output channel. Activations are unsigned with
one scale and zero point per tensor. Sums are 32-bit integers (Jacob et al., arXiv:1712.05877).
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

# Registers torch.ops.quantized_decomposed.
import torch.ao.quantization.fx._decomposed
from torch import Tensor, nn
from torch.ao.quantization import FakeQuantize, observer
from torch.nn import functional
from torch.nn.utils import parametrize
from torch.utils.hooks import RemovableHandle

from dlas.compression import Task
from dlas.datasets import normalize
from dlas.errors import FailedError, StudyError, UnsupportedError, unknown
from dlas.models import training
from dlas.models.folding import fold
from dlas.plugins import Annotated, Choice, Count, Ge, Setting, TechniquePlugin

PLUGIN = TechniquePlugin(
    label="int8",
    order=4,
    dtype="int8",
    folds=True,
    colour="#D55E00",
    settings={
        "calibration_images": Setting(
            Count, "training images on which the ranges of the activations are found"
        ),
        "observer": Setting(
            Choice["histogram", "minmax"],
            "how ranges are found: histogram (least squared error) or minmax",
        ),
        "epochs": Setting(
            Annotated[int, Ge(0)],
            "passes of quantization-aware fine-tuning over the training images; 0 for none",
        ),
    },
)

# The range of uint8.
ACTIVATIONS = (0, 255)
# The range of int8 without -128: a weight and its negative are equally exact.
WEIGHTS = (-127, 127)
# Images that calibration holds in memory at a time.
BATCH_SIZE = 32


class Quantized(nn.Module):
    """A convolution or linear layer on 8-bit integers.

    Inputs are quantized to round(input / input_scale) + input_zero_point, clamped to 0..255. The
    layer sums the products of (integer - zero point) and integer weight exactly, multiplies by
    input_scale * weight_scale and adds the bias. torch holds the integers in float32, which rounds
    the sums; a compiler turns the quantize and dequantize operations into integer arithmetic.
    """

    weight_scale: Tensor
    weight_zero_point: Tensor
    input_scale: Tensor
    input_zero_point: Tensor

    def __init__(self, layer: nn.Conv2d | nn.Linear) -> None:
        """Copy the configuration of a float32 layer, not its values."""
        super().__init__()
        channels = layer.weight.shape[0]
        self.convolution = isinstance(layer, nn.Conv2d)
        self.options: tuple[Any, ...] = ()
        if isinstance(layer, nn.Conv2d):
            self.options = (layer.stride, layer.padding, layer.dilation, layer.groups)
        self.weight = nn.Parameter(
            torch.zeros(layer.weight.shape, dtype=torch.int8), requires_grad=False
        )
        self.bias = None
        if layer.bias is not None:
            self.bias = nn.Parameter(torch.zeros(channels), requires_grad=False)
        self.register_buffer("weight_scale", torch.ones(channels))
        self.register_buffer("weight_zero_point", torch.zeros(channels, dtype=torch.int8))
        self.register_buffer("input_scale", torch.tensor(1.0))
        self.register_buffer("input_zero_point", torch.tensor(0, dtype=torch.uint8))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return float32 outputs [B, O, ...] of float32 inputs [B, I, ...]."""
        operations = torch.ops.quantized_decomposed
        form = (self.input_scale, self.input_zero_point, *ACTIVATIONS, torch.uint8)
        integers = operations.quantize_per_tensor.tensor(inputs, *form)
        inputs = operations.dequantize_per_tensor.tensor(integers, *form)
        weight = operations.dequantize_per_channel.default(
            self.weight, self.weight_scale, self.weight_zero_point, 0, *WEIGHTS, torch.int8
        )
        if self.convolution:
            return functional.conv2d(inputs, weight, self.bias, *self.options)
        return functional.linear(inputs, weight, self.bias)


def compress(model: nn.Module, level: float | None, task: Task) -> nn.Module:
    """Return the network with every convolution and linear layer on 8-bit integers.

    The activation ranges come from `settings["calibration_images"]` training images, drawn by the
    seed, or from all if there are fewer. torch's observer `settings["observer"]` finds them:
    "minmax" takes the smallest and largest value, "histogram" the range of least squared error.
    With `settings["epochs"]` above 0, quantization-aware fine-tuning follows. The result is
    deterministic for a seed, thread count and machine. Parameters and result are those of
    `Technique.compress`.

    Raises
    ------
    StudyError
        For an empty calibration set, and for an unknown observer.
    UnsupportedError
        For a layer that integers cannot express.
    FailedError
        For an activation or a scale that is not finite.
    """
    folded = fold(model)
    layers = _expressible(folded)
    images = _calibration_images(task)
    ranges = _calibrate(folded, layers, images, task)
    if task.settings["epochs"]:
        _fine_tune(folded, layers, ranges, task)
    for name, layer in layers.items():
        quantized = _quantize(layer, *ranges[name])
        _check_scales(quantized, name)
        folded.set_submodule(name, quantized)
    return folded


def restore_architecture(model: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    """Return the quantized form of a folded architecture."""
    for name, layer in _expressible(model).items():
        model.set_submodule(name, Quantized(layer))
    return model


def _expressible(folded: nn.Module) -> dict[str, nn.Conv2d | nn.Linear]:
    """Return the layers to quantize by name; raise UnsupportedError for any other with weights."""
    layers: dict[str, nn.Conv2d | nn.Linear] = {}
    for parameter, _ in folded.named_parameters():
        name = parameter.rpartition(".")[0]
        layer = folded.get_submodule(name)
        if type(layer) is nn.Linear or (type(layer) is nn.Conv2d and _zero_padded(layer)):
            layers[name] = layer
        elif type(layer) not in (nn.BatchNorm1d, nn.BatchNorm2d):
            raise UnsupportedError(
                f"int8 cannot express {parameter} of a {type(layer).__name__}; allowed: "
                "Conv2d with a number of zeros as padding, Linear, BatchNorm1d, BatchNorm2d"
            )
    return layers


def _zero_padded(layer: nn.Conv2d) -> bool:
    return layer.padding_mode == "zeros" and not isinstance(layer.padding, str)


def _calibration_images(task: Task) -> np.ndarray:
    """Return float32 images [N, 3, H, W], normalized as for inference."""
    wanted, split = task.settings["calibration_images"], task.dataset.train
    count = min(wanted, len(split.images))
    if count < 1:
        raise StudyError(
            f"the calibration set is empty: calibration_images is {wanted}, of "
            f"{len(split.images)} training images; allowed: 1 or more of each"
        )
    chosen = np.random.default_rng(task.seed).permutation(len(split.images))[:count]
    return normalize(split.images[chosen], task.dataset.mean, task.dataset.std)


def _calibrate(
    folded: nn.Module, layers: Mapping[str, nn.Module], images: np.ndarray, task: Task
) -> dict[str, tuple[Tensor, Tensor]]:
    """Return the scale and zero point of each layer's input."""
    kinds = {"histogram": observer.HistogramObserver, "minmax": observer.MinMaxObserver}
    kind = task.settings["observer"]
    if kind not in kinds:
        raise unknown("observer", kind, kinds)
    low, high = ACTIVATIONS
    form = {"dtype": torch.uint8, "qscheme": torch.per_tensor_affine}
    # Layers that read the same tensor get the same range, each from its own observer.
    observers = {name: kinds[kind](quant_min=low, quant_max=high, **form) for name in layers}

    def watch(name: str) -> RemovableHandle:
        def observe(_: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
            if not output.isfinite().all():
                raise FailedError(
                    f"calibration of int8: the output of the layer {name} is not finite; "
                    "allowed: networks whose activations are finite numbers"
                )
            observers[name](inputs[0])

        return layers[name].register_forward_hook(observe)

    handles = [watch(name) for name in layers]
    threads_before = torch.get_num_threads()
    torch.set_num_threads(task.threads)
    try:
        with torch.inference_mode():
            for batch in torch.from_numpy(images).split(BATCH_SIZE):
                folded(batch)
    finally:
        torch.set_num_threads(threads_before)
        for handle in handles:
            handle.remove()
    return {name: found.calculate_qparams() for name, found in observers.items()}


class _Masked(nn.Module):
    """A parametrization that keeps masked weights at zero."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.mask


def _fine_tune(
    folded: nn.Module,
    layers: Mapping[str, nn.Conv2d | nn.Linear],
    ranges: Mapping[str, tuple[Tensor, Tensor]],
    task: Task,
) -> None:
    """Train with weights and layer inputs rounded to integers in each forward pass; keep zeros.

    Gradients ignore the rounding (straight-through estimator; Jacob et al., section 3.1). The
    calibrated ranges of the activations stay fixed.
    """
    low, high = WEIGHTS
    hooks = []
    for name, layer in layers.items():
        rounding = FakeQuantize.with_args(
            observer=observer.MovingAveragePerChannelMinMaxObserver,
            averaging_constant=1.0,
            quant_min=low,
            quant_max=high,
            dtype=torch.qint8,
            qscheme=torch.per_channel_symmetric,
            ch_axis=0,
        )()
        parametrize.register_parametrization(layer, "weight", _Masked(layer.weight.ne(0)))
        parametrize.register_parametrization(layer, "weight", rounding)
        hooks.append(layer.register_forward_pre_hook(_rounded_input(*ranges[name])))
    # bfloat16 would round values before they are rounded to 8 bits.
    recipe = replace(task.recipe, bfloat16=False)
    training.train(
        folded, task.dataset, recipe, task.seed, task.threads, task.progress, task.resume_from
    )
    for hook, layer in zip(hooks, layers.values(), strict=True):
        hook.remove()
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
    folded.requires_grad_(False).eval()


def _rounded_input(scale: Tensor, zero_point: Tensor) -> Callable[..., Tensor]:
    def rounded(_: nn.Module, inputs: tuple[Tensor]) -> Tensor:
        return torch.fake_quantize_per_tensor_affine(
            inputs[0], float(scale), int(zero_point), *ACTIVATIONS
        )

    return rounded


def _check_scales(layer: Quantized, name: str) -> None:
    """Raise FailedError unless all scales of a layer are finite and above 0."""
    for kind in ("input_scale", "weight_scale"):
        scales = layer.get_buffer(kind).flatten()
        wrong = scales[~(scales.isfinite() & (scales > 0))]
        if len(wrong):
            raise FailedError(
                f"calibration of int8: {name}.{kind} is {wrong[0]:g}; allowed: finite numbers "
                "above 0"
            )


def _quantize(
    layer: nn.Conv2d | nn.Linear, input_scale: Tensor, input_zero_point: Tensor
) -> Quantized:
    low, high = WEIGHTS
    of_channels = observer.PerChannelMinMaxObserver(
        dtype=torch.int8, qscheme=torch.per_channel_symmetric, quant_min=low, quant_max=high
    )
    weight = layer.weight.detach()
    of_channels(weight)
    scale, zero_point = of_channels.calculate_qparams()
    integers = torch.ops.quantized_decomposed.quantize_per_channel(
        weight, scale, zero_point, 0, low, high, torch.int8
    )
    tensors = {
        "weight": integers,
        "weight_scale": scale,
        "weight_zero_point": zero_point,
        "input_scale": input_scale.squeeze(),
        "input_zero_point": input_zero_point.squeeze(),
    }
    if layer.bias is not None:
        tensors["bias"] = layer.bias.detach()
    quantized = Quantized(layer)
    quantized.load_state_dict(tensors)
    return quantized
