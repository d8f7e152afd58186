"""Depthwise convolutions of feature maps in NCHW: what they are in networks whose other layers are sparse.

Each channel is laid out in planes with its border first (`Planes`), in the first-level cache. Vectors of sums then run
over all positions of a plane, on from row to row, so that short rows fill them as well; what lies between the rows is
dropped. Every second element of a row, where the stride is two, is shuffled out of two vectors.
"""

from typing import Any

import numpy as np
from tvm import tirx
from tvm.s_tir import Schedule
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T  # noqa: N812 (the name that TVM's scripts give it)

from dlas.primitives import plane_rows, tiling
from dlas.primitives.arithmetic import SUMS
from dlas.primitives.convolution import Convolution
from dlas.primitives.decisions import Decisions
from dlas.primitives.kernel import Kernel, argument, int64_extents
from dlas.primitives.layout import NCHW, Planes, phases
from dlas.primitives.vector import VectorUnit

# The annotation of its convolution.
DEPTHWISE = "depthwise"
# Vectors of sums that hide the latency of one another.
IN_FLIGHT = (4, 2, 8)
# Planes that are laid out together: what has just been stored in pieces is slow to load in whole vectors.
CACHE_BYTES = 16 * 1024


def kernel(
    weight: np.ndarray, convolution: Convolution, dtype: str, vector: VectorUnit, decide: Decisions
) -> Kernel:
    """Return the kernel of a depthwise layer with a weight [K, 1, R, S]; its constant is the weight [K, R * S]."""
    by_channel = weight.reshape(weight.shape[0], -1)
    in_flight = decide.choose("in_flight", IN_FLIGHT)
    unscheduled = function(convolution, dtype, str(weight.dtype), vector.lanes, in_flight)
    return Kernel(unscheduled, (by_channel,), NCHW)


def function(
    convolution: Convolution, dtype: str, weight_dtype: str, widest: int, in_flight: int
) -> tirx.PrimFunc:
    """Return the function of one layer, unscheduled: the blocks "convolution" and "unpack".

    Vectors have at most `widest` lanes. At most `in_flight` of them are added up together.
    """
    batch, channels, planes = convolution.batch, convolution.out_channels, phases(convolution)
    positions = (convolution.out_height - 1) * planes.width + convolution.out_width
    lanes = next(n for n in (16, 8, 4) if n <= widest and n <= max(4, 2 * positions))
    in_flight = min(in_flight, -(-positions // lanes))
    turns = -(-positions // (lanes * in_flight))
    taps = [(r, s) for r in range(convolution.kernel[0]) for s in range(convolution.kernel[1])]
    rows = -(-(planes.shift(*taps[-1]) + turns * in_flight * lanes) // planes.width)
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
            # What lies behind the last row is written as well, but never read.
            T.writes(sums[n, own, 0 : convolution.out_height, 0 : planes.width])
            packed = T.sblock_alloc_buffer((together * planes.count * size,), dtype, scope="local")
            with T.serial(together) as c:
                for number in range(planes.count):
                    plane = (c * planes.count + number) * size
                    channel = (n, group * together + c)
                    _lay_out(data, packed, channel, number, plane, rows, convolution, planes, lanes)
            with (
                T.grid(together, turns) as (c, turn),
                T.unroll(in_flight) as u,
                T.vectorized(lanes) as lane,
            ):
                k = group * together + c
                at = (turn * in_flight + u) * lanes + lane
                first = c * planes.count * size + at
                total = tirx.const(0, kind)
                for number, (r, s) in enumerate(taps):
                    element = packed[first + planes.plane(r, s) * size + planes.shift(r, s)]
                    total = total + element.astype(kind) * weight[k, number].astype(kind)
                T.buffer_store(sums, total, [n, k, at // planes.width, at % planes.width])
        with T.grid(*int64_extents(convolution.out_shape)) as loops, T.sblock("unpack"):
            n, k, h, w = T.axis.remap("SSSS", loops)
            T.buffer_store(output, sums[n, k, h, w], [n, k, h, w])
    return builder.get()


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
    """Fill one plane of a channel: every stride-th row and column from a tap on, and zeros or what stands for them."""
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


def schedule(function: Schedule, vector: VectorUnit, decide: Decisions) -> None:
    """Run channels in parallel, each laid out, added up and finished before the next one."""
    output = tiling.fuse_epilogue(function, set())
    outer = function.fuse(*function.get_loops(function.get_sblock(tiling.CONVOLUTION)))
    function.parallel(outer)
    function.reverse_compute_at(output, outer, preserve_unit_loops=True)
    *_, column = function.get_loops(output)
    lanes = tiling.divisors(tiling.extents(function, [column])[0], vector.lanes)[-1]
    _, lane = function.split(column, [None, lanes])
    function.vectorize(lane)
