"""A scale and a shift for each channel, in float32 and rounded after each operation.

A multiplication that hides in a fused multiply-add rounds differently from one kernel to the next,
as what is fused differs; the next quantization then makes another integer of it. So it is kept
apart where integers follow.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from tvm import te, tirx

# A value goes through as it is, rounded.
FENCE = "llvm.arithmetic.fence"


def scale_and_shift(
    epsilon: float, gamma: np.ndarray, beta: np.ndarray, mean: np.ndarray, variance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the float32 scale and shift [C] that a batch normalization in evaluation mode is."""
    gamma, beta, mean, variance = (x.astype(np.float32) for x in (gamma, beta, mean, variance))
    scale = gamma / np.sqrt(variance + np.float32(epsilon))
    return scale, beta - mean * scale


def normalize(data: te.Tensor, scale: te.Tensor, shift: te.Tensor) -> te.Tensor:
    """Return `data` times `scale` plus `shift`, in its own type; both are float32 and shaped to broadcast."""

    def element(*index: Any) -> Any:
        channel = broadcast(index, scale)
        scaled = rounded(data(*index).astype("float32") * scale(*channel))
        return (scaled + shift(*channel)).astype(data.dtype)

    return te.compute(data.shape, element, name="normalize")


def broadcast(index: Sequence[Any], tensor: te.Tensor) -> list[Any]:
    """Return where a tensor with extents of one is read for an element of the whole."""
    return [0 if int(extent) == 1 else i for i, extent in zip(index, tensor.shape, strict=True)]


def rounded(product: Any) -> Any:
    """Return a float32 product that is rounded before anything is added to it.

    On a GPU `pipeline` writes the fence in the words of its language.
    """
    return tirx.call_llvm_pure_intrin("float32", FENCE, product)
