"""GEMM: the input unrolled into a matrix of patches (im2col), then one matrix product.

im2col follows "High Performance Convolutional Neural Networks for Document Processing" (Chellapilla
et al., 2006, section 3). Feature maps are in NHWC: a row of the patch matrix consists of contiguous
runs, and a 1x1 layer of stride 1 needs no patches at all.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from tvm import te, tirx
from tvm.s_tir import Schedule

from dlas.plugins import PrimitivePlugin
from dlas.primitives import thread_blocks, tiling
from dlas.primitives.arithmetic import add_up
from dlas.primitives.convolution import Convolution
from dlas.primitives.gpu import GPU
from dlas.primitives.knobs import Knobs
from dlas.primitives.layout import Layout, Packing, Planes, blocked, deepened, input_channel
from dlas.primitives.tiling import InputCopy, Reduction
from dlas.primitives.vector import VectorUnit

PLUGIN = PrimitivePlugin(label="GEMM", order=2, marker="s")

# Size of a panel of the patch matrix, which is read back from cache.
PANEL_BYTES = 128 * 1024
# Maximum size of weights that are read again for each panel.
RESIDENT_BYTES = 1024 * 1024


def layout(channels: int, vector: VectorUnit | GPU) -> Layout:
    """Return NHWC for any number of channels."""
    return Layout("NHWC")


def packing(convolution: Convolution, vector: VectorUnit | GPU, knobs: Knobs) -> Packing:
    """Return how this layer's weight is packed, with the grid of a GPU.

    A vector holds a block of output channels. NHWC has no room to fill up the last block, so its
    rest is stored number by number. With the wide vectors of float16 that costs more than narrow
    vectors do.
    """
    depth = vector.depth(convolution)
    if isinstance(vector, GPU):
        block = vector.block(convolution.out_channels, whole=True)
        reduction_steps = padded_channels(convolution, depth) // convolution.groups // depth
        shared = convolution.groups == 1
        grids = thread_blocks.grids(convolution, vector, block, reduction_steps, staged=shared)
        return Packing(block, depth=depth, grid=knobs.choose("grid", grids))
    block = vector.block(convolution.out_channels, whole=vector.fp16)
    return Packing(block, depth=depth, fp16=vector.fp16)


def pack_weight(
    weight: np.ndarray, convolution: Convolution, data_layout: Layout, packing: Packing
) -> np.ndarray:
    """Pack a weight [K, C / groups, R, S] as column panels [K / block, R, S, C / groups, block].

    For dot products the panels are [K / block, R, S, C / depth, block, depth].
    """
    panels = blocked(weight, packing.block).transpose(0, 3, 4, 2, 1)
    return np.ascontiguousarray(deepened(panels, 3, packing.depth))


def convolve(
    data: te.Tensor,
    weight: te.Tensor,
    convolution: Convolution,
    data_layout: Layout,
    packing: Packing,
) -> te.Tensor:
    """Return the convolution of `data` in NHWC with a packed `weight`, in NHWC."""
    rows, columns = convolution.kernel
    block = packing.block
    channels = padded_channels(convolution, packing.depth)
    plain = convolution.pointwise and channels == convolution.in_channels
    patch = _patch(data, convolution, channels)
    patches = None if plain or packing.grid else im2col(data, convolution, channels)

    def operands(index, step):  # type: ignore[no-untyped-def]
        n, k, h, w, o = index
        r, s, *c = step
        channel = input_channel(convolution, block, k, o, packing.channel(c))
        where = n, h, w, r, s, channel
        element = patch(*where) if patches is None else patches[where]
        return element, weight[k, r, s, c[0], o, *c[1:]]

    reduction = {"r": rows, "s": columns} | packing.axes(channels // convolution.groups)
    # On a GPU the patch matrix is made in shared memory.
    if packing.grid:
        sums = thread_blocks.add_up(convolution, operands, reduction, packing, data.dtype)
        return te.compute(
            data_layout.shape(*convolution.out_shape),
            lambda n, h, w, k: sums(n, k, h, w),
            name="unpack",
        )

    blocks = -(-convolution.out_channels // block)
    product = add_up(
        (convolution.batch, blocks, convolution.out_height, convolution.out_width, block),
        operands,
        reduction,
        packing,
    )
    return te.compute(
        data_layout.shape(*convolution.out_shape),
        lambda n, h, w, k: product[n, tirx.floordiv(k, block), h, w, tirx.floormod(k, block)],
        name="unpack",
    )


def padded_channels(convolution: Convolution, depth: int) -> int:
    """Return the number of input channels, rounded up to a multiple of `depth`."""
    return convolution.in_channels + -convolution.in_channels % depth


def im2col(data: te.Tensor, convolution: Convolution, channels: int) -> te.Tensor:
    """Return the patch matrix of a feature map as a tensor expression.

    Parameters
    ----------
    data : te.Tensor
        Feature map in NHWC.
    convolution : Convolution
        The layer.
    channels : int
        Number of channels of a patch, `padded_channels`. The weights of added channels are zero.

    Returns
    -------
    te.Tensor
        Patches [N, output height, output width, R, S, channels].
    """
    shape = (
        convolution.batch,
        convolution.out_height,
        convolution.out_width,
        *convolution.kernel,
        channels,
    )
    return te.compute(shape, _patch(data, convolution, channels), name="im2col")


def _patch(data: te.Tensor, convolution: Convolution, channels: int) -> Callable[..., Any]:
    """Return an element of the patch matrix as a function of its index."""
    top, left, _, _ = convolution.padding
    down, across = convolution.stride
    border = tirx.const(convolution.border, data.dtype)

    def element(n, h, w, r, s, c):  # type: ignore[no-untyped-def]
        y, x = h * down + r - top, w * across + s - left
        inside = []
        if convolution.padded:
            inside = [y >= 0, y < convolution.height, x >= 0, x < convolution.width]
        if channels > convolution.in_channels:
            inside.append(c < convolution.in_channels)
        if not inside:
            return data[n, y, x, c]
        return tirx.if_then_else(tirx.all(*inside), data[n, y, x, c], border)

    return element


def planes(convolution: Convolution) -> Planes:
    """Return a plane for each tap, the transposed patch matrix, or a pointwise layer's input."""
    return Planes(*convolution.kernel, convolution.out_width, tiled=not convolution.pointwise)


