"""Depthwise convolutions on feature maps in NCHW, for networks whose other layers are sparse.

Each channel is first laid out with its border in planes (`Planes`), in the first-level cache.
Vectors of sums then run over all positions of a plane, across the ends of rows, so that short rows
fill them too. The positions between rows are dropped. With a stride of two, every second element of
a row is shuffled out of two vectors. A dot product of 8-bit integers takes up to four taps that are
neighbours in a row of a plane.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from tvm import tirx
from tvm.s_tir import Schedule
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T  # noqa: N812 (the name that TVM's scripts give it)

from dlas.primitives import dot_product, plane_rows, tiling
from dlas.primitives.arithmetic import SUMS
from dlas.primitives.convolution import Convolution
from dlas.primitives.kernel import Kernel, argument, int64_extents
from dlas.primitives.knobs import Knobs
from dlas.primitives.layout import NCHW, Planes, phases
from dlas.primitives.vector import VectorUnit

# Annotation of a depthwise convolution's block.
DEPTHWISE = "depthwise"
# Numbers of vectors of sums whose latencies overlap.
IN_FLIGHT = (4, 2, 8)
# Size of the planes that are laid out together: loading whole vectors is slow right after their
# parts were stored.
CACHE_BYTES = 16 * 1024


def kernel(
    weight: np.ndarray, convolution: Convolution, dtype: str, vector: VectorUnit, knobs: Knobs
) -> Kernel:
    """Return the kernel of one depthwise layer.

    Parameters
    ----------
    weight : np.ndarray
        Weight [K, 1, R, S].
    convolution : Convolution
        The layer.
    dtype : str
        Dtype of the feature map: float32, float16, uint8 or int8.
    vector : VectorUnit
        The CPU's vector unit.
    knobs : Knobs
        Point of the search space.

    Returns
    -------
    Kernel
        Its constant is [K, R * S], or, for dot products, int32 [K, groups of taps] of four bytes
        each.
    """
    in_flight = knobs.choose("in_flight", IN_FLIGHT)
    taps = grouped_taps(convolution, dot_product.DEPTH if vector.dot_product else 1)
    if vector.dot_product:
        stored = np.zeros((len(weight), len(taps), dot_product.DEPTH), np.int8)
        for number, group in enumerate(taps):
            for place, (row, column) in enumerate(group):
                stored[:, number, place] = weight[:, 0, row, column]
        constant = stored.view(np.int32)[..., 0]
    else:
        constant = weight.reshape(len(weight), -1)
    unscheduled = function(
        convolution, dtype, str(constant.dtype), taps, vector.lanes, in_flight, vector.dot_product
    )
    return Kernel(unscheduled, (constant,), NCHW)


def grouped_taps(convolution: Convolution, depth: int) -> list[list[tuple[int, int]]]:
    """Return the (row, column) taps of a kernel in groups of neighbours in one plane.

    They are ordered by row. A group has at most `depth` taps.
    """
    (rows, columns), phase_columns = convolution.kernel, phases(convolution).columns
    if depth == 1:
        return [[(row, column)] for row in range(rows) for column in range(columns)]
    return [
        [(row, column) for column in range(phase, columns, phase_columns)[first : first + depth]]
        for row in range(rows)
        for phase in range(phase_columns)
        for first in range(0, len(range(phase, columns, phase_columns)), depth)
    ]


def function(
    convolution: Convolution,
    dtype: str,
    weight_dtype: str,
    taps: Sequence[Sequence[tuple[int, int]]],
    widest: int,
    in_flight: int,
    instruction: str = "",
) -> tirx.PrimFunc:
    """Return the unscheduled function of one layer, with the blocks "convolution" and "unpack".

    Parameters
    ----------
    convolution : Convolution
        The layer.
    dtype, weight_dtype : str
        Dtypes of the feature map and of the constant.
    taps : sequence
        The groups of `grouped_taps`.
    widest : int
        Maximum number of lanes of a vector.
    in_flight : int
        Maximum number of vectors that are added up together.
    instruction : str
        LLVM's intrinsic for the dot product of a group of taps, empty where each group is one tap.

    Returns
    -------
    tirx.PrimFunc
        Function of the feature map, the constant and the output.
    """
    batch, channels, planes = convolution.batch, convolution.out_channels, phases(convolution)
    positions = (convolution.out_height - 1) * planes.width + convolution.out_width
    lanes = next(n for n in (16, 8, 4) if n <= widest and n <= max(4, 2 * positions))
    in_flight = min(in_flight, -(-positions // lanes))
    turns = -(-positions // (lanes * in_flight))
    last = (convolution.kernel[0] - 1, convolution.kernel[1] - 1)
    rows = -(-(planes.shift(*last) + turns * in_flight * lanes) // planes.width)
    kind = SUMS[dtype]
    with IRBuilder() as builder, T.prim_func(private=True, s_tir=True):
        T.func_attr({"tirx.noalias": True})
        data = argument("data", convolution.in_shape, dtype)
        weight = argument("weight", (channels, len(taps)), weight_dtype)
        output = argument("output", convolution.out_shape, kind)
        size = rows * planes.width
        summed = -(-turns * in_flight * lanes // planes.width)
        sums = T.sblock_alloc_buffer((batch, channels, summed, planes.width), kind)
        together = tiling.divisors(channels, max(1, CACHE_BYTES // (4 * planes.count * size)))[-1]
        with T.grid(batch, channels // together) as loops, T.sblock(tiling.CONVOLUTION):
            n, group = T.axis.remap("SS", loops)
            own = slice(group * together, group * together + together)
            T.sblock_attr({DEPTHWISE: True})
            T.reads(
                data[n, own, 0 : convolution.height, 0 : convolution.width],
                weight[own, 0 : len(taps)],
            )
            # Positions behind the last row are written as well, but never read.
            T.writes(sums[n, own, 0 : convolution.out_height, 0 : planes.width])
            # A vector from which groups of taps are taken is longer than their bytes.
            length = together * planes.count * size + (2 * lanes if instruction else 0)
            packed = T.sblock_alloc_buffer((length,), dtype, scope="local")
            with T.serial(together) as c:
                for number in range(planes.count):
                    plane = (c * planes.count + number) * size
                    channel = (n, group * together + c)
                    _lay_out(data, packed, channel, number, plane, rows, convolution, planes, lanes)
            total = T.sblock_alloc_buffer((lanes,), kind, scope="local")
            with T.grid(together, turns) as (c, turn), T.unroll(in_flight) as u:
                k = group * together + c
                at = (turn * in_flight + u) * lanes
                added: Any = tirx.Broadcast(tirx.const(0, kind), lanes)
                for number, ((r, s), *_) in enumerate(taps):
                    plane = (c * planes.count + planes.plane(r, s)) * size
                    start = plane + at + planes.shift(r, s)
                    if instruction:
                        bytes_ = _windows(packed[tirx.Ramp(start, 1, 2 * lanes)], lanes)
                        four = tirx.Broadcast(weight[k, number], lanes)
                        added = dot_product.add(instruction, added, bytes_, four)
                    else:
                        element = packed[tirx.Ramp(start, 1, lanes)].astype(f"{kind}x{lanes}")
                        value = tirx.Broadcast(weight[k, number].astype(kind), lanes)
                        added = added + element * value
                T.buffer_store(total, added, [tirx.Ramp(0, 1, lanes)])
                with T.vectorized(lanes) as lane:
                    place = at + lane
                    T.buffer_store(
                        sums, total[lane], [n, k, place // planes.width, place % planes.width]
                    )
        with T.grid(*int64_extents(convolution.out_shape)) as loops, T.sblock("unpack"):
            n, k, h, w = T.axis.remap("SSSS", loops)
            T.buffer_store(output, sums[n, k, h, w], [n, k, h, w])
    return builder.get()


def _windows(values: Any, lanes: int) -> Any:
    """Return the 8-bit numbers at each lane's position and at the next three positions."""
    depth = dot_product.DEPTH
    indices = [lane + place for lane in range(lanes) for place in range(depth)]
    return tirx.Shuffle([values, values], [tirx.IntImm("int32", index) for index in indices])


