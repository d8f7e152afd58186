"""A scale and a shift for each channel, in float32, rounded after each operation.

A multiplication within a fused multiply-add rounds differently from kernel to kernel, as different
operators are fused. The next quantization may then give another integer. So the multiplication
stays separate where integers follow.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from tvm import te, tirx

# LLVM's intrinsic that returns its argument, rounded.
FENCE = "llvm.arithmetic.fence"


def scale_and_shift(
    epsilon: float, gamma: np.ndarray, beta: np.ndarray, mean: np.ndarray, variance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return scale and shift, float32 [C], of a batch normalization in evaluation mode.

    `gamma`, `beta`, `mean` and `variance` are [C].
    """
    gamma, beta, mean, variance = (x.astype(np.float32) for x in (gamma, beta, mean, variance))
    scale = gamma / np.sqrt(variance + np.float32(epsilon))
    return scale, beta - mean * scale


def normalize(data: te.Tensor, scale: te.Tensor, shift: te.Tensor) -> te.Tensor:
    """Return `data` times `scale` plus `shift`, in the dtype of `data`.

    `scale` and `shift` are float32 and broadcast against `data`.
    """

    def element(*index: Any) -> Any:
        channel = broadcast(index, scale)
        scaled = rounded(data(*index).astype("float32") * scale(*channel))
        return (scaled + shift(*channel)).astype(data.dtype)

    return te.compute(data.shape, element, name="normalize")


def broadcast(index: Sequence[Any], tensor: te.Tensor) -> list[Any]:
    """Return the index of a broadcast tensor for an index of the whole: 0 on axes of extent 1."""
    return [0 if int(extent) == 1 else i for i, extent in zip(index, tensor.shape, strict=True)]


def rounded(product: Any) -> Any:
    """Return a float32 product that is rounded before anything is added to it.

    On a GPU `pipeline` replaces the fence by functions of its language.
    """
    return tirx.call_llvm_pure_intrin("float32", FENCE, product)
