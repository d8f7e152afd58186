"""Bit-exact NumPy evaluation of a quantized network: the reference for compiled int8 networks.

Sums of products are exact integers. All else is float32 in the order of the network's operators,
each rounded once. The reference shares no code with the kernels, and reads padding as the real
number zero.
"""

import math
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from tvm import relax

from dlas.compiler.exponential import (
    COEFFICIENTS,
    LN2_LOWER,
    LN2_UPPER,
    LOG2_E,
    OVERFLOW,
    UNDERFLOW,
)
from dlas.compiler.interpreter import Interpreter, integers
from dlas.compiler.network import Network
from dlas.compiler.normalization import scale_and_shift
from dlas.compiler.quantization import HIGHEST, LOWEST, Quantization, QuantizedWeight
from dlas.errors import StudyError

OPERATORS = {
    "relax.add": np.add,
    "relax.subtract": np.subtract,
    "relax.multiply": np.multiply,
    "relax.divide": np.divide,
}


def integer_reference(network: Network, images: np.ndarray) -> np.ndarray:
    """Return the logits of a quantized network.

    Parameters
    ----------
    network : Network
        The imported int8 network.
    images : ndarray of float32 [N, C, H, W]
        Images.

    Returns
    -------
    ndarray of float32 [N, classes]
        Logits.

    Raises
    ------
    StudyError
        For an operator that the compiler does not know, and for a layer that is not quantized.
    """
    logits: np.ndarray = _Reference(network).interpret(images)
    return logits


@np.errstate(over="ignore", invalid="ignore")
def exponential(values: np.ndarray) -> np.ndarray:
    """Return the exponential of float32 `values`, computed as in `dlas.compiler.exponential`."""
    log2_e, upper, lower = (np.float32(each) for each in (LOG2_E, LN2_UPPER, LN2_LOWER))
    x = np.clip(values, np.float32(UNDERFLOW), np.float32(OVERFLOW))
    n = np.rint(x * log2_e)
    r = x - n * upper - n * lower
    q = np.zeros_like(r)
    for coefficient in COEFFICIENTS:
        q = q * r + np.float32(coefficient)
    powers = ((n.astype(np.int32) + 127) << 23).view(np.float32)
    result: np.ndarray = (q * (r * r) + r + np.float32(1)) * powers
    return result


def sigmoid(values: np.ndarray) -> np.ndarray:
    """Return the logistic function of float32 `values`."""
    result: np.ndarray = np.float32(1) / (np.float32(1) + exponential(-values))
    return result


