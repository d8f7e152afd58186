"""The register tile: the inner kernel that the primitives share on CPUs.

A tile of the output is kept in vector registers while the whole reduction runs over it: `channel
blocks x rows x columns` vectors of partial sums, of which every loaded operand feeds several. The
primitives differ in their operands and in the layout of these in memory.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tvm import DataType, tirx
from tvm.s_tir import Schedule
from tvm.s_tir.schedule import LoopRV, SBlockRV

from dlas.primitives import dot_product
from dlas.primitives.kernel import CONVOLUTION
from dlas.primitives.knobs import Knobs
from dlas.primitives.vector import VectorUnit

DATA_PARALLEL = tirx.IterVar.DataPar
# Name of the block that adds up products in float16, several steps for each of the convolution's.
PRODUCTS = "products"
# Annotation of a convolution where one instruction takes all steps of the last reduction axis.
DEPTH = "depth"
# Annotation of a loop: how many cache lines ahead weights are prefetched.
PREFETCH = "prefetch"
# Options for `PREFETCH`, in cache lines.
PREFETCH_LINES = (0, 32, 64, 128)
# Maximum number of register tiles to choose from.
MAX_TILES = 16
# Options for where the input is laid out. "inside" is under the outermost loop of the output.
COPIES = ("parallel", "inside", "serial")
# Options for the minimum number of parts of the work for each thread. 0 disables threads.
GRAINS = (4, 0, 1, 16)
# Maximum size of the sums that several register tiles have together.
ENCLOSED_BYTES = 32 * 1024
# Options for the size of the weights that several register tiles read together.
CHUNK_BYTES = (24 * 1024, 8 * 1024)
# Unrolled multiply-adds of one kernel, beyond which code outgrows its cache.
UNROLLED_STEPS = 320


@dataclass(frozen=True)
class Tile:
    """Vectors of the output held in registers: channel blocks, rows, columns."""

    channels: int
    rows: int
    columns: int


@dataclass(frozen=True)
class Blocking:
    """How sums are blocked for the first-level cache.

    Where several register tiles are enclosed, each of them adds up some channels before the next
    channels are taken. All tiles but the first then read the weights of these channels from the
    first-level cache.

    Attributes
    ----------
    enclosing : int
        Position of the outer loop under which the sums are computed.
    channels : int
        Number of channels that are added up at a time; 0 for all.
    """

    enclosing: int
    channels: int


@dataclass(frozen=True)
class Reduction:
    """How a convolution adds up.

    Attributes
    ----------
    order : tuple of int
        Numbers of the reduction axes in the order of their loops, outermost first.
    channels : int or None
        Number of the axis over the input's channels, if sums may be split along it.
    unrolled : int
        Number of innermost loops that are unrolled.
    """

    order: tuple[int, ...]
    channels: int | None
    unrolled: int


@dataclass(frozen=True)
class InputCopy:
    """How a kernel lays out its input before it reads it.

    Attributes
    ----------
    block : str
        Name of the block that copies the input. Some kernels lack it.
    vectorized : bool
        Whether it copies vectors.
    panelled : bool
        Whether each turn of the outermost loop lays out the part that it reads.
    places : tuple of str
        Options for the place of the copy if it is not panelled, the default first.
    """

    block: str
    vectorized: bool
    panelled: bool = False
    places: tuple[str, ...] = COPIES


def divisors(extent: int, limit: int) -> list[int]:
    """Return the divisors of `extent` up to `limit`, in ascending order."""
    return [number for number in range(1, min(extent, limit) + 1) if extent % number == 0]


def choose_tile(channels: int, rows: int, columns: int, accumulators: int) -> Tile:
    """Return the tile with the fewest loads for each multiply-add that fits the registers.

    Each step of the reduction loads one operand for each channel block and one for each position.
    Below eight accumulators the latency of the multiply-adds shows, so small tiles cost more. Of
    equal tiles the widest wins.

    Parameters
    ----------
    channels, rows, columns : int
        Extents of the output, in channel blocks, rows and columns.
    accumulators : int
        Maximum number of vectors of a tile.

    Returns
    -------
    Tile
        Its sides divide the extents.
    """
    return _ranked_tiles(channels, rows, columns, accumulators)[0]


def tiles(
    channels: int, rows: int, columns: int, vector: VectorUnit, shared: int = 1
) -> list[Tile]:
    """Return the register tiles to choose from: first the default, then larger ones too.

    Parameters
    ----------
    channels, rows, columns : int
        Extents of the output, in channel blocks, rows and columns.
    vector : VectorUnit
        The CPU's vector unit.
    shared : int
        Number of vectors of each position of the tile.

    Returns
    -------
    list of Tile
        At most `MAX_TILES`: that of `choose_tile`, then the cheapest with up to `most_accumulators`
        vectors.
    """
    default = choose_tile(channels, rows, columns, vector.accumulators // shared)
    others = _ranked_tiles(channels, rows, columns, vector.most_accumulators // shared)
    return [default, *(tile for tile in others if tile != default)][:MAX_TILES]


def _ranked_tiles(channels: int, rows: int, columns: int, accumulators: int) -> list[Tile]:
    """Return all tiles that fit the registers, the cheapest first, by the rule of `choose_tile`."""

    def price(tile: Tile) -> float:
        size = tile.channels * tile.rows * tile.columns
        loads = (tile.channels + tile.rows * tile.columns) / size
        stall = max(1.0, 8 / size)
        return max(1.0, loads) * stall + 0.1 * loads + 0.01 * tile.channels

    every = [
        Tile(depth, height, width)
        for width in reversed(divisors(columns, accumulators))
        for height in divisors(rows, accumulators // width)
        for depth in divisors(channels, accumulators // (width * height))
    ]
    return sorted(every, key=price)


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
    """Split the loops of a block, one for each of its axes, into spatial and reduction loops."""
    kinds = [variable.iter_type for variable in schedule.get(block).iter_vars]
    spatial = [loop for loop, kind in zip(loops, kinds, strict=True) if kind == DATA_PARALLEL]
    reduced = [loop for loop, kind in zip(loops, kinds, strict=True) if kind != DATA_PARALLEL]
    return spatial, reduced


def reduction_extents(schedule: Schedule) -> list[int]:
    """Return the extents of the convolution's reduction axes, except one inside an instruction."""
    steps = axis_extents(schedule, CONVOLUTION, reduced=True)
    if PRODUCTS in block_names(schedule):
        within = axis_extents(schedule, PRODUCTS, reduced=True)
        return [blocks * extent for blocks, extent in zip(steps, within, strict=True)]
    return steps[:-1] if _deep(schedule) else steps


