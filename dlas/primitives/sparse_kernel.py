"""Convolutions with a sparse weight (CSR or BSR), in work proportional to its non-zeros.

A register tile of output positions stays in vectors while the blocks of a matrix row run over it.
Each block is some values and one offset into the input, which multiply every vector of the tile. A
vector reads neighbours in memory at any stride, because the primitive lays the input out in planes
(`Planes`). Where rows of the feature map are short, a vector continues into the next one. For dot
products of 8-bit integers, an element of a plane is the four bytes of four neighbouring input
channels.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from tvm import tirx
from tvm.s_tir import Schedule
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T  # noqa: N812 (the name that TVM's scripts give it)

from dlas.primitives import dense, depthwise, direct, dot_product, plane_rows, thread_blocks, tiling
from dlas.primitives.arithmetic import SUMS
from dlas.primitives.convolution import Convolution
from dlas.primitives.gpu import GPU
from dlas.primitives.kernel import Kernel, argument, int64_extents
from dlas.primitives.knobs import Knobs
from dlas.primitives.layout import NCHW, Layout, Planes
from dlas.primitives.plugin import Primitive
from dlas.primitives.sparse_matrix import (
    CACHE_BYTES,
    IN_FLIGHT,
    Matrix,
    Tile,
    compress,
    in_place,
    plane_size,
    ranked_tiles,
    stored_blocks,
)
from dlas.primitives.vector import VectorUnit

# Annotation of a convolution whose block adds up one row of the matrix.
BY_ROW = "by_row"
# Maximum number of tiles to choose from.
MAX_TILES = 16
# Maximum number of elements that are laid out together.
PACKED_LANES = 16
# Size of a cache that holds all input channels, so that they are not partitioned.
UNLIMITED_BYTES = 1 << 40
# Share of non-zeros from which on a weight is computed dense. It is below 1 as rounding to int8
# makes some weights zero.
DENSE_SHARE = 0.9
# Output channels that share the loaded input where the weight is computed dense.
DENSE_BLOCK = 4


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
    knobs: Knobs,
    *,
    block: int,
) -> Kernel:
    """Return the kernel of one layer with a sparse weight.

    A matrix row is one output channel in linear layers, and where a block would straddle groups.

    The weight of an unpruned layer has nearly no zeros and is computed dense: as in `depthwise` for
    a depthwise layer, else as in `direct`. With a dot product of 8-bit integers, which `direct`
    cannot use, it is multiplied like a sparse weight, in blocks.

    Parameters
    ----------
    primitive : Primitive
        The algorithm, whose `planes` lay the input out.
    weight : np.ndarray
        Weight [K, C / groups, R, S].
    convolution : Convolution
        The layer.
    data_layout : Layout
        NCHW.
    dtype : str
        Dtype of the feature map: float32, float16, uint8 or int8.
    vector : VectorUnit or GPU
        The processor.
    knobs : Knobs
        Point of the search space.
    block : int
        Number of output channels of a matrix row.

    Returns
    -------
    Kernel
        Its constants are the arrays of a `Matrix`. A feature map that is read in place has the
        shape [N, 1, C * H * W].
    """
    planes = primitive.planes(convolution)
    one_position = convolution.out_height * convolution.out_width == 1
    shared = convolution.groups == 1
    if one_position or not (shared or convolution.out_channels // convolution.groups % block == 0):
        block = 1
    # On a GPU all positions are one tile. Each thread computes one of them.
    if isinstance(vector, GPU):
        width = planes.width
        reach = (convolution.out_height - 1) * width + convolution.out_width
        tile = Tile(convolution.out_height, -(-reach // width), 1, width, block, in_flight=1)
        blocks = stored_blocks(weight, dtype, block, tile.depth)
        matrix = compress(blocks, convolution, planes, tile, 1, UNLIMITED_BYTES)
        scattered = function(convolution, planes, tile, matrix, dtype, _gathered, lanes=1)
        return Kernel(scattered, tuple(vars(matrix).values()), NCHW)
    instruction = vector.dot_product if shared and not one_position else ""
    if np.count_nonzero(weight) >= DENSE_SHARE * weight.size:
        if convolution.depthwise:
            return depthwise.kernel(weight, convolution, dtype, vector, knobs)
        if not instruction:
            return dense.kernel(direct, weight, convolution, data_layout, dtype, vector, knobs)
        block = DENSE_BLOCK
    blocks = stored_blocks(weight, dtype, block, dot_product.DEPTH if instruction else 1)
    nonzeros = int(blocks.any(axis=-1).sum())
    ranked = ranked_tiles(convolution, planes, vector, nonzeros, block, instruction)
    tile = knobs.choose("tile", ranked[:MAX_TILES])
    tile = replace(tile, in_flight=knobs.choose("in_flight", (IN_FLIGHT, 4, 16)))
    tiles = convolution.batch * (convolution.out_height // tile.rows)
    # Tiles are equal work. Where they are too few for the threads, threads share chunks of
    # channels.
    chunks = 2 * vector.threads if vector.threads > 1 and tiles < 4 * vector.threads else 1
    if vector.threads > 1:
        other = 1 if chunks > 1 else 2 * vector.threads
        chunks = knobs.choose("chunks", (chunks, other, vector.threads, 4 * vector.threads))
    cache = knobs.choose("cache", (CACHE_BYTES, CACHE_BYTES // 2, 2 * CACHE_BYTES, UNLIMITED_BYTES))
    matrix = compress(blocks, convolution, planes, tile, chunks, cache)
    # The arrays stand in the order of the function's arguments.
    constants = tuple(vars(matrix).values())
    return Kernel(function(convolution, planes, tile, matrix, dtype), constants, NCHW)


def function(
    convolution: Convolution,
    planes: Planes,
    tile: Tile,
    matrix: Matrix,
    dtype: str,
    multiply: Callable[..., Any] | None = None,
    lanes: int = PACKED_LANES,
) -> tirx.PrimFunc:
    """Return the unscheduled function of one layer.

    Its blocks are "pack", which lays the input out unless it is read in place; "convolution"; and
    "unpack", which drops the positions between the rows of a tile.

    Parameters
    ----------
    convolution : Convolution
        The layer.
    planes : Planes
        How the input is laid out.
    tile : Tile
        How a row of the matrix is computed.
    matrix : Matrix
        The weight, for the shapes and dtypes of its arrays.
    dtype : str
        Dtype of the feature map.
    multiply : callable, optional
        Adds the block "convolution"; `_convolution` by default.
    lanes : int
        Number of elements of the input that are laid out together.

    Returns
    -------
    tirx.PrimFunc
        Function of the feature map, the arrays of the matrix and the output [N, K, OH, OW].
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
            data = _pack(data, convolution, planes, tile, lanes)
        multiply = multiply or _convolution
        sums = multiply(data, stored, convolution, planes, tile)
        with (
            T.grid(*int64_extents(convolution.out_shape)) as loops,
            T.sblock("unpack"),
        ):
            n, k, h, w = T.axis.remap("SSSS", loops)
            value = sums[n, h // tile.rows, k, h % tile.rows, w]
            T.buffer_store(output, value, [n, k, h, w])
    return builder.get()


def _pack(data: Any, convolution: Convolution, planes: Planes, tile: Tile, lanes: int) -> Any:
    """Lay an input out as [N, tiles or 1, positions of all planes of all channels], row by row.

    For dot products an element is an int32 of the bytes of four channels.
    """
    width, size = planes.width, plane_size(convolution, planes, tile)
    rows = size // width
    down, across = convolution.stride
    layings = convolution.out_height // tile.rows if planes.tiled else 1
    flat = -(-convolution.in_channels // tile.depth) * planes.count * size
    kind = "int32" if tile.dot_product else str(data.dtype)
    border = tirx.const(convolution.border, data.dtype)
    if tile.dot_product:
        four = np.full(tile.depth, convolution.border).astype(str(data.dtype))
        border = tirx.const(four.view(np.int32).item(), "int32")
    packed = T.sblock_alloc_buffer((convolution.batch, layings, flat), kind)
    with T.grid(convolution.batch, layings, flat // width) as loops, T.sblock("pack"):
        n, t, p = T.axis.remap("SSS", loops)
        T.reads(data[n, 0 : convolution.in_channels, 0 : convolution.height, 0 : convolution.width])
        T.writes(packed[n, t, p * width : p * width + width])
        element, plane, row = p // (planes.count * rows), p // rows % planes.count, p % rows
        row += t * tile.rows if planes.tiled else 0
        y = row * down + plane // planes.columns - convolution.padding[0]

        def read(first: Any, size: int) -> Any:
            """Return neighbouring elements of a row. Added channels repeat the last one."""
            channels = [element * tile.depth + place for place in range(tile.depth)]
            last = convolution.in_channels - 1
            values = [
                plane_rows.every(data, (n, tirx.Min(channel, last), y), first, across, size)
                for channel in channels
            ]
            return _together(values, size) if tile.dot_product else values[0]

        start = [n, t, p * width]
        with T.If(tirx.all(y >= 0, y < convolution.height)):
            with T.Then():
                # The column is a constant in each branch, so the vectors of its row are known at
                # compile time.
                for column in range(planes.columns):
                    with T.If(plane % planes.columns == column), T.Then():
                        plane_rows.lay_out_row(
                            packed, start, read, border, column, width, convolution, lanes
                        )
            with T.Else():
                plane_rows.fill(packed, start, border, width, lanes)
    return packed


def _together(values: Sequence[Any], lanes: int) -> Any:
    """Return int32 vectors whose bytes are 8-bit numbers, the lowest byte first."""
    suffix = f"x{lanes}" if lanes > 1 else ""
    words = [value.astype(f"uint8{suffix}").astype(f"int32{suffix}") for value in values]
    return sum((word << 8 * place for place, word in enumerate(words[1:], 1)), words[0])


def _convolution(
    packed: Any, stored: Sequence[Any], convolution: Convolution, planes: Planes, tile: Tile
) -> Any:
    """Add up products with a stored `Matrix` to [N, tiles, K, rows, positions of a row]."""
    pointers, offsets, values, bounds = stored
    block, width, interleaved = tile.block, planes.width, tile.interleaved
    matrix_rows = -(-convolution.out_channels // block)
    parts = (int(pointers.shape[0]) - 1) // matrix_rows
    tiles, chunks = convolution.out_height // tile.rows, int(bounds.shape[0]) - 1
    dtype, zero = str(values.dtype), tirx.const(0, values.dtype)
    # Number of rows as far as vectors reach.
    reach = -(-tile.registers * tile.span // width)
    shape = (convolution.batch, tiles, matrix_rows * block, reach, width)
    sums = T.sblock_alloc_buffer(shape, dtype)
    last = tile.rows * width - tile.lanes if in_place(convolution, planes, tile) else None
    # Where a channel needs only one row of the matrix, it is finished with its epilogue before the
    # next row.
    whole = convolution.out_channels % block == 0
    by_row = parts == chunks == tile.registers == 1 and whole
    shares = matrix_rows if by_row else chunks
    with T.grid(convolution.batch, tiles, shares) as loops, T.sblock("convolution"):
        n, t, g = T.axis.remap("SSS", loops)
        laying, begin = (t, 0) if planes.tiled else (0, t * tile.rows * width)
        T.sblock_attr({BY_ROW: by_row})
        T.reads(packed[n, laying, 0 : packed.shape[2]])
        # Positions behind the tile's rows are written as well, but never read.
        own = slice(g * block, g * block + block) if by_row else slice(0, matrix_rows * block)
        T.writes(sums[n, t, own, 0 : tile.rows, 0:width])
        total = T.sblock_alloc_buffer((interleaved, block, tile.span), dtype, scope="local")

        def there(vector: Any, lane: Any) -> Any:
            """Return a lane's position within the rows of the tile, in the first register tile."""
            start = vector * tile.lanes
            return (start if last is None else tirx.Min(start, last)) + lane

        def add(u: Any, o: Any, position: Any, place: Any, at: Any) -> None:
            """Add one value of a block times one position of its input."""
            element = packed[n, laying, begin + offsets[place].astype("int32") + at]
            product = values[place * block + o] * element.astype(dtype)
            T.buffer_store(total, total[u, o, position] + product, [u, o, position])

        def add_bytes(u: Any, o: Any, vector: Any, place: Any, at: Any) -> None:
            """Add dot products of four bytes of a block and of each position of a vector."""
            first = begin + offsets[place].astype("int32") + at
            elements = packed[n, laying, tirx.Ramp(first, 1, tile.lanes)]
            four = tirx.Broadcast(values[place * block + o], tile.lanes)
            position = [u, o, tirx.Ramp(vector * tile.lanes, 1, tile.lanes)]
            added = dot_product.add(tile.dot_product, total[tuple(position)], elements, four)
            T.buffer_store(total, added, position)

        def add_up(k: Any, b: Any, r: Any) -> None:
            """Add up a matrix row over one part of the input channels, in one register tile."""
            row = b * matrix_rows + k
            with T.unroll(interleaved) as u, _positions(tile) as (o, vector, lane):
                T.buffer_store(total, zero, [u, o, vector * tile.lanes + lane])
            first, end = pointers[row], pointers[row + 1]
            with T.serial(T.truncdiv(end - first, interleaved)) as q:
                # The vector holds non-zeros, as there is only one position.
                if tile.span == 1:
                    with T.vectorized(interleaved) as u:
                        add(u, 0, 0, first + q * interleaved + u, 0)
                elif tile.dot_product:
                    with T.unroll(interleaved) as u, _vectors(tile) as (o, vector):
                        place = first + q * interleaved + u
                        add_bytes(u, o, vector, place, r * tile.span + vector * tile.lanes)
                else:
                    with T.unroll(interleaved) as u, _positions(tile) as (o, vector, lane):
                        position = vector * tile.lanes + lane
                        place = first + q * interleaved + u
                        add(u, o, position, place, r * tile.span + there(vector, lane))
            with T.unroll(interleaved - 1) as u, _positions(tile) as (o, vector, lane):
                position = vector * tile.lanes + lane
                both = total[0, o, position] + total[u + 1, o, position]
                T.buffer_store(total, both, [0, o, position])

            def place_of(o: Any, vector: Any, lane: Any) -> list[Any]:
                at = r * tile.span + there(vector, lane)
                return [n, t, k * block + o, at // width, at % width]

            # All is read before any of it is written, as vectors may overlap.
            if parts > 1:
                with _positions(tile) as (o, vector, lane):
                    position = vector * tile.lanes + lane
                    before = T.if_then_else(b == 0, zero, sums[tuple(place_of(o, vector, lane))])
                    T.buffer_store(total, before + total[0, o, position], [0, o, position])
            with _positions(tile) as (o, vector, lane):
                position = vector * tile.lanes + lane
                T.buffer_store(sums, total[0, o, position], place_of(o, vector, lane))

        if by_row:
            add_up(g, 0, 0)
        else:
            # Loops begin at zero: TVM 0.27 makes wrong code of some loops that begin at a loaded
            # number.
            size = bounds[g + 1] - bounds[g]
            with T.grid(parts, tile.registers) as (b, r), T.serial(size) as i:
                add_up(bounds[g] + i, b, r)
    return sums


def _gathered(
    packed: Any, stored: Sequence[Any], convolution: Convolution, planes: Planes, tile: Tile
) -> Any:
    """Compute `_convolution` on a GPU: each thread gathers one output channel at one position."""
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
        row = k // tile.block
        with T.serial(pointers[row + 1] - pointers[row]) as i:
            place = pointers[row] + i
            element = packed[n, 0, h * planes.width + w + offsets[place].astype("int32")]
            value = values[place * tile.block + k % tile.block]
            T.buffer_store(total, total[0] + value * element.astype(dtype), [0])
        T.buffer_store(sums, total[0], [n, 0, k, h, w])
    return sums


@contextmanager
def _vectors(tile: Tile) -> Iterator[tuple[Any, Any]]:
    """Run over the vectors of a register tile, for each output channel of a block."""
    with T.unroll(tile.block) as o, T.unroll(tile.vectors) as vector:
        yield o, vector


@contextmanager
def _positions(tile: Tile) -> Iterator[tuple[Any, Any, Any]]:
    """Run over the positions of a register tile, vector by vector, for each channel of a block."""
    with _vectors(tile) as (o, vector), T.vectorized(tile.lanes) as lane:
        yield o, vector, lane


def schedule(
    primitive: Primitive, function: Schedule, vector: VectorUnit | GPU, knobs: Knobs
) -> None:
    """Run tiles in parallel, or else chunks of output channels.

    A tile lays out its input first and ends with the fused epilogue. On a GPU a thread computes one
    element of the output, or lays out one row of a plane.
    """
    if isinstance(vector, GPU):
        threads = knobs.choose("threads", (128, 64, 256, 32))
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
        depthwise.schedule(function, vector, knobs)
        return
    if direct.LANES in annotations:
        direct.schedule(function, vector, knobs)
        return
    output = tiling.fuse_epilogue(function, {"pack"})
    image, tile, chunk = function.get_loops(convolution)
    tiles, chunks = tiling.extents(function, [tile, chunk])
    by_row = bool(annotations[BY_ROW])
    by_tile = by_row or chunks == 1
    outer = function.fuse(image, tile) if by_tile else function.fuse(image, tile, chunk)
    if knobs.choose("parallel", (True, False)):
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
