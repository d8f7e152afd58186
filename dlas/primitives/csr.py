"""CSR: a convolution whose weight is a sparse matrix, in work that is proportional to its non-zeros.

The matrix has a row for each output channel and a column for each tap of each input channel. A register tile of output
positions stays in vectors while the non-zeros of a row run over it: each is one value and one offset into the input,
which multiply every vector of the tile. What a vector reads is side by side in memory at any stride, because the
primitive lays the input out in planes (`Planes`); where rows are short, a vector goes on into the next one.

Input channels are parted into blocks, each a CSR matrix of its own, so that what a register tile reads of a block
stays in the first-level cache while all output channels use it (cache blocking of sparse matrices: Im, Yelick and
Vuduc, "Sparsity: Optimization Framework for Sparse Matrix Kernels", IJHPCA 2004).
"""

# mypy: disable-error-code="valid-type, no-untyped-def"

from dataclasses import dataclass
from types import ModuleType

import numpy as np
from tvm import tirx
from tvm.s_tir import Schedule
from tvm.script import tirx as T  # noqa: N812 (the name that TVMScript is written with)

from dlas.primitives import tiling
from dlas.primitives.arithmetic import SUMS
from dlas.primitives.convolution import Convolution
from dlas.primitives.kernel import Kernel
from dlas.primitives.layout import NCHW, Layout, Planes
from dlas.primitives.vector import VectorUnit

CACHE_BYTES = (
    24 * 1024
)  # of input that a register tile reads again and again: most of a first-level cache
TILE_BYTES = 1024 * 1024  # of input that is laid out at a time: what a second-level cache holds
SHORT_ROW = 8  # non-zeros of a row below which parting it costs more than it saves
IN_FLIGHT = 8  # multiply-adds that hide the latency of one another
OVERHEAD = 1.5  # of a non-zero, in multiply-adds of a vector: its value and its offset are loaded


