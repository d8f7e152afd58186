"""In what numbers a convolution multiplies and adds up."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tvm import te

from dlas.primitives import tiling
from dlas.primitives.layout import Packing
from dlas.primitives.tiling import divisors

# Feature maps of these types: the type of the sums of products. Weights of uint8 feature maps are
# int8.
SUMS = {"float32": "float32", "float16": "float32", "uint8": "int32", "int8": "int32"}

# Products that are added up in float16 before they go to a float32 sum. Each addition rounds to 11
# bits: the error of a block grows with the square root of their number, the time spent on the
# float32 sums falls with it. 72 are enough for 64 channels, or for eight channels of a 3x3 kernel.
FP16_PRODUCTS = 72

# An element of the feature map and one of the weight, for a position of the output and a step of
# the reduction.
Operands = Callable[[Sequence[Any], Sequence[Any]], tuple[Any, Any]]


def add_up(
    shape: Sequence[int],
    operands: Operands,
    reduction: Mapping[str, int],
    packing: Packing,
    **attributes: Any,
) -> te.Tensor:
    """Return the sums of products [*shape] over the axes of a reduction, in the type of `SUMS`.

    `operands` takes an index of the output and one of the reduction. A CPU without float16
    arithmetic widens each operand; with it, `packing.fp16`, products are added up in float16 in
    blocks, and the blocks in float32.
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
    """Return how many steps of each axis of a reduction are added up in float16, the innermost axes first."""
    steps = [1] * len(extents)
    for axis in reversed(range(len(extents))):
        steps[axis] = divisors(extents[axis], FP16_PRODUCTS // math.prod(steps))[-1]
    return steps
