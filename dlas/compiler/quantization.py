"""Eight-bit integers between real numbers: what a layer reads, and what becomes of its sums.

A real number r is stored as q with r = scale * (q - zero_point): feature maps as uint8 with one
scale and one zero point, weights as int8 with one scale for each output channel and zero at zero.
The sums of the products are int32 and exact; all else is float32 ("Quantization and Training of
Neural Networks for Efficient Integer-Arithmetic-Only Inference", Jacob et al., CVPR 2018, section
2, with real-valued scales).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import te, tirx

from dlas.compiler.normalization import broadcast, rounded

# Of uint8.
LOWEST, HIGHEST = 0, 255
# What it is more than int8, where a processor multiplies that.
CENTRE = 128
# To the nearest, ties to even; TVM would take its own nearbyint out of the vectors.
ROUND = "llvm.roundeven"


@dataclass(frozen=True)
class Quantization:
    """How a feature map is stored in uint8."""

    scale: np.float32
    zero_point: int

    @property
    def inverse(self) -> np.float32:
        """What a real number is multiplied by; torch rounds it in the same way."""
        return np.float32(1.0 / float(self.scale))


@dataclass(frozen=True)
class QuantizedWeight:
    """A weight of int8 with the output channels on one axis, and their scales, float32 [K]."""

    values: np.ndarray
    scale: np.ndarray


def quantize(
    data: te.Tensor, inverse: te.Tensor, zero_point: te.Tensor, dtype: str = "uint8"
) -> te.Tensor:
    """Return float32 `data` in `dtype`, uint8 or int8, rounded to the nearest, ties to even.

    The inverse of the scale and the zero point are float32 scalars beside the code, which equal
    layers share. In int8 all numbers, `zero_point` too, are `CENTRE` less than in uint8.
    """
    shift = CENTRE if dtype == "int8" else 0

    def element(*index: Any) -> Any:
        real = data(*index) * inverse()
        steps = tirx.call_llvm_pure_intrin("float32", ROUND, real) + zero_point()
        lowest, highest = (tirx.const(limit - shift, "float32") for limit in (LOWEST, HIGHEST))
        clipped = tirx.Max(tirx.Min(steps, highest), lowest)
        return clipped.astype(dtype)

    return te.compute(data.shape, element, name="quantize")


def zero_point_sums(weight: QuantizedWeight, zero_point: int) -> np.ndarray:
    """Return what a zero point adds to every sum of an output channel, int32 [K]; weights are [K, C / groups, R, S]."""
    return weight.values.sum(axis=(1, 2, 3), dtype=np.int32) * np.int32(zero_point)


def dequantize_sums(sums: te.Tensor, shift: te.Tensor, scale: te.Tensor) -> te.Tensor:
    """Return int32 `sums`, less `shift`, times `scale`, float32; both are shaped to broadcast."""

    def element(*index: Any) -> Any:
        channel = broadcast(index, scale)
        exact = (sums(*index) - shift(*channel)).astype("float32")
        return rounded(exact * scale(*channel))

    return te.compute(sums.shape, element, name="dequantize")
