"""The register tile: the inner kernel that all three primitives share.

A tile of the output is kept in vector registers while the whole reduction runs over it: `channel blocks x
rows x columns` vectors of partial sums, of which every loaded operand feeds several. The primitives differ in
what the operands are and how they lie in memory.
"""

import math
from dataclasses import dataclass

from tvm import DataType, tirx
from tvm.s_tir import Schedule
from tvm.s_tir.schedule import LoopRV, SBlockRV

from dlas.primitives import dot_product
from dlas.primitives.vector import VectorUnit

DATA_PARALLEL = tirx.IterVar.DataPar
CONVOLUTION = "convolution"  # the name of the block that multiplies and accumulates
PRODUCTS = "products"  # the name of the block that does so in float16, some steps for each of the convolution's
DEPTH = "depth"  # the convolution's annotation where one instruction takes all steps of its last reduction axis
UNROLLED_STEPS = (
    320  # multiply-adds written out in one kernel, beyond which code outgrows its cache
)


@dataclass(frozen=True)
class Tile:
    """Vectors of the output held in registers: channel blocks, rows, columns."""

    channels: int
    rows: int
    columns: int


def divisors(extent: int, limit: int) -> list[int]:
    """Return the divisors of `extent` up to `limit`."""
    return [number for number in range(1, min(extent, limit) + 1) if extent % number == 0]