@dataclass(frozen=True)
class Tile:
    """How the output positions of a channel are worked on.

    A tile is `rows` rows of the output. `registers` register tiles, of `vectors` vectors with `lanes` positions each,
    cover it.
    """

    rows: int
    registers: int
    vectors: int
    lanes: int

    @property
    def span(self) -> int:
        """Positions of a register tile."""
        return self.vectors * self.lanes

    @property
    def interleaved(self) -> int:
        """Non-zeros of a row that are added up apart, so that their latencies overlap."""
        return max(1, IN_FLIGHT // self.vectors)


@dataclass(frozen=True)
class Matrix:
    """A weight as CSR matrices, one for each block of input channels.

    `pointers` int32 [blocks * K + 1] say where rows begin in `offsets` int32 and `values`: row k of block b is number
    b * K + k. Offsets lead into the planes of the input, from the first position of a tile. Zeros fill each row up to a
    multiple of what the kernel interleaves. `bounds` int32 [chunks + 1] part the output channels into chunks of
    nearly equal work.
    """

    pointers: np.ndarray
    offsets: np.ndarray
    values: np.ndarray
    bounds: np.ndarray


def layout(primitive: ModuleType, channels: int, vector: VectorUnit) -> Layout:
    """Return NCHW for every primitive: a vector holds positions."""
    return NCHW


def kernel(
    primitive: ModuleType,
    weight: np.ndarray,
    convolution: Convolution,
    data_layout: Layout,
    dtype: str,
    vector: VectorUnit,
) -> Kernel:
    """Return the kernel of one layer; the weight's constants are a `Matrix`.

    Where the function's input is [N, 1, C * H * W], it takes the feature map as it is, seen so.
    """
    planes = primitive.planes(convolution)
    tile = choose_tile(convolution, planes, vector, np.count_nonzero(weight))
    tiles = convolution.batch * (convolution.out_height // tile.rows)
    # Tiles are the same work each; where they are too few for the threads, chunks of channels share it.
    chunks = 2 * vector.threads if vector.threads > 1 and tiles < 4 * vector.threads else 1
    matrix = compress(weight.astype(SUMS[dtype]), convolution, planes, tile, chunks)
    constants = (matrix.pointers, matrix.offsets, matrix.values, matrix.bounds)
    return Kernel(function(convolution, planes, tile, matrix, dtype), constants, NCHW)


def choose_tile(
    convolution: Convolution, planes: Planes, vector: VectorUnit, nonzeros: int
) -> Tile:
    """Return the tile that takes the fewest vector operations, for the non-zeros and for laying out the input.

    It does not depend on the number of threads, so that the sums do not.
    """
    widths = [width for width in (16, 8, 4) if width <= vector.lanes]
    if convolution.out_height * convolution.out_width == 1:
        return Tile(1, 1, 1, 1)
    best, least = Tile(1, 1, 1, 1), float("inf")
    for rows in tiling.divisors(convolution.out_height, convolution.out_height):
        reach = (rows - 1) * planes.width + convolution.out_width
        for lanes in widths:
            # Several register tiles only where a single row needs them: other tiles can run in parallel.
            fewest = 1 if rows == 1 else -(-reach // lanes)
            for vectors in range(fewest, vector.accumulators + 1):
                tile = Tile(rows, -(-reach // (lanes * vectors)), vectors, lanes)
                size = plane_size(convolution, planes, tile)
                laid_out = convolution.in_channels * planes.count * size
                if rows > 1 and planes.tiled and 4 * laid_out > TILE_BYTES:
                    continue
                tiles = convolution.out_height // rows
                multiplied = nonzeros * tiles * tile.registers * (vectors + OVERHEAD)
                copied = 2 * laid_out / lanes * (tiles if planes.tiled else 1)
                if multiplied + copied < least:
                    best, least = tile, multiplied + copied
    return best


def plane_size(convolution: Convolution, planes: Planes, tile: Tile) -> int:
    """Return the positions of a plane: whole rows, as far as the vectors of the last tap reach."""
    before = 0 if planes.tiled else (convolution.out_height - tile.rows) * planes.width
    rows, columns = convolution.kernel
    reach = before + planes.shift(rows - 1, columns - 1) + tile.registers * tile.span
    return -(-reach // planes.width) * planes.width


def in_place(convolution: Convolution, planes: Planes, tile: Tile) -> bool:
    """Return whether the feature map is the one plane of each channel already, to the last vector."""
    exact = tile.registers * tile.span == tile.rows * planes.width
    return convolution.pointwise and exact and not planes.tiled


def compress(
    weight: np.ndarray, convolution: Convolution, planes: Planes, tile: Tile, chunks: int
) -> Matrix:
    """Return a weight [K, C / groups, R, S] as CSR matrices for a kernel with this tile."""
    output, channel, row, column = np.nonzero(weight)
    values = weight[output, channel, row, column]
    per_group = convolution.out_channels // convolution.groups
    channel = channel + output // per_group * weight.shape[1]
    size = plane_size(convolution, planes, tile)
    offsets = (channel * planes.count + planes.plane(row, column)) * size
    offsets += planes.shift(row, column)

    last = planes.shift(convolution.kernel[0] - 1, convolution.kernel[1] - 1)
    in_cache = CACHE_BYTES // (4 * planes.count * (tile.span + last))
    worth = SHORT_ROW * convolution.out_channels * convolution.in_channels // max(1, len(values))
    block = max(in_cache, worth, 1) if convolution.groups == 1 else convolution.in_channels
    blocks = -(-convolution.in_channels // block)
    block = -(-convolution.in_channels // blocks)

    rows = channel // block * convolution.out_channels + output
    order = np.lexsort((offsets, rows))
    rows, offsets, values = rows[order], offsets[order], values[order]
    counts = np.bincount(rows, minlength=blocks * convolution.out_channels)
    filled = -(-counts // tile.interleaved) * tile.interleaved
    pointers = np.concatenate([[0], filled.cumsum()])
    place = pointers[rows] + np.arange(len(rows)) - (counts.cumsum() - counts)[rows]
    length = max(int(pointers[-1]), 1)  # a network has no empty constants
    all_offsets, all_values = np.zeros(length, np.int32), np.zeros(length, values.dtype)
    all_offsets[place], all_values[place] = offsets, values

    work = (filled + OVERHEAD).reshape(blocks, -1).sum(axis=0).cumsum()
    shares = work[-1] * np.arange(1, chunks) / chunks
    inner = np.searchsorted(work, shares, side="left") + 1
    bounds = np.concatenate([[0], inner, [convolution.out_channels]])
    return Matrix(pointers.astype(np.int32), all_offsets, all_values, bounds.astype(np.int32))


def function(
    convolution: Convolution, planes: Planes, tile: Tile, matrix: Matrix, dtype: str
) -> tirx.PrimFunc:
    """Return the function of one layer, unscheduled, whose last argument is its output [N, K, OH, OW].

    Its blocks: "pack", which lays the input out, unless it is read in place; "convolution"; and "unpack", which drops
    what lies between the rows of a tile.
    """
    batch, channels = convolution.batch, convolution.in_channels
    height, width = convolution.height, convolution.width
    out_shape = (batch, convolution.out_channels, convolution.out_height, convolution.out_width)
    out_channels, out_height = out_shape[1:3]
    rows, row_width = tile.rows, planes.width
    registers, vectors, lanes, span = tile.registers, tile.vectors, tile.lanes, tile.span
    interleaved, gathered = tile.interleaved, span == 1  # one position: a vector holds non-zeros
    read_in_place = in_place(convolution, planes, tile)
    size = plane_size(convolution, planes, tile)
    flat = channels * planes.count * size
    tiles = out_height // rows
    layings = tiles if planes.tiled else 1
    blocks = (len(matrix.pointers) - 1) // out_channels
    chunks, length = len(matrix.bounds) - 1, len(matrix.values)
    sum_dtype = SUMS[dtype]
    border, zero = tirx.const(convolution.border, dtype), tirx.const(0, sum_dtype)

    def whole(*shape: int) -> list[tirx.IntImm]:  # as Relax counts
        return [tirx.IntImm("int64", number) for number in shape]

    top, left = convolution.padding[:2]
    down, across = convolution.stride

    plane_rows = size // row_width

    # What row `p` of all rows of all planes holds: a row of plane (i, j) of a channel.
    def channel(p):
        return p // (planes.count * plane_rows)

    def row(t, p):
        i = p // (planes.columns * plane_rows) % planes.rows
        return (p % plane_rows + (t * rows if planes.tiled else 0)) * down + i - top

    def column(p, w):
        j = p // plane_rows % planes.columns
        return w * across + j - left

    # From which position on it holds the input, and from which on a border again.
    def first(p):
        return tirx.Max((across - 1 - column(p, 0)) // across, 0)

    def last(p):
        return tirx.Min((width + across - 1 - column(p, 0)) // across, row_width)

    def laying(t):
        return t if planes.tiled else 0

    def product(packed, n, t, value, offset, position):
        """One multiply-add's product, for a position of a tile."""
        begin = 0 if planes.tiled else t * rows * row_width
        return value * packed[n, laying(t), begin + offset + position].astype(sum_dtype)

    def at(position):
        return position // row_width, position % row_width

    sum_rows = -(-registers * span // row_width)
    in_shape = (batch, 1, flat) if read_in_place else (batch, channels, height, width)

    @T.prim_func(s_tir=True, private=True)
    def main(
        data: T.Buffer(whole(*in_shape), dtype),
        pointers: T.Buffer(whole(blocks * out_channels + 1), "int32"),
        offsets: T.Buffer(whole(length), "int32"),
        values: T.Buffer(whole(length), sum_dtype),
        bounds: T.Buffer(whole(chunks + 1), "int32"),
        output: T.Buffer(whole(*out_shape), sum_dtype),
    ):
        T.func_attr({"tirx.noalias": True})
        if read_in_place:
            packed = data
        else:
            packed = T.sblock_alloc_buffer((batch, layings, flat), dtype)
            for n, t, p in T.grid(batch, layings, flat // row_width):
                with T.sblock("pack"):
                    vn, vt, vp = T.axis.remap("SSS", [n, t, p])
                    T.reads(data[vn, 0:channels, 0:height, 0:width])
                    T.writes(packed[vn, vt, vp * row_width : vp * row_width + row_width])
                    if tirx.all(row(vt, vp) >= 0, row(vt, vp) < height):
                        for w in T.serial(0, first(vp)):
                            packed[vn, vt, vp * row_width + w] = border
                        for w in T.serial(first(vp), last(vp)):
                            packed[vn, vt, vp * row_width + w] = data[
                                vn, channel(vp), row(vt, vp), column(vp, w)
                            ]
                        for w in T.serial(last(vp), row_width):
                            packed[vn, vt, vp * row_width + w] = border
                    else:
                        for w in T.serial(row_width):
                            packed[vn, vt, vp * row_width + w] = border
        sums = T.sblock_alloc_buffer((batch, tiles, out_channels, sum_rows, row_width), sum_dtype)
        for n, t, g in T.grid(batch, tiles, chunks):
            with T.sblock("convolution"):
                vn, vt, vg = T.axis.remap("SSS", [n, t, g])
                T.reads(packed[vn, laying(vt), 0:flat])
                T.writes(sums[vn, vt, 0:out_channels, 0:rows, 0:row_width])  # more is not read
                total = T.sblock_alloc_buffer((interleaved, span), sum_dtype, scope="local")
                for b, r in T.grid(blocks, registers):
                    for k in T.serial(bounds[vg], bounds[vg + 1]):
                        for u in T.unroll(interleaved):
                            for v in T.unroll(vectors):
                                for lane in T.vectorized(lanes):
                                    total[u, v * lanes + lane] = zero
                        for q in T.serial(
                            T.truncdiv(
                                pointers[b * out_channels + k + 1] - pointers[b * out_channels + k],
                                interleaved,
                            )
                        ):
                            if gathered:
                                for u in T.vectorized(interleaved):
                                    total[u, 0] = total[u, 0] + product(
                                        packed,
                                        vn,
                                        vt,
                                        values[
                                            pointers[b * out_channels + k] + q * interleaved + u
                                        ],
                                        offsets[
                                            pointers[b * out_channels + k] + q * interleaved + u
                                        ],
                                        0,
                                    )
                            else:
                                for u in T.unroll(interleaved):
                                    for v in T.unroll(vectors):
                                        for lane in T.vectorized(lanes):
                                            total[u, v * lanes + lane] = total[
                                                u, v * lanes + lane
                                            ] + product(
                                                packed,
                                                vn,
                                                vt,
                                                values[
                                                    pointers[b * out_channels + k]
                                                    + q * interleaved
                                                    + u
                                                ],
                                                offsets[
                                                    pointers[b * out_channels + k]
                                                    + q * interleaved
                                                    + u
                                                ],
                                                r * span + v * lanes + lane,
                                            )
                        for u in T.unroll(interleaved - 1):
                            for v in T.unroll(vectors):
                                for lane in T.vectorized(lanes):
                                    total[0, v * lanes + lane] = (
                                        total[0, v * lanes + lane] + total[u + 1, v * lanes + lane]
                                    )
                        for v in T.unroll(vectors):
                            for lane in T.vectorized(lanes):
                                sums[vn, vt, k, *at(r * span + v * lanes + lane)] = total[
                                    0, v * lanes + lane
                                ] + T.if_then_else(
                                    b == 0, zero, sums[vn, vt, k, *at(r * span + v * lanes + lane)]
                                )
        for n, k, h, w in T.grid(*whole(*out_shape)):
            with T.sblock("unpack"):
                vn, vk, vh, vw = T.axis.remap("SSSS", [n, k, h, w])
                output[vn, vk, vh, vw] = sums[vn, vh // rows, vk, vh % rows, vw]

    return main


def schedule(primitive: ModuleType, function: Schedule, vector: VectorUnit) -> None:
    """Run tiles in parallel, each with its input before and what was fused behind it; or else chunks of channels."""
    output = tiling.fuse_epilogue(function, {"pack"})
    convolution = function.get_sblock(tiling.CONVOLUTION)
    *_, chunks = tiling.spatial_extents(function)
    image, tile, chunk = function.get_loops(convolution)
    tiles, chunks = tiling.extents(function, [tile, chunk])
    together = "pack" in tiling.block_names(function)
    if together:
        pack = function.get_sblock("pack")
        loops = function.get_loops(pack)
        together = chunks == 1 and tiling.extents(function, [loops[1]])[0] == tiles
        if not together:
            tiling.parallelize(function, loops, vector)
    if chunks > 1:
        function.parallel(function.fuse(image, tile, chunk))
        outer = function.get_loops(output)[:2]
    else:
        tile = function.fuse(image, tile)
        function.parallel(tile)
        if together:
            function.compute_at(pack, tile, preserve_unit_loops=True)
        function.reverse_compute_at(output, tile, preserve_unit_loops=True)
        outer = []
    *_, row, column = function.get_loops(output)
    positions = function.fuse(row, column)
    lanes = tiling.divisors(tiling.extents(function, [positions])[0], vector.lanes)[-1]
    if lanes > 1:
        positions, lane = function.split(positions, [None, lanes])
        function.vectorize(lane)
    if outer:
        tiling.parallelize(function, [*outer, positions], vector)