def spatial_extents(schedule: Schedule) -> list[int]:
    """Return the extents of the convolution's spatial axes."""
    return axis_extents(schedule, CONVOLUTION, reduced=False)


def axis_extents(schedule: Schedule, name: str, reduced: bool) -> list[int]:
    """Return the extents of the reduction axes of the block `name`, or of its spatial axes."""
    variables = schedule.get(schedule.get_sblock(name)).iter_vars
    return [int(v.dom.extent) for v in variables if (v.iter_type != DATA_PARALLEL) == reduced]


def _deep(schedule: Schedule) -> bool:
    """Return whether one instruction takes all steps of the convolution's last reduction axis."""
    return DEPTH in schedule.get(schedule.get_sblock(CONVOLUTION)).annotations


def buffer_bytes(schedule: Schedule, name: str) -> int:
    """Return the size in bytes of the buffer that the block `name` writes."""
    buffer = schedule.get(schedule.get_sblock(name)).writes[0].source
    return math.prod(int(extent) for extent in buffer.shape) * DataType(buffer.dtype).bits // 8


def fuse_epilogue(schedule: Schedule, kept: set[str]) -> SBlockRV:
    """Inline every element-wise block that is not in `kept` into the last block and return it.

    A kernel that ends in the convolution itself gets a block that copies its sums out of the
    registers.
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
    knobs: Knobs,
    *,
    reduction: Reduction,
    copy: InputCopy,
) -> None:
    """Compute a kernel's output tile by tile, with the convolution's sums in registers.

    Parameters
    ----------
    schedule : Schedule
        Schedule of the kernel, its epilogue fused.
    loops : tuple of LoopRV
        The output's loops: image, channel block, row, column, lane. The convolution's last spatial
        axis lies along the vector.
    tile : Tile
        The register tile.
    vector : VectorUnit
        The CPU's vector unit.
    knobs : Knobs
        Point of the search space.
    reduction : Reduction
        How the convolution adds up.
    copy : InputCopy
        How the input is laid out.
    """
    convolution = schedule.get_sblock(CONVOLUTION)
    *tiled, lane = loops
    inner = [lane]
    for position, extent in zip((3, 2, 1), (tile.columns, tile.rows, tile.channels), strict=True):
        tiled[position], part = schedule.split(tiled[position], [None, extent])
        inner.insert(0, part)
    schedule.reorder(*tiled, *inner)
    if copy.panelled:
        outer = tiled
        schedule.parallel(outer[0])
    else:
        outer = parallelize(schedule, tiled, vector, knobs.choose("grain", GRAINS))

    if PRODUCTS in block_names(schedule):
        blocks = accumulate(schedule, CONVOLUTION, outer[-1], replace(reduction, unrolled=0))
        steps = accumulate(schedule, PRODUCTS, blocks[-1], reduction)
        schedule.decompose_reduction(schedule.get_sblock(PRODUCTS), steps[0])
    else:
        blocking = knobs.choose(
            "blocking", _blockings(schedule, outer, inner, tile, reduction.channels)
        )
        at = outer[blocking.enclosing]
        if blocking.channels:
            blocks = _accumulate_in_chunks(schedule, at, reduction, tile, blocking.channels)
        else:
            blocks = accumulate(schedule, CONVOLUTION, at, reduction)
    if reduction.channels is not None:
        name = PRODUCTS if PRODUCTS in block_names(schedule) else CONVOLUTION
        _prefetch(schedule, name, knobs.choose("prefetch", PREFETCH_LINES))

    # The epilogue is computed in vectors even if the layout stores their elements apart, or the
    # sums are scalars.
    *unrolled, vectorized = inner if extents(schedule, [lane]) != [1] else inner[:-1]
    for loop in unrolled:
        schedule.unroll(loop)
    schedule.vectorize(vectorized)
    _copy_input(schedule, copy, outer[0], vector, knobs)
    deep = _deep(schedule)
    initial = schedule.decompose_reduction(convolution, blocks[0])
    if deep:
        *_, lanes, _ = schedule.get_loops(convolution)
        schedule.vectorize(schedule.get_loops(initial)[-1])
        extent = extents(schedule, [lanes])[0]
        intrinsic = dot_product.intrinsic(vector.dot_product, extent, vector.quantized)
        schedule.tensorize(lanes, intrinsic)


def _prefetch(schedule: Schedule, name: str, lines: int) -> None:
    """Annotate the loop over a tile's channel blocks with how far ahead weights are prefetched."""
    if lines:
        depth = 2 if name == CONVOLUTION and _deep(schedule) else 1
        loops = schedule.get_loops(schedule.get_sblock(name))
        rows_columns_lanes = 2 + depth
        schedule.annotate(loops[-rows_columns_lanes - 1], PREFETCH, lines)


