"""Arithmetic of convolutions: the dtypes of products and sums."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tvm import te

from dlas.primitives import tiling
from dlas.primitives.layout import Packing
from dlas.primitives.tiling import divisors

# Dtype of the sums of products, by the dtype of the feature map. Weights of uint8 feature maps are
# int8.
SUMS = {"float32": "float32", "float16": "float32", "uint8": "int32", "int8": "int32"}

# Number of products added up in float16 before they go to a float32 sum. Each addition rounds to 11
# bits: the error of a block grows with the square root of this number, the time spent on float32
# sums falls with it. 72 covers 64 channels, or eight channels of a 3x3 kernel.
FP16_PRODUCTS = 72

# Function of an index of the output and a step of the reduction, which returns one element of the
# feature map and one of the weight.
Operands = Callable[[Sequence[Any], Sequence[Any]], tuple[Any, Any]]


def add_up(
    shape: Sequence[int],
    operands: Operands,
    reduction: Mapping[str, int],
    packing: Packing,
    **attributes: Any,
) -> te.Tensor:
    """Return the sums of products of a convolution as a tensor expression.

    A CPU without float16 arithmetic widens each operand. With `packing.fp16`, blocks of products
    are added up in float16, and the blocks in float32.

    Parameters
    ----------
    shape : sequence of int
        Shape of the output.
    operands : callable
        Takes an index of the output and one of the reduction. Returns the two factors.
    reduction : mapping of str to int
        Extents of the reduction axes by name, outermost first.
    packing : Packing
        How the kernel reads its weight.
    **attributes
        Annotations of the block `CONVOLUTION`.

    Returns
    -------
    te.Tensor
        The sums, of dtype `SUMS[dtype of the feature map]`.
    """
    if packing.fp16:
        return _add_up_fp16(shape, operands, reduction, attributes)
    axes = [te.reduce_axis((0, extent), name) for name, extent in reduction.items()]

    def sums(*index: Any) -> Any:
        element, weight = operands(index, axes)
        kind = SUMS[str(element.dtype)]
        return te.sum(element.astype(kind) * weight.astype(kind), axis=axes)

    if packing.depth > 1:
        attributes[tiling.DEPTH] = packing.depth
    return te.compute(shape, sums, name=tiling.CONVOLUTION, attrs=attributes)


def _add_up_fp16(
    shape: Sequence[int],
    operands: Operands,
    reduction: Mapping[str, int],
    attributes: Mapping[str, Any],
) -> te.Tensor:
    inner = fp16_blocks(list(reduction.values()))
    outer = [extent // step for extent, step in zip(reduction.values(), inner, strict=True)]
    within = [
        te.reduce_axis((0, extent), name) for name, extent in zip(reduction, inner, strict=True)
    ]
    blocks = [
        te.reduce_axis((0, extent), f"{name}_block")
        for name, extent in zip(reduction, outer, strict=True)
    ]

    def products(*index: Any) -> Any:
        block, position = index[: len(outer)], index[len(outer) :]
        steps = [b * step + axis for b, step, axis in zip(block, inner, within, strict=True)]
        element, weight = operands(position, steps)
        return te.sum(element * weight, axis=within)

    block_sums = te.compute((*outer, *shape), products, name=tiling.PRODUCTS)
    return te.compute(
        shape,
        lambda *index: te.sum(block_sums(*blocks, *index).astype("float32"), axis=blocks),
        name=tiling.CONVOLUTION,
        attrs=attributes,
    )


def fp16_blocks(extents: Sequence[int]) -> list[int]:
    """Return how many steps of each reduction axis are added up in float16.

    At most `FP16_PRODUCTS` in all; innermost axes, at the end of `extents`, fill up first.
    """
    steps = [1] * len(extents)
    for axis in reversed(range(len(extents))):
        steps[axis] = divisors(extents[axis], FP16_PRODUCTS // math.prod(steps))[-1]
    return steps
