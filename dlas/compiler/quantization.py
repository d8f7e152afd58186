"""Quantization of feature maps and weights to 8-bit integers, and dequantization of sums.

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

# Range of uint8.
LOWEST, HIGHEST = 0, 255
# Difference of uint8 and int8, for processors that multiply int8.
CENTRE = 128
# Rounds to nearest, ties to even. TVM's own nearbyint would not be vectorized.
ROUND = "llvm.roundeven"


@dataclass(frozen=True)
class Quantization:
    """How a feature map is stored in uint8: real = scale * (integer - zero_point)."""

    scale: np.float32
    zero_point: int

    @property
    def inverse(self) -> np.float32:
        """Factor of a real number: the inverse of the scale, rounded as torch rounds it."""
        return np.float32(1.0 / float(self.scale))


@dataclass(frozen=True)
class QuantizedWeight:
    """An int8 weight with the output channels on one axis, and their scales, float32 [K]."""

    values: np.ndarray
    scale: np.ndarray


def quantize(
    data: te.Tensor, inverse: te.Tensor, zero_point: te.Tensor, dtype: str = "uint8"
) -> te.Tensor:
    """Return float32 `data` in 8-bit integers, rounded to nearest, ties to even.

    Parameters
    ----------
    data : te.Tensor
        Feature map in float32.
    inverse, zero_point : te.Tensor
        float32 scalars: the inverse of the scale, and the zero point in `dtype`. As arguments they
        let equal layers share code.
    dtype : str
        uint8, or int8, in which all numbers are `CENTRE` less.

    Returns
    -------
    te.Tensor
        Feature map in `dtype`.
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
    """Return the contribution of a zero point to the sums of each output channel.

    Parameters
    ----------
    weight : QuantizedWeight
        Weight [K, C / groups, R, S].
    zero_point : int
        Zero point of the feature map.

    Returns
    -------
    ndarray of int32 [K]
        Contributions, to be subtracted from the sums.
    """
    return weight.values.sum(axis=(1, 2, 3), dtype=np.int32) * np.int32(zero_point)


def dequantize_sums(sums: te.Tensor, shift: te.Tensor, scale: te.Tensor) -> te.Tensor:
    """Return int32 `sums`, minus `shift`, times `scale`, in float32. Both broadcast."""

    def element(*index: Any) -> Any:
        channel = broadcast(index, scale)
        exact = (sums(*index) - shift(*channel)).astype("float32")
        return rounded(exact * scale(*channel))

    return te.compute(sums.shape, element, name="dequantize")