def schedule(function: Schedule, vector: VectorUnit | GPU, knobs: Knobs) -> None:
    """Tile the product's rows and column panels in registers. A row of a panel is a vector.

    The patch matrix is made a few rows at a time where all of it would not fit the cache. On a GPU
    the threads of a block together make a piece of it in shared memory, with the weights beside it.
    Grouped layers skip shared memory, as their groups share no input.
    """
    if isinstance(vector, GPU):
        chunk = 0
        if thread_blocks.TAPS in tiling.block_names(function):
            channels = thread_blocks.step_extents(function)[2]
            chunks = [tiling.divisors(channels, limit)[-1] for limit in thread_blocks.CHUNKS]
            chunk = knobs.choose("chunk", list(dict.fromkeys(chunks)))
        thread_blocks.tile_convolution(function, "NHWC", knobs, chunk=chunk, channels_first=True)
        return
    lanes = tiling.spatial_extents(function)[-1]
    patches = "im2col" in tiling.block_names(function)
    output = tiling.fuse_epilogue(function, {"im2col"})
    image, row, column, channel = function.get_loops(output)
    channel, lane = function.split(channel, [None, lanes])
    channels, rows, columns = tiling.extents(function, [channel, row, column])
    reductions = tiling.reduction_extents(function)
    depthwise = reductions[2] == 1
    depth = 4 * math.prod(reductions)
    tile = knobs.choose("tile", tiling.tiles(channels, rows, columns, vector))
    row_bytes = tiling.buffer_bytes(function, "im2col") // rows if patches else 0
    panel_bytes = knobs.choose("panel", (PANEL_BYTES, PANEL_BYTES // 4, PANEL_BYTES * 4))
    panel = max(panel_bytes // max(row_bytes, 1), tile.rows)
    panel = max(n for n in tiling.divisors(rows, panel) if n % tile.rows == 0)
    panelled = (
        row_bytes * rows > 2 * panel_bytes
        and rows // panel >= vector.threads
        and depth * channels * lanes < RESIDENT_BYTES
    )
    if panelled:
        outer, row = function.split(row, [None, panel])
        function.reorder(image, outer, channel, row, column, lane)
        image = function.fuse(image, outer)
    else:
        function.reorder(image, channel, row, column, lane)
    if depthwise:
        unrolled = tiling.unrolling(tile, reductions[:2], 2, knobs)
        reduction = Reduction((2, 0, 1), None, unrolled)
    else:
        reduction = Reduction((0, 1, 2), channels=2, unrolled=0)
    tiling.tile_convolution(
        function,
        (image, channel, row, column, lane),
        tile,
        vector,
        knobs,
        reduction=reduction,
        copy=InputCopy("im2col", vectorized=True, panelled=panelled),
    )