def _blockings(
    schedule: Schedule, outer: list[LoopRV], inner: list[LoopRV], tile: Tile, channels: int | None
) -> list[Blocking]:
    """Return the ways to block. By default each register tile adds up all channels at once."""
    found = [Blocking(len(outer) - 1, 0)]
    if channels is None:
        return found
    reductions = reduction_extents(schedule)
    lanes = extents(schedule, inner)[-1]
    sums = 4 * lanes * tile.channels * tile.rows * tile.columns
    step = 4 * lanes * tile.channels * math.prod(reductions) // reductions[channels]
    for enclosing in reversed(range(len(outer) - 1)):
        extent = extents(schedule, [outer[enclosing + 1]])[0]
        sums *= extent
        if sums > ENCLOSED_BYTES:
            break
        chunks = {divisors(reductions[channels], max(1, size // step))[-1] for size in CHUNK_BYTES}
        if extent > 1:
            found += [Blocking(enclosing, n) for n in chunks if n < reductions[channels]]
    return found


def accumulate(schedule: Schedule, name: str, at: LoopRV, reduction: Reduction) -> list[LoopRV]:
    """Compute the sums of a block in registers, under a given loop.

    Parameters
    ----------
    schedule : Schedule
        Schedule of the kernel.
    name : str
        Name of the block.
    at : LoopRV
        The loop.
    reduction : Reduction
        How the block adds up.

    Returns
    -------
    list of LoopRV
        The loops over its reduction, outermost first.
    """
    spatial, reduced = _own_loops(schedule, name, at)
    lanes = spatial.pop()
    ordered = [reduced[axis] for axis in reduction.order]
    schedule.reorder(*ordered, *spatial, lanes)
    _write_out(schedule, name, [*ordered[len(ordered) - reduction.unrolled :], *spatial], lanes)
    return ordered


def _accumulate_in_chunks(
    schedule: Schedule,
    at: LoopRV,
    reduction: Reduction,
    tile: Tile,
    chunk: int,
) -> list[LoopRV]:
    """Compute the sums of several register tiles under the loop `at`, some channels at a time.

    Returns the loops over the reduction, outermost first. The first runs over chunks of channels.
    """
    (image, *around, lanes), reduced = _own_loops(schedule, CONVOLUTION, at)
    turns, inside = [image], []
    for loop, extent in zip(around, (tile.channels, tile.rows, tile.columns), strict=True):
        turn, part = schedule.split(loop, [None, extent])
        turns.append(turn)
        inside.append(part)
    assert reduction.channels is not None
    chunks, inside_chunk = schedule.split(reduced[reduction.channels], [None, chunk])
    reduced[reduction.channels] = inside_chunk
    ordered = [reduced[axis] for axis in reduction.order]
    schedule.reorder(chunks, *turns, *ordered, *inside, lanes)
    _write_out(
        schedule, CONVOLUTION, [*ordered[len(ordered) - reduction.unrolled :], *inside], lanes
    )
    return [chunks, *ordered]


def _own_loops(schedule: Schedule, name: str, at: LoopRV) -> tuple[list[LoopRV], list[LoopRV]]:
    """Move a block under the loop `at` with its output in registers, and return its own loops.

    They are its spatial loops and its reduction loops.
    """
    block = schedule.get_sblock(name)
    schedule.compute_at(block, at, preserve_unit_loops=True)
    schedule.set_scope(block, 0, "local")
    own = schedule.get_loops(block)[-len(schedule.get(block).iter_vars) :]
    return by_kind(schedule, block, own)


def _write_out(schedule: Schedule, name: str, loops: list[LoopRV], lanes: LoopRV) -> None:
    for loop in loops:
        schedule.unroll(loop)
    if not (name == CONVOLUTION and _deep(schedule)):
        schedule.vectorize(lanes)


def parallelize(
    schedule: Schedule, loops: list[LoopRV], vector: VectorUnit, grain: int = GRAINS[0]
) -> list[LoopRV]:
    """Fuse outer loops until each thread has `grain` parts of the work, and run them in parallel.

    Parameters
    ----------
    schedule : Schedule
        Schedule of the kernel.
    loops : list of LoopRV
        Loops, outermost first.
    vector : VectorUnit
        The CPU's vector unit, with its number of threads.
    grain : int
        Minimum number of parts for each thread; 0 runs nothing in parallel.

    Returns
    -------
    list of LoopRV
        The fused loop and the rest.
    """
    fused, rest = loops[0], list(loops[1:])
    while rest and int(schedule.get(fused).extent) < grain * vector.threads:
        fused = schedule.fuse(fused, rest.pop(0))
    if grain:
        schedule.parallel(fused)
    return [fused, *rest]


def vectorize_last(schedule: Schedule, name: str, vector: VectorUnit) -> list[LoopRV]:
    """Vectorize the last loop of the block `name` and return the loops around the vector.

    The vector is the widest that divides the loop.
    """
    *loops, last = schedule.get_loops(schedule.get_sblock(name))
    lanes = divisors(extents(schedule, [last])[0], vector.lanes)[-1]
    last, lane = schedule.split(last, [None, lanes])
    schedule.vectorize(lane)
    return [*loops, last]


def _copy_input(
    schedule: Schedule,
    copy: InputCopy,
    outermost: LoopRV,
    vector: VectorUnit,
    knobs: Knobs,
) -> None:
    """Place the block that lays out the input, if the kernel has it."""
    if copy.block not in block_names(schedule):
        return
    place = "inside" if copy.panelled else knobs.choose("copy", copy.places)
    block = schedule.get_sblock(copy.block)
    if place == "inside":
        schedule.compute_at(block, outermost, preserve_unit_loops=True)
    loops = schedule.get_loops(block)
    if copy.vectorized:
        loops = vectorize_last(schedule, copy.block, vector)
    if place == "parallel":
        parallelize(schedule, loops[:-1], vector)


def unrolling(tile: Tile, steps: Sequence[int], default: int, knobs: Knobs) -> int:
    """Return the chosen number of innermost reduction loops to unroll.

    Parameters
    ----------
    tile : Tile
        The register tile.
    steps : sequence of int
        Extents of the reduction loops, outermost first.
    default : int
        The default number.
    knobs : Knobs
        Point of the search space. Its options stay within twice `UNROLLED_STEPS`.

    Returns
    -------
    int
        Number of loops.
    """
    size = tile.channels * tile.rows * tile.columns
    counts = range(len(steps) + 1)
    fitting = [n for n in counts if math.prod(steps[len(steps) - n :]) * size <= 2 * UNROLLED_STEPS]
    return knobs.choose("unrolled", [default, *(n for n in fitting if n != default)])


def steps_to_unroll(tile: Tile, kernel: list[int]) -> int:
    """Return how many of the innermost kernel loops can be unrolled within `UNROLLED_STEPS`."""
    steps, count = tile.channels * tile.rows * tile.columns, 0
    for extent in reversed(kernel):
        steps *= extent
        if steps > UNROLLED_STEPS:
            break
        count += 1
    return count