def choose_tile(channels: int, rows: int, columns: int, accumulators: int) -> Tile:
    """Return the tile that needs the fewest loads for each multiply-add and fits the registers.

    Each step of the reduction loads one operand a channel block and one a position. Below eight
    accumulators the latency of the multiply-adds shows, so that small tiles cost more. Of equal ones the widest wins.
    """
    best, cost = Tile(1, 1, 1), float("inf")
    for width in reversed(divisors(columns, accumulators)):
        for height in divisors(rows, accumulators // width):
            for depth in divisors(channels, accumulators // (width * height)):
                size = width * height * depth
                loads = (depth + width * height) / size
                stall = max(1.0, 8 / size)
                price = max(1.0, loads) * stall + 0.1 * loads + 0.01 * depth
                if price < cost:
                    best, cost = Tile(depth, height, width), price
    return best


def block_names(schedule: Schedule) -> list[str]:
    """Return the names of all blocks below the root, in order of execution."""
    blocks = schedule.get_child_blocks(schedule.get_sblock("root"))
    return [str(schedule.get(block).name_hint) for block in blocks]


def extents(schedule: Schedule, loops: list[LoopRV]) -> list[int]:
    """Return the extents of loops."""
    return [int(schedule.get(loop).extent) for loop in loops]


def by_kind(
    schedule: Schedule, block: SBlockRV, loops: list[LoopRV]
) -> tuple[list[LoopRV], list[LoopRV]]:
    """Part the loops of a block, one for each of its axes, into those over the output and those that add up."""
    kinds = [variable.iter_type for variable in schedule.get(block).iter_vars]
    spatial = [loop for loop, kind in zip(loops, kinds, strict=True) if kind == DATA_PARALLEL]
    reduced = [loop for loop, kind in zip(loops, kinds, strict=True) if kind != DATA_PARALLEL]
    return spatial, reduced


def reduction_extents(schedule: Schedule) -> list[int]:
    """Return the extents of the convolution's reduction axes, less the one that lies within an instruction."""
    steps = _axes(schedule, CONVOLUTION, reduced=True)
    if PRODUCTS in block_names(schedule):
        within = _axes(schedule, PRODUCTS, reduced=True)
        return [blocks * extent for blocks, extent in zip(steps, within, strict=True)]
    return steps[:-1] if _deep(schedule) else steps


def spatial_extents(schedule: Schedule) -> list[int]:
    """Return the extents of the convolution's spatial axes."""
    return _axes(schedule, CONVOLUTION, reduced=False)


def _axes(schedule: Schedule, name: str, reduced: bool) -> list[int]:
    variables = schedule.get(schedule.get_sblock(name)).iter_vars
    return [int(v.dom.extent) for v in variables if (v.iter_type != DATA_PARALLEL) == reduced]


def _deep(schedule: Schedule) -> bool:
    """Return whether one instruction takes all steps of the convolution's last reduction axis."""
    return DEPTH in schedule.get(schedule.get_sblock(CONVOLUTION)).annotations


def buffer_bytes(schedule: Schedule, name: str) -> int:
    """Return the size of the buffer that the block `name` writes."""
    buffer = schedule.get(schedule.get_sblock(name)).writes[0].source
    return math.prod(int(extent) for extent in buffer.shape) * DataType(buffer.dtype).bits // 8


def fuse_epilogue(schedule: Schedule, kept: set[str]) -> SBlockRV:
    """Inline every element-wise block that is not in `kept` into the last one and return that one.

    A kernel that ends in the convolution itself gets a block that copies its sums out of the registers.
    """
    names = block_names(schedule)
    if names[-1] == CONVOLUTION:
        block = schedule.get_sblock(CONVOLUTION)
        schedule.cache_write(block, 0, "local")
        names = block_names(schedule)
    for name in names[:-1]:
        if name not in {*kept, CONVOLUTION, PRODUCTS}:
            schedule.compute_inline(schedule.get_sblock(name))
    return schedule.get_sblock(names[-1])


def tile_convolution(
    schedule: Schedule,
    loops: tuple[LoopRV, LoopRV, LoopRV, LoopRV, LoopRV],
    tile: Tile,
    vector: VectorUnit,
    *,
    reduction: tuple[int, ...],
    unrolled: int,
    contiguous: bool,
    panel: str | None = None,
) -> None:
    """Compute a kernel's output tile by tile, with the convolution's sums in registers.

    `loops` are the output's (image, channel block, row, column, lane); the convolution's last spatial axis lies
    along the vector. `reduction` is the order of its reduction axes, outermost first, of which the last
    `unrolled` are written out. `contiguous` says whether a vector is stored at once. `panel` names a block
    that prepares the input for one turn of the outermost loop.
    """
    convolution = schedule.get_sblock(CONVOLUTION)
    *tiled, lane = loops
    inner = [lane]
    for position, extent in zip((3, 2, 1), (tile.columns, tile.rows, tile.channels), strict=True):
        tiled[position], part = schedule.split(tiled[position], [None, extent])
        inner.insert(0, part)
    schedule.reorder(*tiled, *inner)
    if panel is None:
        outer = parallelize(schedule, tiled, vector)
    else:
        outer = tiled
        schedule.parallel(outer[0])

    if PRODUCTS in block_names(schedule):
        blocks = _accumulate(schedule, CONVOLUTION, outer[-1], reduction, unrolled=0)
        steps = _accumulate(schedule, PRODUCTS, blocks[-1], reduction, unrolled)
        schedule.decompose_reduction(schedule.get_sblock(PRODUCTS), steps[0])
    else:
        blocks = _accumulate(schedule, CONVOLUTION, outer[-1], reduction, unrolled)

    for loop in inner[:-1]:
        schedule.unroll(loop)
    if contiguous:
        schedule.vectorize(inner[-1])
    if panel is not None:
        schedule.compute_at(schedule.get_sblock(panel), outer[0], preserve_unit_loops=True)
        vectorize_last(schedule, panel, vector)
    deep = _deep(schedule)
    initial = schedule.decompose_reduction(convolution, blocks[0])
    if deep:
        *_, lanes, _ = schedule.get_loops(convolution)
        schedule.vectorize(schedule.get_loops(initial)[-1])
        extent = extents(schedule, [lanes])[0]
        schedule.tensorize(lanes, dot_product.intrinsic(vector.dot_product, extent))


def _accumulate(
    schedule: Schedule, name: str, at: LoopRV, reduction: tuple[int, ...], unrolled: int
) -> list[LoopRV]:
    """Compute the sums of the block `name` under the loop `at`, in registers.

    Returns the loops over its reduction, outermost first, in the order `reduction`; the last `unrolled` are
    written out.
    """
    block = schedule.get_sblock(name)
    deep = name == CONVOLUTION and _deep(schedule)
    schedule.compute_at(block, at, preserve_unit_loops=True)
    schedule.set_scope(block, 0, "local")
    own = schedule.get_loops(block)[-len(schedule.get(block).iter_vars) :]
    spatial, reduced = by_kind(schedule, block, own)
    lanes = spatial.pop()
    ordered = [reduced[axis] for axis in reduction]
    schedule.reorder(*ordered, *spatial, lanes)
    for loop in [*ordered[len(ordered) - unrolled :], *spatial]:
        schedule.unroll(loop)
    if not deep:
        schedule.vectorize(lanes)
    return ordered


def parallelize(schedule: Schedule, loops: list[LoopRV], vector: VectorUnit) -> list[LoopRV]:
    """Fuse outer loops until there is work enough for every thread; return the loops there are then."""
    fused, rest = loops[0], list(loops[1:])
    while rest and int(schedule.get(fused).extent) < 4 * vector.threads:
        fused = schedule.fuse(fused, rest.pop(0))
    schedule.parallel(fused)
    return [fused, *rest]


def vectorize_last(schedule: Schedule, name: str, vector: VectorUnit) -> list[LoopRV]:
    """Vectorize the last loop of the block `name` as far as it divides; return the loops around the vector."""
    *loops, last = schedule.get_loops(schedule.get_sblock(name))
    lanes = divisors(extents(schedule, [last])[0], vector.lanes)[-1]
    last, lane = schedule.split(last, [None, lanes])
    schedule.vectorize(lane)
    return [*loops, last]


def parallel_copy(schedule: Schedule, name: str, vector: VectorUnit, vectorized: bool) -> None:
    """Run a block that only moves data, such as a padding, in parallel; nothing where it is not there."""
    if name not in block_names(schedule):
        return
    loops = schedule.get_loops(schedule.get_sblock(name))
    if vectorized:
        loops = vectorize_last(schedule, name, vector)
    parallelize(schedule, loops[:-1], vector)


def steps_to_unroll(tile: Tile, kernel: list[int]) -> int:
    """Return how many of the innermost kernel loops can be written out within `UNROLLED_STEPS`."""
    steps, count = tile.channels * tile.rows * tile.columns, 0
    for extent in reversed(kernel):
        steps *= extent
        if steps > UNROLLED_STEPS:
            break
        count += 1
    return count
