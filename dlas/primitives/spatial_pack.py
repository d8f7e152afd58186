"""Spatial pack: channels in blocks of a vector's width, which stay packed from layer to layer.

The layout NCHWc and the register tile over it follow "Optimizing CNN Model Inference on CPUs" (Liu
et al., USENIX ATC 2019, section 3.1), which TVM calls spatial pack.
"""

import numpy as np
from tvm import te
from tvm.s_tir import Schedule

from dlas.plugins import PrimitivePlugin
from dlas.primitives import thread_blocks, tiling
from dlas.primitives.arithmetic import add_up
from dlas.primitives.convolution import Convolution
from dlas.primitives.gpu import GPU
from dlas.primitives.knobs import Knobs
from dlas.primitives.layout import Layout, Packing, Planes, blocked, deepened, input_channel, pad
from dlas.primitives.tiling import InputCopy, Reduction
from dlas.primitives.vector import VectorUnit

PLUGIN = PrimitivePlugin(label="spatial pack", order=3, marker="^")


def layout(channels: int, vector: VectorUnit | GPU) -> Layout:
    """Return NCHWc with as many channels in a block as a vector holds."""
    return Layout("NCHWc", vector.block(channels))


def packing(convolution: Convolution, vector: VectorUnit | GPU, knobs: Knobs) -> Packing:
    """Return how this layer's weight is packed, with the grid of a GPU.

    A vector holds a block of output channels.
    """
    block, depth = vector.block(convolution.out_channels), vector.depth(convolution)
    if not isinstance(vector, GPU):
        return Packing(block, depth=depth, fp16=vector.fp16)
    reduction_steps = convolution.in_channels // convolution.groups
    if convolution.depthwise:
        reduction_steps = 1
    elif convolution.groups == 1:
        reduction_steps = -(-reduction_steps // vector.block(reduction_steps))
    grids = thread_blocks.grids(convolution, vector, block, reduction_steps)
    return Packing(block, depth=depth, grid=knobs.choose("grid", grids))


def pack_weight(
    weight: np.ndarray, convolution: Convolution, data_layout: Layout, packing: Packing
) -> np.ndarray:
    """Pack a weight [K, C / groups, R, S] in blocks that are filled up with zeros.

    The shape depends on the layer:

    - plain: [K / block, C / block, R, S, block of C, block of K];
    - depthwise: [K / block, R, S, block];
    - grouped: [K / block, C / groups, R, S, block];
    - with dot products: [K / block, C / block, R, S, block of C / depth, block of K, depth].
    """
    by_output = blocked(weight, packing.block).transpose(2, 0, 1, 3, 4)
    split = blocked(by_output, data_layout.block if convolution.groups == 1 else 1)
    packed = split.transpose(2, 0, 4, 5, 1, 3)
    if convolution.depthwise:
        packed = packed[:, 0, :, :, 0]
    elif convolution.groups > 1:
        packed = packed[:, :, :, :, 0]
    return np.ascontiguousarray(deepened(packed, 4, packing.depth))


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
    kernel = {"r": rows, "s": columns}
    shape = Layout("NCHWc", block).shape(*convolution.out_shape)
    if convolution.depthwise:
        reduction = kernel

        def operands(index, step):  # type: ignore[no-untyped-def]
            n, k, h, w, o = index
            r, s = step
            return padded[n, k, h * down + r, w * across + s, o], weight[k, r, s, o]

    elif convolution.groups > 1:
        reduction = {"c": convolution.in_channels // convolution.groups} | kernel

        def operands(index, step):  # type: ignore[no-untyped-def]
            n, k, h, w, o = index
            c, r, s = step
            channel = input_channel(convolution, block, k, o, c)
            element = data_layout.read(padded, n, channel, h * down + r, w * across + s)
            return element, weight[k, c, r, s, o]

    else:
        reduction = {"c": int(padded.shape[1])} | kernel | packing.axes(data_layout.block)

        def operands(index, step):  # type: ignore[no-untyped-def]
            n, k, h, w, o = index
            c, r, s, *i = step
            element = padded[n, c, h * down + r, w * across + s, packing.channel(i)]
            return element, weight[k, c, r, s, i[0], o, *i[1:]]

    if packing.grid:
        sums = thread_blocks.add_up(convolution, operands, reduction, packing, data.dtype)
        return te.compute(shape, lambda n, k, h, w, o: sums(n, k * block + o, h, w), name="unpack")
    return add_up(shape, operands, reduction, packing)


def planes(convolution: Convolution) -> Planes:
    """Return the input tile by tile, copied for each column of the kernel to align its vectors."""
    rows = min(convolution.stride[0], convolution.kernel[0])
    return Planes(rows, convolution.kernel[1], convolution.out_width, tiled=True)


def schedule(function: Schedule, vector: VectorUnit | GPU, knobs: Knobs) -> None:
    """Tile output channel blocks and positions in registers. A block of channels is a vector."""
    if isinstance(vector, GPU):
        thread_blocks.tile_convolution(function, "NCHWc", knobs)
        return
    output = tiling.fuse_epilogue(function, {"pad"})
    image, channel, row, column, lane = function.get_loops(output)
    channels, rows, columns = tiling.extents(function, [channel, row, column])
    reductions = tiling.reduction_extents(function)
    depthwise = len(reductions) == 2
    tiles = tiling.tiles(1 if depthwise else channels, rows, columns, vector)
    tile = knobs.choose("tile", tiles)
    order = tuple(range(len(reductions)))
    unrolled = tiling.unrolling(tile, reductions, 2 if depthwise else 0, knobs)
    # A depthwise layer reads each block of channels once, so its copy can stay in cache until it is
    # summed.
    places = ("inside", "parallel", "serial") if depthwise else tiling.COPIES
    tiling.tile_convolution(
        function,
        (image, channel, row, column, lane),
        tile,
        vector,
        knobs,
        reduction=Reduction(order, None if depthwise else 0, unrolled),
        copy=InputCopy("pad", vectorized=True, places=places),
    )
