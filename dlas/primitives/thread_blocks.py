"""Thread blocks: how the threads of a GPU share the work of a layer, for all primitives.

Each thread adds up a tile of the output in registers: neighbouring output channels at a few
positions, of which each loaded number feeds several. Where a layer has too few outputs for all
threads, several threads share the sum of each output ("split-K": Kerr et al., "CUTLASS: Fast Linear
Algebra in CUDA C++", 2017). Sums go through shared memory, which joins their parts and gives
neighbouring outputs to neighbouring threads. The primitives differ in the layout of the operands
and in whether a block of threads reads them through shared memory.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tvm import te, tirx
from tvm.s_tir import Schedule
from tvm.s_tir.schedule import LoopRV, SBlockRV

from dlas.primitives import dot_product, tiling
from dlas.primitives.arithmetic import SUMS, Operands
from dlas.primitives.convolution import Convolution
from dlas.primitives.gpu import GPU, Grid
from dlas.primitives.knobs import Knobs
from dlas.primitives.layout import Packing
from dlas.primitives.tiling import CONVOLUTION, PRODUCTS, divisors

# Maximum number of grids to choose from.
MAX_GRIDS = 24
# Numbers of threads of a block along the positions.
COLUMN_THREADS = (1, 2, 4, 8, 16, 32, 64, 128)
# Maximum number of threads of a block.
MAX_BLOCK_THREADS = 512
# Maximum number of threads of a block that share a sum.
MAX_SUM_THREADS = 32
# Threads that execute an instruction together.
WARP_THREADS = 32
# Minimum number of neighbouring threads that read neighbouring numbers: memory delivers as many at
# once.
COALESCED_THREADS = 8
# Cost of one load in units of one fused multiply-add: the caches sustain one load per four.
LOAD_COST = 4
# Cycles that a thread waits for a load.
LATENCY_CYCLES = 24
# Warps that take turns on the same units of a busy GPU.
BUSY_WARPS = 4
# Maximum number of sums of a thread.
MAX_SUMS = 64
# Default number of operands that a thread reads at once.
DEFAULT_OPERANDS = 96
# Threads of a block in which each thread makes one number.
ELEMENT_THREADS = 128
# Steps over the input's channels whose operands are staged together.
CHUNKS = (8, 16, 4)
# Annotation of the convolution's block: the fields of a `Grid`, the channels of a block, the depth
# of a dot product.
GRID = "grid"
# Names of the blocks that read the operands of a thread.
TAPS, WEIGHTS = "taps", "weights"
# Name of the block that reads the sums of a thread.
FLAT = "flat"


def grids(
    convolution: Convolution, gpu: GPU, block: int, reduction_steps: int, staged: bool = False
) -> list[Grid]:
    """Return the ways to share a layer among threads, the fastest expected first.

    The cost of a grid is the time that its threads multiply and load, in as many turns as all of
    them need on the GPU.

    Parameters
    ----------
    convolution : Convolution
        The layer.
    gpu : GPU
        The GPU.
    block : int
        Number of output channels side by side.
    reduction_steps : int
        Number of steps of the reduction that threads may share. The parts of a sum divide it.
    staged : bool
        Whether operands are staged in shared memory rather than read through caches.

    Returns
    -------
    list of Grid
        At most `MAX_GRIDS`.
    """
    positions = convolution.out_height * convolution.out_width
    blocks = -(-convolution.out_channels // block)
    steps = convolution.macs // (convolution.batch * convolution.out_channels * positions)
    found = [
        grid
        for columns in COLUMN_THREADS
        if columns < 2 * positions and (staged or columns >= min(COALESCED_THREADS, positions))
        for rows in divisors(blocks, MAX_BLOCK_THREADS // columns)
        if not staged or rows >= min(COALESCED_THREADS // 2, blocks)
        for parts in divisors(
            reduction_steps, min(MAX_SUM_THREADS, MAX_BLOCK_THREADS // (columns * rows))
        )
        for held in divisors(blocks // rows, 4)
        for each in (1, 2, 4, 8)
        if _fits(grid := Grid(columns, rows, parts, held, each), gpu, block, positions, staged)
    ]

    def cost(grid: Grid) -> float:
        """Estimate the clock cycles of a layer."""
        sums = grid.blocks * grid.positions * block
        loads = grid.positions + grid.blocks * -(-block // 4)
        work = float(sums + LOAD_COST * loads)
        # Operands that one thread brings to shared memory feed others.
        if staged:
            brought = grid.columns * grid.positions + grid.rows * grid.blocks * block
            work = (
                sums + LOAD_COST / 2 * loads + 2 * LOAD_COST * brought / (grid.columns * grid.rows)
            )
        blocks_of_threads = -(-positions // (grid.columns * grid.positions)) * (
            blocks // (grid.rows * grid.blocks)
        )
        warps = convolution.batch * blocks_of_threads * -(-grid.threads // WARP_THREADS)
        # With many threads their work takes turns. A single thread waits for its loads.
        step = max(BUSY_WARPS * work * warps * WARP_THREADS / gpu.resident, work + LATENCY_CYCLES)
        joining = 2 * sums + 4 * LATENCY_CYCLES
        return steps / grid.parts * step + joining

    return sorted(found, key=cost)[:MAX_GRIDS]


def _fits(grid: Grid, gpu: GPU, block: int, positions: int, staged: bool) -> bool:
    sums = grid.blocks * grid.positions * block
    shared = grid.threads * sums
    if staged:
        operands = grid.columns * grid.positions + grid.rows * grid.blocks * block
        shared += operands * grid.parts * max(CHUNKS)
    return (
        grid.threads <= min(MAX_BLOCK_THREADS, gpu.threads)
        and sums <= MAX_SUMS
        # All threads then write equally many sums.
        and sums % grid.parts == 0
        and (grid.positions == 1 or grid.columns * grid.positions < 2 * positions)
        and 4 * shared <= gpu.shared_bytes
    )


def add_up(
    convolution: Convolution,
    operands: Operands,
    reduction: Mapping[str, int],
    packing: Packing,
    dtype: Any,
) -> Callable[[Any, Any, Any, Any], Any]:
    """Return the sums of products as a function of an index (n, k, h, w) of the output.

    The tensor of the sums has the axes [N, channel parts, position parts] of blocks of threads,
    [rows, columns] of threads, and [blocks, positions, channels] of a thread's tile. Positions
    behind the last one repeat it.

    Parameters
    ----------
    convolution : Convolution
        The layer.
    operands : Operands
        As in `arithmetic.add_up`, for an image, a block of output channels, a row, a column and a
        channel of the block.
    reduction : mapping of str to int
        Extents of the reduction axes by name. Threads share the axis "c", or else "i".
    packing : Packing
        How the weight is packed, with a grid.
    dtype : str
        Dtype of the feature map.

    Returns
    -------
    callable
        Takes an image, an output channel, a row and a column. Returns the sum.
    """
    grid, block, kind = packing.grid, packing.block, SUMS[str(dtype)]
    assert grid is not None, "a packing for a GPU has a grid"
    positions = convolution.out_height * convolution.out_width
    blocks = -(-convolution.out_channels // block)
    tile = grid.columns * grid.positions
    places = -(-positions // tile)
    channel_parts = blocks // (grid.rows * grid.blocks)
    shape = (
        *(convolution.batch, channel_parts, places),
        *(grid.rows, grid.columns),
        *(grid.blocks, grid.positions, block),
    )
    axis = next((name for name in reduction if name in ("c", "i")), "")
    extents = {
        name: extent // (grid.parts if name == axis else 1) for name, extent in reduction.items()
    }
    steps = [te.reduce_axis((0, extent), name) for name, extent in extents.items()]

    def whole(part: Any, step: Sequence[Any]) -> list[Any]:
        """Return the steps of the whole reduction from the steps of one part."""
        return [
            part * extent + one if name == axis and grid.parts > 1 else one
            for (name, extent), one in zip(extents.items(), step, strict=True)
        ]

    def position(place: Any, turn: Any, column: Any) -> Any:
        there = (place * grid.positions + turn) * grid.columns + column
        return tirx.Min(there, positions - 1) if positions % tile else there

    def channel_block(channels: Any, row: Any, held: Any) -> Any:
        return (channels * grid.rows + row) * grid.blocks + held

    # Both operands have an axis for each index of a thread and of a step, so TVM knows exactly
    # which elements some threads read in some steps. The axis that one instruction multiplies is
    # innermost.
    inner = len(steps) - (packing.depth > 1)

    def stored(channels: Any, row: Any, held: Any, part: Any, *rest: Any) -> Any:
        *outer, o = rest[: inner + 1]
        k, step = channel_block(channels, row, held), [*outer, *rest[inner + 1 :]]
        return operands((0, k, 0, 0, o), whole(part, step))[1]

    def element(n: Any, k: Any, there: Any, o: Any, step: Sequence[Any]) -> Any:
        width = convolution.out_width
        index = n, k, tirx.floordiv(there, width), tirx.floormod(there, width), o
        return operands(index, step)[0]

    around = (channel_parts, grid.rows, grid.blocks, grid.parts)
    sizes = list(extents.values())
    sizes.insert(inner, block)
    weights = te.compute((*around, *sizes), stored, name=WEIGHTS)
    taps = None
    if convolution.groups == 1:
        taps = te.compute(
            (
                convolution.batch,
                places,
                grid.positions,
                grid.columns,
                grid.parts,
                *extents.values(),
            ),
            lambda n, place, turn, column, part, *step: element(
                n, 0, position(place, turn, column), 0, whole(part, step)
            ),
            name=TAPS,
        )

    def product(part: Any, *index: Any) -> Any:
        n, channels, place, row, column, held, turn, o = index
        if taps is None:
            k, there = channel_block(channels, row, held), position(place, turn, column)
            data = element(n, k, there, o, whole(part, steps))
        else:
            data = taps[(n, place, turn, column, part, *steps)]
        step = [*steps[:inner], o, *steps[inner:]]
        factor = weights[(channels, row, held, part, *step)]
        return te.sum(data.astype(kind) * factor.astype(kind), axis=steps)

    attributes: dict[str, Any] = {GRID: [*vars(grid).values(), block, packing.depth]}
    products = te.compute((grid.parts, *shape), product, name=PRODUCTS)
    part = te.reduce_axis((0, grid.parts), "part")
    sums = te.compute(
        shape,
        lambda *index: te.sum(products(part, *index), axis=part),
        name=CONVOLUTION,
        attrs=attributes,
    )

    def flat(n: Any, k: Any, there: Any) -> Any:
        q, o = tirx.floordiv(k, block), tirx.floormod(k, block)
        held, row = q % grid.blocks, q // grid.blocks % grid.rows
        turn, column = there // grid.columns % grid.positions, there % grid.columns
        return sums[n, q // (grid.rows * grid.blocks), there // tile, row, column, held, turn, o]

    # In this separate stage TVM sees the thread of a position in one number, not in a row and a
    # column.
    sums_of = te.compute((convolution.batch, blocks * block, positions), flat, name=FLAT)
    return lambda n, k, h, w: sums_of[n, k, h * convolution.out_width + w]


def step_extents(schedule: Schedule) -> list[int]:
    """Return the extents of the reduction axes that one thread runs over."""
    return tiling.axis_extents(schedule, PRODUCTS, reduced=True)


def tile_convolution(
    schedule: Schedule,
    order: str,
    knobs: Knobs,
    *,
    chunk: int = 0,
    channels_first: bool = False,
) -> None:
    """Bind a kernel and its fused epilogue to blocks and threads.

    A thread reads the operands of some steps at once, so it waits for memory once. A knob says how
    many steps.

    Parameters
    ----------
    schedule : Schedule
        Schedule of the kernel.
    order : str
        Order of the output's axes, see `Layout`.
    knobs : Knobs
        Point of the search space.
    chunk : int
        Number of steps over the last reduction loop whose operands all threads of a block together
        bring to shared memory. With 0 each thread reads its own operands to registers.
    channels_first : bool
        Whether neighbouring threads hold neighbouring channels rather than neighbouring positions.
    """
    annotations: Any = schedule.get(schedule.get_sblock(CONVOLUTION)).annotations
    *partition, block, depth = (int(number) for number in annotations[GRID])
    grid = Grid(*partition)
    sizes = {"threadIdx.x": grid.columns, "threadIdx.y": grid.rows, "threadIdx.z": grid.parts}
    along = list(sizes)
    if channels_first:
        sizes = {"threadIdx.x": grid.rows, "threadIdx.y": grid.columns, "threadIdx.z": grid.parts}
        along = ["threadIdx.y", "threadIdx.x", "threadIdx.z"]
    place = _write_output(schedule, order, grid, block, sizes)
    products = schedule.get_sblock(PRODUCTS)
    copy = schedule.cache_write(products, 0, "local")
    schedule.set_scope(copy, 0, "shared")
    schedule.compute_at(copy, place, preserve_unit_loops=True)
    part, *_, row, column, held, turn, o = _own_loops(schedule, copy)[0]
    schedule.reorder(part, column, row, held, turn, o)
    for loop, thread in zip((column, row, part), along, strict=True):
        schedule.bind(loop, thread)
    for loop in (held, turn, o):
        schedule.unroll(loop)
    schedule.compute_at(products, row, preserve_unit_loops=True)
    spatial, steps = _own_loops(schedule, products)
    within = [steps.pop()] if depth > 1 else []
    schedule.reorder(*steps, *spatial, *within)
    if chunk:
        *steps, last = steps
        steps += schedule.split(last, [None, chunk])
    for loop in spatial[-3:]:
        schedule.unroll(loop)
    at_once = 1
    if not chunk:
        held = grid.positions + grid.blocks * block
        at_once = knobs.choose("at_once", _at_once(tiling.extents(schedule, steps), held))
    for loop in steps[len(steps) - at_once :]:
        schedule.unroll(loop)
    loaded = [TAPS] if TAPS in tiling.block_names(schedule) else []
    scope = "shared" if chunk else "local"
    for name in (*loaded, WEIGHTS):
        read = schedule.get_sblock(name)
        if chunk:
            _share(schedule, read, steps[-2], sizes)
        else:
            _hold(schedule, read, steps[len(steps) - 1 - at_once])
    start = schedule.decompose_reduction(products, steps[0])
    for loop in schedule.get_loops(start)[-3:]:
        schedule.unroll(loop)
    for loop in within:
        schedule.tensorize(loop, dot_product.of_four(scope))


def _write_output(
    schedule: Schedule, order: str, grid: Grid, block: int, sizes: Mapping[str, int]
) -> LoopRV:
    """Let the threads of a block join the parts of their sums and write the output.

    Neighbouring threads write neighbouring elements. Returns the innermost loop over blocks of
    threads.
    """
    output = tiling.fuse_epilogue(schedule, {TAPS, WEIGHTS, FLAT})
    n, *rest = schedule.get_loops(output)
    around = [None, grid.rows * grid.blocks]
    if order == "NCHWc":
        q, h, w, *inner = rest
    else:
        q, h, w = rest if order == "NCHW" else (rest[2], rest[0], rest[1])
        inner, around = [], [None, grid.rows * grid.blocks * block]
    channels, channel = schedule.split(q, around)
    place, position = schedule.split(schedule.fuse(h, w), [None, grid.columns * grid.positions])
    tile = [position, channel] if order == "NHWC" else [channel, position, *inner]
    schedule.reorder(n, channels, place, *tile)
    schedule.bind(schedule.fuse(n, channels), "blockIdx.y")
    schedule.bind(place, "blockIdx.x")
    number = _bind(schedule, schedule.fuse(*tile), sizes)
    flat = schedule.get_sblock(FLAT)
    schedule.compute_at(flat, number)
    schedule.set_scope(flat, 0, "local")
    sums = schedule.get_sblock(CONVOLUTION)
    schedule.compute_at(sums, number)
    schedule.set_scope(sums, 0, "local")
    return place


def _bind(schedule: Schedule, loop: LoopRV, sizes: Mapping[str, int]) -> LoopRV:
    """Split a loop among all threads of a block and return the innermost resulting loop."""
    names = list(reversed(list(sizes)))
    _, *bound = schedule.split(loop, [None, *(sizes[name] for name in names)])
    for part, name in zip(bound, names, strict=True):
        schedule.bind(part, name)
    return bound[-1]


def _own_loops(schedule: Schedule, block: SBlockRV) -> tuple[list[LoopRV], list[LoopRV]]:
    """Return the spatial and the reduction loops of a block: its innermost, one for each axis."""
    own = schedule.get_loops(block)[-len(schedule.get(block).iter_vars) :]
    return tiling.by_kind(schedule, block, own)


def _at_once(extents: Sequence[int], held: int) -> list[int]:
    """Return for how many of the last reduction loops operands can be read at once.

    `held` numbers are read for each step. The default, first, is the most that `DEFAULT_OPERANDS`
    registers hold.
    """
    counts = list(range(1, len(extents)))
    numbers = [held * math.prod(extents[len(extents) - count :]) for count in counts]
    fitting = [
        count for count, number in zip(counts, numbers, strict=True) if number <= DEFAULT_OPERANDS
    ]
    possible = [
        count
        for count, number in zip(counts, numbers, strict=True)
        if number <= 2 * DEFAULT_OPERANDS
    ]
    default = fitting[-1] if fitting else 1
    return [default, *(count for count in possible or [1] if count != default)]


def _hold(schedule: Schedule, block: SBlockRV, at: LoopRV) -> None:
    """Let each thread read its operands under the loop `at` to registers, several at once."""
    schedule.compute_at(block, at, preserve_unit_loops=True)
    schedule.set_scope(block, 0, "local")
    *others, last = _own_loops(schedule, block)[0]
    for loop in others:
        schedule.unroll(loop)
    (extent,) = tiling.extents(schedule, [last])
    if extent in (2, 4):
        schedule.vectorize(last)
    else:
        schedule.unroll(last)


def _share(schedule: Schedule, block: SBlockRV, at: LoopRV, sizes: Mapping[str, int]) -> None:
    """Let all threads of a block together read their operands under `at` to shared memory."""
    # The scope comes first, so that TVM counts the operands of all threads.
    schedule.set_scope(block, 0, "shared")
    schedule.compute_at(block, at, preserve_unit_loops=True)
    _bind(schedule, schedule.fuse(*_own_loops(schedule, block)[0]), sizes)


def make_elements(
    schedule: Schedule, block: SBlockRV, gpu: GPU, threads: int = ELEMENT_THREADS
) -> LoopRV:
    """Let one thread make each element that a block writes, and return the loop over threads.

    Parameters
    ----------
    schedule : Schedule
        Schedule of the kernel.
    block : SBlockRV
        The block. Its reductions stay within a thread.
    gpu : GPU
        The GPU.
    threads : int
        Maximum number of threads of a thread block.

    Returns
    -------
    LoopRV
        The loop that is bound to threads.
    """
    spatial, reduced = tiling.by_kind(schedule, block, schedule.get_loops(block))
    if not spatial:
        spatial = [schedule.add_unit_loop(block)]
    schedule.reorder(*spatial, *reduced)
    fused = schedule.fuse(*spatial)
    (count,) = tiling.extents(schedule, [fused])
    place, thread = schedule.split(fused, [None, min(threads, gpu.threads, count)])
    schedule.bind(place, "blockIdx.x")
    schedule.bind(thread, "threadIdx.x")
    if reduced:
        schedule.decompose_reduction(block, reduced[0])
    return thread
