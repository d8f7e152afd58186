"""Direct convolution: the plain loops over feature maps in NCHW.

Where a row of the output fills vectors, a vector holds neighbouring positions of that row; on
smaller feature maps it holds output channels of one position. The register tile over positions and
output channels follows "High Performance Zero-Memory Overhead Direct Convolutions" (Zhang et al.,
ICML 2018, section 3).
"""

import numpy as np
from tvm import te, tirx
from tvm.s_tir import Schedule

from dlas.plugins import PrimitivePlugin
from dlas.primitives import thread_blocks, tiling
from dlas.primitives.arithmetic import add_up
from dlas.primitives.convolution import Convolution
from dlas.primitives.gpu import GPU
from dlas.primitives.knobs import Knobs
from dlas.primitives.layout import (
    NCHW,
    Layout,
    Packing,
    Planes,
    blocked,
    input_channel,
    pad,
    phases,
)
from dlas.primitives.tiling import InputCopy, Reduction, Tile
from dlas.primitives.vector import VectorUnit

PLUGIN = PrimitivePlugin(label="direct", order=1, marker="o")

# Output channels that share a loaded row, where a vector holds positions.
ROW_CHANNELS = 4
# Annotation of the convolution's block: `Packing.lanes`.
LANES = "lanes"


def layout(channels: int, vector: VectorUnit | GPU) -> Layout:
    """Return NCHW for any number of channels."""
    return NCHW


def row_vector(columns: int, vector: VectorUnit) -> int:
    """Return how many positions of a row of `columns` go in one vector, 0 if rows are too short.

    Half a vector is enough in float32. In float16 half a vector gains nothing over float32.
    """
    least = vector.lanes if vector.fp16 else vector.lanes // 2
    widths = (width for width in (32, 16, 8, 4) if least <= width <= vector.lanes)
    return next((width for width in widths if columns % width == 0), 0)


def packing(convolution: Convolution, vector: VectorUnit | GPU, knobs: Knobs) -> Packing:
    """Return how this layer's weight is packed, with the lanes of a CPU or the grid of a GPU.

    Vectors hold columns where rows are long enough and read without gaps. Depthwise layers have no
    other channels to hold, so with gaps they compute one position at a time.
    """
    if isinstance(vector, GPU):
        block = 1 if convolution.depthwise else vector.block(convolution.out_channels)
        reduction_steps = convolution.in_channels // convolution.groups
        grids = thread_blocks.grids(convolution, vector, block, reduction_steps)
        return Packing(block, grid=knobs.choose("grid", grids))
    if convolution.depthwise:
        lanes = "columns" if convolution.stride[1] == 1 else "scalar"
        return Packing(1, lanes, fp16=vector.fp16)
    if convolution.stride[1] == 1 and row_vector(convolution.out_width, vector):
        block = tiling.divisors(convolution.out_channels, ROW_CHANNELS)[-1]
        return Packing(block, "columns", fp16=vector.fp16)
    return Packing(vector.block(convolution.out_channels), fp16=vector.fp16)


def pack_weight(
    weight: np.ndarray, convolution: Convolution, data_layout: Layout, packing: Packing
) -> np.ndarray:
    """Pack a weight [K, C / groups, R, S] as [K / block, C / groups, R, S, block]."""
    return np.ascontiguousarray(blocked(weight, packing.block).transpose(0, 2, 3, 4, 1))


def convolve(
    data: te.Tensor,
    weight: te.Tensor,
    convolution: Convolution,
    data_layout: Layout,
    packing: Packing,
) -> te.Tensor:
    """Return the convolution of `data` in NCHW with a packed `weight`, in NCHW."""
    padded = pad(data, data_layout, convolution)
    down, across = convolution.stride
    rows, columns = convolution.kernel
    block = packing.block
    by_channels = packing.lanes == "channels"

    def operands(index, step):  # type: ignore[no-untyped-def]
        n, k, h, w, o = index if by_channels else [index[axis] for axis in (0, 1, 3, 4, 2)]
        c, r, s = step
        channel = input_channel(convolution, block, k, o, c)
        return padded[n, channel, h * down + r, w * across + s], weight[k, c, r, s, o]

    reduction = {"c": convolution.in_channels // convolution.groups, "r": rows, "s": columns}
    batch, out_channels, height, width = convolution.out_shape
    if packing.grid:
        sums = thread_blocks.add_up(convolution, operands, reduction, packing, data.dtype)
        return te.compute(convolution.out_shape, sums, name="unpack")
    blocks = -(-out_channels // block)
    packed = add_up(
        (batch, blocks, height, width, block)
        if by_channels
        else (batch, blocks, block, height, width),
        operands,
        reduction,
        packing,
        **{LANES: packing.lanes},
    )

    def unpack(n, k, h, w):  # type: ignore[no-untyped-def]
        outer, inner = tirx.floordiv(k, block), tirx.floormod(k, block)
        return packed[n, outer, h, w, inner] if by_channels else packed[n, outer, inner, h, w]

    return te.compute(convolution.out_shape, unpack, name="unpack")


def planes(convolution: Convolution) -> Planes:
    """Return the planes of the input itself, which all taps share."""
    return phases(convolution)


def schedule(function: Schedule, vector: VectorUnit | GPU, knobs: Knobs) -> None:
    """Tile positions and output channels in registers.

    On a CPU, the axis that `Packing.lanes` names lies along the vectors.
    """
    if isinstance(vector, GPU):
        thread_blocks.tile_convolution(function, "NCHW", knobs)
        return
    convolution = function.get(function.get_sblock(tiling.CONVOLUTION))
    lanes_hold = str(convolution.annotations[LANES])
    along_columns = lanes_hold != "channels"
    kernel = tiling.reduction_extents(function)[1:]
    channel_block = tiling.spatial_extents(function)[2 if along_columns else 4]
    output = tiling.fuse_epilogue(function, {"pad"})
    image, channel, row, column = function.get_loops(output)
    channels, rows, columns = tiling.extents(function, [channel, row, column])
    if along_columns:
        lanes = row_vector(columns, vector) or tiling.divisors(columns, vector.lanes)[-1]
        lanes = lanes if lanes_hold == "columns" else 1
        tile = knobs.choose(
            "tile", tiling.tiles(1, rows, columns // lanes, vector, shared=channel_block)
        )
        tile = Tile(channel_block, tile.rows, tile.columns)
        column, lane = function.split(column, [None, lanes])
    else:
        tiles = tiling.tiles(-(-channels // channel_block), rows, columns, vector)
        tile = knobs.choose("tile", tiles)
        channel, lane = function.split(channel, [None, channel_block])
        function.reorder(image, channel, row, column, lane)
    unrolled = tiling.unrolling(tile, kernel, tiling.steps_to_unroll(tile, kernel), knobs)
    tiling.tile_convolution(
        function,
        (image, channel, row, column, lane),
        tile,
        vector,
        knobs,
        reduction=Reduction((0, 1, 2), None if along_columns else 0, unrolled),
        copy=InputCopy("pad", vectorized=False),
    )
