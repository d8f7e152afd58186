"""CSR: a convolution whose weight is a sparse matrix, in work that is proportional to its non-zeros.

The matrix has a row for each output channel and a column for each tap of each input channel. A register tile of output
positions stays in vectors while the non-zeros of a row run over it: each is one value and one offset into the input,
which multiply every vector of the tile. What a vector reads is side by side in memory at any stride, because the
primitive lays the input out in planes (`Planes`); where rows are short, a vector goes on into the next one.

Input channels are partitioned into blocks, each a CSR matrix of its own, so that what a register tile reads of a block
stays in the first-level cache while all output channels use it (cache blocking of sparse matrices: Im, Yelick and
Vuduc, "Sparsity: Optimization Framework for Sparse Matrix Kernels", IJHPCA 2004).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from tvm import tirx
from tvm.s_tir import Schedule
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T  # noqa: N812 (the name that TVM's scripts give it)

from dlas.plugins import FormatPlugin
from dlas.primitives import dense, depthwise, direct, thread_blocks, tiling
from dlas.primitives.arithmetic import SUMS
from dlas.primitives.convolution import Convolution
from dlas.primitives.decisions import Decisions
from dlas.primitives.gpu import GPU
from dlas.primitives.kernel import Kernel, argument, int64_extents
from dlas.primitives.layout import NCHW, Layout, Planes
from dlas.primitives.plugin import Primitive
from dlas.primitives.vector import VectorUnit

PLUGIN = FormatPlugin(label="CSR", order=2, sparse=True, edge="#000000")

# The annotation of a convolution whose block adds up one output channel.
BY_ROW = "by_row"
# Input that a register tile reads again and again: the size of a first-level cache.
CACHE_BYTES = 24 * 1024
# Input that is laid out at a time: the size of a second-level cache.
TILE_BYTES = 1024 * 1024
# Non-zeros of a row below which partitioning it costs more than it saves.
MIN_ROW_NONZEROS = 8
# Multiply-adds that hide the latency of one another, by default.
IN_FLIGHT = 8
# Tiles to choose from.
MAX_TILES = 16
# A cache that holds all input channels, so that they are not partitioned.
UNLIMITED_BYTES = 1 << 40
# Cost of loading a non-zero's value and offset in units of one multiply-add of a vector.
NONZERO_COST = 1.5


@dataclass(frozen=True)
class Tile:
    """How the output positions of a channel are worked on.

    A tile is `rows` rows of the output. `registers` register tiles, of `vectors` vectors with `lanes` positions each,
    cover it. `in_flight` multiply-adds hide the latency of one another.
    """

    rows: int
    registers: int
    vectors: int
    lanes: int
    in_flight: int = IN_FLIGHT

    @property
    def span(self) -> int:
        """Positions of a register tile."""
        return self.vectors * self.lanes

    @property
    def interleaved(self) -> int:
        """Non-zeros of a row that are added up apart, so that their latencies overlap."""
        return max(1, self.in_flight // self.vectors)


@dataclass(frozen=True)
class Matrix:
    """A weight as CSR matrices, one for each block of input channels.

    `pointers` int32 [blocks * K + 1] say where rows begin in `offsets` int32 and `values`: row k of block b is number
    b * K + k. Offsets lead into the planes of the input, from the first position of a tile. Zeros fill each row up to a
    multiple of what the kernel interleaves. `bounds` int32 [chunks + 1] partition the output channels into chunks of
    nearly equal work.
    """

    pointers: np.ndarray
    offsets: np.ndarray
    values: np.ndarray
    bounds: np.ndarray


def layout(primitive: Primitive, channels: int, vector: VectorUnit | GPU) -> Layout:
    """Return NCHW for every primitive: a vector, or neighbouring threads, hold positions."""
    return NCHW


def kernel(
    primitive: Primitive,
    weight: np.ndarray,
    convolution: Convolution,
    data_layout: Layout,
    dtype: str,
    vector: VectorUnit | GPU,
    decide: Decisions,
) -> Kernel:
    """Return the kernel of one layer; the weight's constants are a `Matrix`.

    A weight without a zero, of a layer that is not pruned, is no sparse matrix: it is computed as in `direct`, or, of a
    depthwise layer, as in `depthwise`. Where the function's input is [N, 1, C * H * W], it takes the feature map as it
    is, seen so.
    """
    planes = primitive.planes(convolution)
    if not isinstance(vector, GPU) and weight.all():
        if convolution.depthwise:
            return depthwise.kernel(weight, convolution, dtype, vector, decide)
        return dense.kernel(direct, weight, convolution, data_layout, dtype, vector, decide)
    if isinstance(vector, GPU):  # all positions are one tile, of which a thread has one
        width = planes.width
        reach = (convolution.out_height - 1) * width + convolution.out_width
        tile = Tile(convolution.out_height, -(-reach // width), 1, width, in_flight=1)
        matrix = compress(weight.astype(SUMS[dtype]), convolution, planes, tile, 1, UNLIMITED_BYTES)
        scattered = function(convolution, planes, tile, matrix, dtype, _gathered)
        return Kernel(scattered, tuple(vars(matrix).values()), NCHW)
    nonzeros = int(np.count_nonzero(weight))
    tile = decide.choose("tile", ranked_tiles(convolution, planes, vector, nonzeros)[:MAX_TILES])
    tile = replace(tile, in_flight=decide.choose("in_flight", (IN_FLIGHT, 4, 16)))
    tiles = convolution.batch * (convolution.out_height // tile.rows)
    # Tiles are the same work each; where they are too few for the threads, chunks of channels share it.
    chunks = 2 * vector.threads if vector.threads > 1 and tiles < 4 * vector.threads else 1
    if vector.threads > 1:
        other = 1 if chunks > 1 else 2 * vector.threads
        chunks = decide.choose("chunks", (chunks, other, vector.threads, 4 * vector.threads))
    cache = decide.choose(
        "cache", (CACHE_BYTES, CACHE_BYTES // 2, 2 * CACHE_BYTES, UNLIMITED_BYTES)
    )
    matrix = compress(weight.astype(SUMS[dtype]), convolution, planes, tile, chunks, cache)
    constants = tuple(vars(matrix).values())  # in the order of the function's arguments
    return Kernel(function(convolution, planes, tile, matrix, dtype), constants, NCHW)


def ranked_tiles(
    convolution: Convolution, planes: Planes, vector: VectorUnit, nonzeros: int
) -> list[Tile]:
    """Return the possible tiles, that first which takes the fewest vector operations.

    They are counted for the non-zeros and for laying out the input. The order does not depend on the number of threads,
    so that the sums do not.
    """
    widths = [width for width in (16, 8, 4) if width <= vector.lanes]
    if convolution.out_height * convolution.out_width == 1:
        return [Tile(1, 1, 1, 1)]
    costs: dict[Tile, float] = {}
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
                multiplied = nonzeros * tiles * tile.registers * (vectors + NONZERO_COST)
                copied = 2 * laid_out / lanes * (tiles if planes.tiled else 1)
                costs[tile] = multiplied + (0 if in_place(convolution, planes, tile) else copied)
    return sorted(costs, key=lambda tile: costs[tile])


def plane_size(convolution: Convolution, planes: Planes, tile: Tile) -> int:
    """Return the positions of a plane: whole rows, as far as the vectors of the last tap reach."""
    if in_place(convolution, planes, tile):
        return convolution.out_height * planes.width
    before = 0 if planes.tiled else (convolution.out_height - tile.rows) * planes.width
    rows, columns = convolution.kernel
    reach = before + planes.shift(rows - 1, columns - 1) + tile.registers * tile.span
    return -(-reach // planes.width) * planes.width


def in_place(convolution: Convolution, planes: Planes, tile: Tile) -> bool:
    """Return whether the feature map is the one plane of each channel already, to the last vector.

    The last vector of a register tile that is alone may begin before the end of the one before it.
    """
    positions = tile.rows * planes.width
    exact = tile.registers * tile.span == positions
    overlapping = tile.registers == 1 and tile.lanes <= positions
    return convolution.pointwise and (exact or overlapping) and not planes.tiled


def compress(
    weight: np.ndarray,
    convolution: Convolution,
    planes: Planes,
    tile: Tile,
    chunks: int,
    cache: int = CACHE_BYTES,
) -> Matrix:
    """Return a weight [K, C / groups, R, S] as CSR matrices for a kernel with this tile.

    `cache` is the size in bytes of the input that a register tile reads of each of them.
    """
    output, channel, row, column = np.nonzero(weight)
    values = weight[output, channel, row, column]
    per_group = convolution.out_channels // convolution.groups
    channel = channel + output // per_group * weight.shape[1]
    size = plane_size(convolution, planes, tile)
    offsets = (channel * planes.count + planes.plane(row, column)) * size
    offsets += planes.shift(row, column)

    last = planes.shift(convolution.kernel[0] - 1, convolution.kernel[1] - 1)
    in_cache = cache // (4 * planes.count * (tile.span + last))
    worth = (
        MIN_ROW_NONZEROS * convolution.out_channels * convolution.in_channels // max(1, len(values))
    )
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

    work = (filled + NONZERO_COST).reshape(blocks, -1).sum(axis=0).cumsum()
    shares = work[-1] * np.arange(1, chunks) / chunks
    inner = np.searchsorted(work, shares, side="left") + 1
    bounds = np.concatenate([[0], inner, [convolution.out_channels]])
    return Matrix(pointers.astype(np.int32), all_offsets, all_values, bounds.astype(np.int32))


def function(
    convolution: Convolution,
    planes: Planes,
    tile: Tile,
    matrix: Matrix,
    dtype: str,
    multiply: Callable[..., Any] | None = None,
) -> tirx.PrimFunc:
    """Return the function of one layer, unscheduled, whose last argument is its output [N, K, OH, OW].

    `multiply` adds its block "convolution": `_convolution`, or another with the same arguments and result.

    Its blocks: "pack", which lays the input out, unless it is read in place; "convolution"; and "unpack", which drops
    what lies between the rows of a tile.
    """
    batch, *plane = convolution.in_shape
    as_it_is = in_place(convolution, planes, tile)
    in_shape = [batch, 1, math.prod(plane)] if as_it_is else convolution.in_shape
    with IRBuilder() as builder, T.prim_func(private=True, s_tir=True):
        T.func_attr({"tirx.noalias": True})
        data = argument("data", in_shape, dtype)
        stored = [
            argument(name, [len(array)], str(array.dtype)) for name, array in vars(matrix).items()
        ]
        output = argument("output", convolution.out_shape, SUMS[dtype])
        if not as_it_is:
            data = _pack(data, convolution, planes, tile)
        blocks = (len(matrix.pointers) - 1) // convolution.out_channels
        multiply = multiply or _convolution
        sums = multiply(data, stored, blocks, convolution, planes, tile)
        with (
            T.grid(*int64_extents(convolution.out_shape)) as loops,
            T.sblock("unpack"),
        ):
            n, k, h, w = T.axis.remap("SSSS", loops)
            value = sums[n, h // tile.rows, k, h % tile.rows, w]
            T.buffer_store(output, value, [n, k, h, w])
    return builder.get()


def _pack(data: Any, convolution: Convolution, planes: Planes, tile: Tile) -> Any:
    """Lay an input out: [N, tiles or 1, positions of all planes of all channels], a row of a plane at a time."""
    width, size = planes.width, plane_size(convolution, planes, tile)
    rows = size // width
    top, left = convolution.padding[:2]
    down, across = convolution.stride
    layings = convolution.out_height // tile.rows if planes.tiled else 1
    flat = convolution.in_channels * planes.count * size
    border = tirx.const(convolution.border, data.dtype)
    packed = T.sblock_alloc_buffer((convolution.batch, layings, flat), str(data.dtype))
    with T.grid(convolution.batch, layings, flat // width) as loops, T.sblock("pack"):
        n, t, p = T.axis.remap("SSS", loops)
        T.reads(data[n, 0 : convolution.in_channels, 0 : convolution.height, 0 : convolution.width])
        T.writes(packed[n, t, p * width : p * width + width])
        channel, plane, row = p // (planes.count * rows), p // rows % planes.count, p % rows
        y = (row + (t * tile.rows if planes.tiled else 0)) * down + plane // planes.columns - top
        x = plane % planes.columns - left  # of the row's first position
        begin = tirx.Max((across - 1 - x) // across, 0)
        end = tirx.Min((convolution.width + across - 1 - x) // across, width)

        def fill(first: Any, last: Any) -> None:
            with T.serial(first, last) as w:
                T.buffer_store(packed, border, [n, t, p * width + w])

        with T.If(tirx.all(y >= 0, y < convolution.height)):
            with T.Then():
                fill(0, begin)
                with T.serial(begin, end) as w:
                    T.buffer_store(
                        packed, data[n, channel, y, x + w * across], [n, t, p * width + w]
                    )
                fill(end, width)
            with T.Else():
                fill(0, width)
    return packed


def _convolution(
    packed: Any,
    stored: Sequence[Any],
    blocks: int,
    convolution: Convolution,
    planes: Planes,
    tile: Tile,
) -> Any:
    """Multiply by a stored `Matrix` and add up: [N, tiles, K, rows, positions of a row], in the type of its values."""
    pointers, offsets, values, bounds = stored
    channels, width, interleaved = convolution.out_channels, planes.width, tile.interleaved
    tiles, chunks = convolution.out_height // tile.rows, int(bounds.shape[0]) - 1
    dtype, zero = str(values.dtype), tirx.const(0, values.dtype)
    reach = -(-tile.registers * tile.span // width)  # rows, as far as vectors reach
    sums = T.sblock_alloc_buffer((convolution.batch, tiles, channels, reach, width), dtype)
    last = tile.rows * width - tile.lanes if in_place(convolution, planes, tile) else None
    # Where a row of the matrix is all that a channel needs, it is finished, with what is fused behind, before the next.
    by_row = blocks == chunks == tile.registers == 1
    shares = channels if by_row else chunks
    with T.grid(convolution.batch, tiles, shares) as loops, T.sblock("convolution"):
        n, t, g = T.axis.remap("SSS", loops)
        laying, begin = (t, 0) if planes.tiled else (0, t * tile.rows * width)
        T.sblock_attr({BY_ROW: by_row})
        T.reads(packed[n, laying, 0 : packed.shape[2]])
        # What lies behind the tile's rows is written as well, but never read.
        own = g if by_row else slice(0, channels)
        T.writes(sums[n, t, own, 0 : tile.rows, 0:width])
        total = T.sblock_alloc_buffer((interleaved, tile.span), dtype, scope="local")

        def there(vector: Any, lane: Any) -> Any:
            """Where in the tile's rows a position of the first register tile is."""
            start = vector * tile.lanes
            return (start if last is None else tirx.Min(start, last)) + lane

        def add(u: Any, position: Any, place: Any, at: Any) -> None:
            """Add one non-zero times one position of its input."""
            element = packed[n, laying, begin + offsets[place] + at]
            product = values[place] * element.astype(dtype)
            T.buffer_store(total, total[u, position] + product, [u, position])

        def add_up(k: Any, b: Any, r: Any) -> None:
            """Add up what an output channel takes from a block of input channels, in one register tile."""
            row = b * channels + k
            with T.unroll(interleaved) as u, _positions(tile) as (vector, lane):
                T.buffer_store(total, zero, [u, vector * tile.lanes + lane])
            first, end = pointers[row], pointers[row + 1]
            with T.serial(T.truncdiv(end - first, interleaved)) as q:
                if tile.span == 1:  # the vector holds non-zeros
                    with T.vectorized(interleaved) as u:
                        add(u, 0, first + q * interleaved + u, 0)
                else:
                    with T.unroll(interleaved) as u, _positions(tile) as (vector, lane):
                        position = vector * tile.lanes + lane
                        place = first + q * interleaved + u
                        add(u, position, place, r * tile.span + there(vector, lane))
            with T.unroll(interleaved - 1) as u, _positions(tile) as (vector, lane):
                position = vector * tile.lanes + lane
                T.buffer_store(total, total[0, position] + total[u + 1, position], [0, position])

            def place_of(vector: Any, lane: Any) -> list[Any]:
                at = r * tile.span + there(vector, lane)
                return [n, t, k, at // width, at % width]

            if blocks > 1:  # all is read before any of it is written, as vectors may overlap
                with _positions(tile) as (vector, lane):
                    position = vector * tile.lanes + lane
                    before = T.if_then_else(b == 0, zero, sums[tuple(place_of(vector, lane))])
                    T.buffer_store(total, before + total[0, position], [0, position])
            with _positions(tile) as (vector, lane):
                T.buffer_store(sums, total[0, vector * tile.lanes + lane], place_of(vector, lane))

        if by_row:
            add_up(g, 0, 0)
        else:
            # Loops begin at zero: TVM 0.27 makes wrong code of some that begin where memory says.
            size = bounds[g + 1] - bounds[g]
            with T.grid(blocks, tile.registers) as (b, r), T.serial(size) as i:
                add_up(bounds[g] + i, b, r)
    return sums


def _gathered(
    packed: Any,
    stored: Sequence[Any],
    blocks: int,
    convolution: Convolution,
    planes: Planes,
    tile: Tile,
) -> Any:
    """Do what `_convolution` does, in threads of a GPU: each gathers what one output channel takes at one position."""
    pointers, offsets, values, _ = stored
    channels, height, width = convolution.out_shape[1:]
    dtype = str(values.dtype)
    sums = T.sblock_alloc_buffer((convolution.batch, 1, channels, height, width), dtype)
    with T.grid(convolution.batch, channels, height, width) as loops, T.sblock("convolution"):
        n, k, h, w = T.axis.remap("SSSS", loops)
        T.reads(packed[n, 0, 0 : packed.shape[2]])
        T.writes(sums[n, 0, k, h, w])
        total = T.sblock_alloc_buffer((1,), dtype, scope="local")
        T.buffer_store(total, tirx.const(0, dtype), [0])
        with T.serial(pointers[k + 1] - pointers[k]) as i:
            place = pointers[k] + i
            element = packed[n, 0, h * planes.width + w + offsets[place]]
            T.buffer_store(total, total[0] + values[place] * element.astype(dtype), [0])
        T.buffer_store(sums, total[0], [n, 0, k, h, w])
    return sums


@contextmanager
def _positions(tile: Tile) -> Iterator[tuple[Any, Any]]:
    """Run over a register tile, vector by vector."""
    with T.unroll(tile.vectors) as vector, T.vectorized(tile.lanes) as lane:
        yield vector, lane


def schedule(
    primitive: Primitive, function: Schedule, vector: VectorUnit | GPU, decide: Decisions
) -> None:
    """Run tiles in parallel, each with its input before and what was fused behind it; or else chunks of channels.

    On a GPU a thread has one element of the output, or lays out one row of a plane.
    """
    if isinstance(vector, GPU):
        threads = decide.choose("threads", (128, 64, 256, 32))
        output = tiling.fuse_epilogue(function, {"pack"})
        if "pack" in tiling.block_names(function):
            thread_blocks.make_elements(function, function.get_sblock("pack"), vector)
        thread = thread_blocks.make_elements(function, output, vector, threads)
        convolution = function.get_sblock(tiling.CONVOLUTION)
        function.compute_at(convolution, thread, preserve_unit_loops=True)
        function.set_scope(convolution, 0, "local")
        return
    convolution = function.get_sblock(tiling.CONVOLUTION)
    annotations = function.get(convolution).annotations
    if depthwise.DEPTHWISE in annotations:
        depthwise.schedule(function, vector, decide)
        return
    if direct.LANES in annotations:
        direct.schedule(function, vector, decide)
        return
    output = tiling.fuse_epilogue(function, {"pack"})
    image, tile, chunk = function.get_loops(convolution)
    tiles, chunks = tiling.extents(function, [tile, chunk])
    by_row = bool(annotations[BY_ROW])
    by_tile = by_row or chunks == 1
    outer = function.fuse(image, tile) if by_tile else function.fuse(image, tile, chunk)
    if decide.choose("parallel", (True, False)):
        function.parallel(outer)
    if "pack" in tiling.block_names(function):
        pack = function.get_sblock("pack")
        loops = function.get_loops(pack)
        if by_tile and tiling.extents(function, loops[1:2]) == [tiles]:
            function.compute_at(pack, outer, preserve_unit_loops=True)
        else:
            tiling.parallelize(function, loops, vector)
    if by_tile:
        function.reverse_compute_at(output, chunk if by_row else outer, preserve_unit_loops=True)
    *around, row, column = function.get_loops(output)
    positions = function.fuse(row, column)
    lanes = tiling.divisors(tiling.extents(function, [positions])[0], vector.lanes)[-1]
    if lanes > 1:
        positions, lane = function.split(positions, [None, lanes])
        function.vectorize(lane)
    if not by_tile:
        tiling.parallelize(function, [*around, positions], vector)
