"""Spatial pack: channels in blocks of a vector's width, which stay packed from layer to layer.

The layout NCHWc and the register tile over it follow "Optimizing CNN Model Inference on CPUs" (Liu et al., USENIX
ATC 2019, section 3.1), which TVM calls spatial pack.
"""

import numpy as np
from tvm import te
from tvm.s_tir import Schedule

from dlas.primitives import tiling
from dlas.primitives.arithmetic import multiply
from dlas.primitives.convolution import Convolution
from dlas.primitives.layout import Layout, Packing, Planes, blocked, input_channel, pad
from dlas.primitives.vector import VectorUnit


def layout(channels: int, vector: VectorUnit) -> Layout:
    """Return NCHWc with as many channels in a block as a vector holds."""
    return Layout("NCHWc", vector.block(channels))


def packing(convolution: Convolution, vector: VectorUnit) -> Packing:
    """Return how this layer's weight is packed: a vector of output channels together."""
    return Packing(vector.block(convolution.out_channels))


def pack_weight(
    weight: np.ndarray, convolution: Convolution, data_layout: Layout, packing: Packing
) -> np.ndarray:
    """Pack a weight [K, C / groups, R, S].

    Returns [K / block, C / block, R, S, block of C, block of K], for depthwise layers [K / block, R, S, block]
    and for grouped ones [K / block, C / groups, R, S, block]; what fills up the blocks is zero.
    """
    by_output = blocked(weight, packing.block).transpose(2, 0, 1, 3, 4)
    split = blocked(by_output, data_layout.block if convolution.groups == 1 else 1)
    packed = split.transpose(2, 0, 4, 5, 1, 3)
    if convolution.depthwise:
        packed = packed[:, 0, :, :, 0]
    elif convolution.groups > 1:
        packed = packed[:, :, :, :, 0]
    return np.ascontiguousarray(packed)


def convolve(
    data: te.Tensor,
    weight: te.Tensor,
    convolution: Convolution,
    data_layout: Layout,
    packing: Packing,
) -> te.Tensor:
    """Return the convolution of `data` in NCHWc with a packed `weight`, in NCHWc."""
    block = packing.block
    padded = pad(data, data_layout, convolution)
    down, across = convolution.stride
    rows, columns = convolution.kernel
    r, s = te.reduce_axis((0, rows), "r"), te.reduce_axis((0, columns), "s")
    shape = Layout("NCHWc", block).shape(
        convolution.batch,
        convolution.out_channels,
        convolution.out_height,
        convolution.out_width,
    )
    if convolution.depthwise:

        def sums(n, k, h, w, o):  # type: ignore[no-untyped-def]
            element = padded[n, k, h * down + r, w * across + s, o]
            return te.sum(multiply(data, element, weight[k, r, s, o]), axis=[r, s])

    elif convolution.groups > 1:
        c = te.reduce_axis((0, convolution.in_channels // convolution.groups), "c")

        def sums(n, k, h, w, o):  # type: ignore[no-untyped-def]
            channel = input_channel(convolution, block, k, o, c)
            element = data_layout.read(padded, n, channel, h * down + r, w * across + s)
            return te.sum(multiply(data, element, weight[k, c, r, s, o]), axis=[c, r, s])

    else:
        c = te.reduce_axis((0, int(padded.shape[1])), "c")
        i = te.reduce_axis((0, data_layout.block), "i")

        def sums(n, k, h, w, o):  # type: ignore[no-untyped-def]
            element = padded[n, c, h * down + r, w * across + s, i]
            return te.sum(multiply(data, element, weight[k, c, r, s, i, o]), axis=[c, r, s, i])

    return te.compute(shape, sums, name=tiling.CONVOLUTION)


def planes(convolution: Convolution) -> Planes:
    """Return the input tile by tile, with a copy for each column of the kernel, whose vectors are aligned then."""
    rows = min(convolution.stride[0], convolution.kernel[0])
    return Planes(rows, convolution.kernel[1], convolution.out_width, tiled=True)


def schedule(function: Schedule, vector: VectorUnit) -> None:
    """Tile output channel blocks and positions in registers, a block of output channels a vector."""
    output = tiling.fuse_epilogue(function, {"pad"})
    image, channel, row, column, lane = function.get_loops(output)
    channels, rows, columns = tiling.extents(function, [channel, row, column])
    reductions = tiling.reduction_extents(function)
    depthwise = len(reductions) == 2
    tile = tiling.choose_tile(1 if depthwise else channels, rows, columns, vector.accumulators)
    tiling.tile_convolution(
        function,
        (image, channel, row, column, lane),
        tile,
        vector,
        reduction=tuple(range(len(reductions))),
        unrolled=2 if depthwise else 0,
        contiguous=True,
    )
    tiling.parallel_copy(function, "pad", vector, vectorized=True)