class _Reference(Interpreter):
    """Interpreter over NumPy arrays.

    Feature maps are float32 [N, C, H, W]. Quantized ones are pairs of uint8 and a `Quantization`.
    """

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        self.handlers = {
            "relax.nn.conv2d": self.convolution,
            "relax.matmul": self.linear,
            "relax.nn.batch_norm": self.batch_normalization,
            "relax.nn.max_pool2d": self.maximum,
            "relax.nn.avg_pool2d": self.average,
            "relax.nn.adaptive_avg_pool2d": self.global_average,
            "relax.mean": self.global_average,
            "relax.nn.relu": lambda call: np.maximum(self.operand(call), np.float32(0)),
            "relax.exp": lambda call: exponential(self.operand(call)),
            "relax.sigmoid": lambda call: sigmoid(self.operand(call)),
            "relax.clip": self.clip,
            "relax.concat": lambda call: np.concatenate(self.operand(call), int(call.attrs.axis)),
            "relax.reshape": self.reshape,
            "relax.permute_dims": self.permutation,
            "relax.astype": lambda call: self.operand(call).astype(call.attrs.dtype),
            "relax.quantize": self.quantize,
            "relax.dequantize": self.dequantize,
            **dict.fromkeys(OPERATORS, self.binary),
        }

    def operand(self, call: relax.Call, position: int = 0) -> Any:
        return self.evaluate(call.args[position])

    # Handlers of integer operators.

    def quantize(self, call: relax.Call) -> np.ndarray:
        how = self.quantization(call)
        steps = np.rint(self.operand(call) * how.inverse)
        return np.clip(steps + how.zero_point, LOWEST, HIGHEST).astype(np.uint8)

    def dequantize(self, call: relax.Call) -> tuple[np.ndarray, Quantization] | QuantizedWeight:
        if self.operand(call).dtype == np.int8:
            return QuantizedWeight(self.operand(call), self.operand(call, 1))
        return self.operand(call), self.quantization(call)

    def quantization(self, call: relax.Call) -> Quantization:
        scale, zero_point = self.operand(call, 1), self.operand(call, 2)
        return Quantization(np.float32(scale.item()), int(zero_point.item()))

    def convolution(self, call: relax.Call) -> np.ndarray:
        padding, strides = integers(call.attrs.padding), integers(call.attrs.strides)
        return self.layer(self.operand(call), self.operand(call, 1), padding, strides, call)

    def linear(self, call: relax.Call) -> np.ndarray:
        (data, how), matrix = self.operand(call), self.operand(call, 1)
        weight = QuantizedWeight(matrix.values.T[:, :, None, None], matrix.scale)
        sums = self.layer((data[:, :, None, None], how), weight, (0, 0, 0, 0), (1, 1), None)
        return sums[:, :, 0, 0]

    def layer(
        self,
        data: Any,
        weight: Any,
        padding: tuple[int, int, int, int],
        strides: tuple[int, int],
        call: relax.Call | None,
    ) -> np.ndarray:
        if not isinstance(data, tuple) or not isinstance(weight, QuantizedWeight):
            raise StudyError("a layer that is not quantized; allowed: int8 networks")
        values, how = data
        groups = int(call.attrs.groups) if call is not None else 1
        # float64 is exact here: sums stay far below 2 ** 53.
        kernels = weight.values.astype(np.float64)
        channels, depth, rows, columns = kernels.shape
        steps = values.astype(np.float64) - how.zero_point
        patches = windows(steps, (rows, columns), strides, padding, 0.0)
        batch, _, height, width = patches.shape[:4]
        patches = patches.reshape(batch, groups, depth, height, width, rows, columns)
        patches = patches.transpose(0, 1, 3, 4, 2, 5, 6).reshape(
            batch, groups, height * width, depth * rows * columns
        )
        sums = patches @ kernels.reshape(groups, channels // groups, -1).transpose(0, 2, 1)
        sums = sums.transpose(0, 1, 3, 2).reshape(batch, channels, height, width)
        scale = how.scale * weight.scale
        return sums.astype(np.int32).astype(np.float32) * scale[:, None, None]

    # Handlers of real-valued operators.

    def binary(self, call: relax.Call) -> np.ndarray:
        operator = OPERATORS[call.op.name]
        result: np.ndarray = operator(self.operand(call), self.operand(call, 1))
        return result.astype(np.float32)

    def clip(self, call: relax.Call) -> np.ndarray:
        lowest, highest = (np.float32(bound.value) for bound in call.args[1:])
        clipped: np.ndarray = np.clip(self.operand(call), lowest, highest)
        return clipped

    def batch_normalization(self, call: relax.Call) -> tuple[np.ndarray, None, None]:
        constants = (self.operand(call, position) for position in range(1, 5))
        scale, shift = scale_and_shift(call.attrs.epsilon, *constants)
        scaled = self.operand(call) * scale[:, None, None]
        return scaled + shift[:, None, None], None, None

    def maximum(self, call: relax.Call) -> np.ndarray:
        found: np.ndarray = self.pooled(call, -np.inf).max(axis=(4, 5))
        return found

    def average(self, call: relax.Call) -> np.ndarray:
        if any(integers(call.attrs.padding)) and not call.attrs.count_include_pad:
            raise StudyError("average pooling that leaves its border out; allowed: that counts it")
        patches = self.pooled(call, 0.0)
        return in_order(patches) / np.float32(patches[0, 0, 0, 0].size)

    def pooled(self, call: relax.Call, border: float) -> np.ndarray:
        attributes = call.attrs
        if attributes.ceil_mode:
            raise StudyError("pooling that rounds its size up; allowed: down")
        return windows(
            self.operand(call),
            integers(attributes.pool_size),
            integers(attributes.strides),
            integers(attributes.padding),
            border,
        )

    def global_average(self, call: relax.Call) -> np.ndarray:
        data = self.operand(call)
        average = in_order(data) / np.float32(data.shape[2] * data.shape[3])
        return average.reshape(len(data), *integers(call.ty.shape)[1:])

    def reshape(self, call: relax.Call) -> np.ndarray:
        value, shape = self.operand(call), integers(call.ty.shape)
        # The network is for one image, but a feature map here holds several.
        is_feature = math.prod(shape) * len(value) == value.size and shape[0] == 1
        reshaped: np.ndarray = value.reshape(len(value) if is_feature else shape[0], *shape[1:])
        return reshaped

    def permutation(self, call: relax.Call) -> np.ndarray | QuantizedWeight:
        value, axes = self.operand(call), integers(call.attrs.axes)
        if isinstance(value, QuantizedWeight):
            return QuantizedWeight(value.values.transpose(axes), value.scale)
        transposed: np.ndarray = value.transpose(axes)
        return transposed


def windows(
    data: np.ndarray,
    size: tuple[int, int],
    strides: tuple[int, int],
    padding: tuple[int, int, int, int],
    border: float,
) -> np.ndarray:
    """Return the sliding windows of `data` [N, C, H, W] as [N, C, rows, columns, *size].

    `padding` is (top, left, bottom, right), filled with `border`.
    """
    top, left, bottom, right = padding
    around = ((0, 0), (0, 0), (top, bottom), (left, right))
    padded = np.pad(data, around, constant_values=border)
    return sliding_window_view(padded, size, axis=(2, 3))[:, :, :: strides[0], :: strides[1]]


def in_order(values: np.ndarray) -> np.ndarray:
    """Return the float32 sums over the last two axes, added up one by one as a kernel does."""
    flat = values.reshape(*values.shape[:-2], -1)
    sums = np.zeros(flat.shape[:-1], np.float32)
    for position in range(flat.shape[-1]):
        sums += flat[..., position]
    return sums