def _lay_out(
    data: Any,
    packed: Any,
    channel: tuple[Any, Any],
    number: int,
    plane: Any,
    rows: int,
    convolution: Convolution,
    planes: Planes,
    lanes: int,
) -> None:
    """Fill one plane of a channel: every stride-th row and column from a tap on, and the border."""
    (i, j), width = divmod(number, planes.columns), planes.width
    top, (down, across) = convolution.padding[0], convolution.stride
    first, last = plane_rows.inside(i - top, down, convolution.height, rows)
    border = tirx.const(convolution.border, data.dtype)
    with T.serial(first) as row:
        plane_rows.fill(packed, [plane + row * width], border, width, lanes)
    with T.serial(last - first) as row:
        source = (*channel, (row + first) * down + i - top)

        def read(place: Any, size: int) -> Any:
            return plane_rows.every(data, source, place, across, size)

        start = [plane + (row + first) * width]
        plane_rows.lay_out_row(packed, start, read, border, j, width, convolution, lanes)
    with T.serial(rows - last) as row:
        plane_rows.fill(packed, [plane + (row + last) * width], border, width, lanes)


def schedule(function: Schedule, vector: VectorUnit, knobs: Knobs) -> None:
    """Run channels in parallel. Each is laid out, added up and finished before the next one."""
    output = tiling.fuse_epilogue(function, set())
    outer = function.fuse(*function.get_loops(function.get_sblock(tiling.CONVOLUTION)))
    function.parallel(outer)
    function.reverse_compute_at(output, outer, preserve_unit_loops=True)
    *_, column = function.get_loops(output)
    lanes = tiling.divisors(tiling.extents(function, [column])[0], vector.lanes)[-1]
    _, lane = function.split(column, [None, lanes])
    function.vectorize(lane)
