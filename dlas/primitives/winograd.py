"""Winograd's minimal filtering: 3x3 convolutions with fewer multiplications.

Each tile of m x m outputs is A^T [(G g G^T) * (B^T d B)] A, where g is the kernel and d the tile's
input of m + 2 positions on each side: (m + 2)^2 multiplications instead of 9 m^2 (Lavin and Gray,
"Fast Algorithms for Convolutional Neural Networks", CVPR 2016, with the matrices of F(2x2, 3x3) and
F(4x4, 3x3)). Weights are transformed once. For each of the (m + 2)^2 positions, the multiplications
of all tiles are one matrix product over the channels. As many rows of tiles as a cache holds go
through transform, products and inverse transform together.

Layers that are no 3x3 convolutions of stride 1, or too small to gain, are computed as in spatial
pack, whose layout feature maps have throughout.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from tvm import te, tirx
from tvm.s_tir import Schedule

from dlas.errors import UnsupportedError
from dlas.plugins import PrimitivePlugin
from dlas.primitives import spatial_pack, tiling
from dlas.primitives.arithmetic import add_up
from dlas.primitives.convolution import Convolution
from dlas.primitives.gpu import GPU
from dlas.primitives.knobs import Knobs
from dlas.primitives.layout import Layout, Packing, Planes, pad
from dlas.primitives.tiling import Reduction
from dlas.primitives.vector import VectorUnit

PLUGIN = PrimitivePlugin(label="Winograd", order=4, marker="v")

TAPS = 3
# B^T, G and A^T, by the outputs of a tile on each side.
INPUT = {
    2: ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),
    4: (
        (4, 0, -5, 0, 1, 0),
        (0, -4, -4, 1, 1, 0),
        (0, 4, -4, -1, 1, 0),
        (0, -2, -1, 2, 1, 0),
        (0, 2, -1, -2, 1, 0),
        (0, 4, 0, -5, 0, 1),
    ),
}
WEIGHT = {
    2: ((1, 0, 0), (1 / 2, 1 / 2, 1 / 2), (1 / 2, -1 / 2, 1 / 2), (0, 0, 1)),
    4: (
        (1 / 4, 0, 0),
        (-1 / 6, -1 / 6, -1 / 6),
        (-1 / 6, 1 / 6, -1 / 6),
        (1 / 24, 1 / 12, 1 / 6),
        (1 / 24, -1 / 12, 1 / 6),
        (0, 0, 1),
    ),
}
OUTPUT = {
    2: ((1, 1, 1, 0), (0, 1, -1, -1)),
    4: ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1)),
}
# Names of the blocks before and behind the products.
INPUT_ROWS, TRANSFORMED, OUTPUT_ROWS = "input_rows", "transformed_input", "output_rows"
# Input channels below which the transforms cost more than they save.
MIN_CHANNELS = 16
# Size of a cache, for transformed input and products.
PANEL_BYTES = 640 * 1024
# Costs in multiply-adds of a vector: reading a vector of weights from beyond the second-level
# cache, and the transforms of a vector of one tile, there and back.
READ_COST = 16
TRANSFORM_COSTS = {2: (64, 40), 4: (200, 140)}


def layout(channels: int, vector: VectorUnit | GPU) -> Layout:
    """Return NCHWc, as spatial pack does."""
    return spatial_pack.layout(channels, vector)


def supports(convolution: Convolution, dtype: str, vector: VectorUnit | GPU) -> str | None:
    """Decline GPUs, integers, and float16 where the CPU has arithmetic for it."""
    if isinstance(vector, GPU):
        return "it has no code for GPUs; allowed: CPUs"
    if vector.fp16:
        return "it computes in float32, not in this CPU's float16; allowed: float32"
    if dtype in ("uint8", "int8"):
        return "its transforms leave the range of 8-bit integers; allowed: float32, float16"
    return None


def computes_itself(function: Schedule) -> bool:
    """Return whether a kernel is Winograd's. The others are as in spatial pack."""
    return OUTPUT_ROWS in tiling.block_names(function)


def packing(convolution: Convolution, vector: VectorUnit | GPU, knobs: Knobs) -> Packing:
    """Return how this layer's weight is packed: transformed for tiles, or as in spatial pack."""
    assert not isinstance(vector, GPU)
    outputs = knobs.choose("outputs", ranked_outputs(convolution))
    plain = spatial_pack.packing(convolution, vector, knobs)
    return replace(plain, outputs=outputs) if outputs else plain


def ranked_outputs(convolution: Convolution) -> list[int]:
    """Return the tile sizes to choose from, the fastest expected first; 0 is spatial pack."""
    kernel = (convolution.kernel, convolution.stride, convolution.groups)
    if kernel != ((TAPS, TAPS), (1, 1), 1) or convolution.in_channels < MIN_CHANNELS:
        return [0]

    def cost(outputs: int) -> float:
        """Return the multiply-adds for each pair of an input and an output channel."""
        if not outputs:
            return convolution.macs / pairs + READ_COST * TAPS**2
        tiles = convolution.batch * _tiles(convolution.out_height, outputs)
        tiles *= _tiles(convolution.out_width, outputs)
        there, back = TRANSFORM_COSTS[outputs]
        transforms = there / convolution.out_channels + back / convolution.in_channels
        side = outputs + TAPS - 1
        return tiles * (side**2 + transforms) + READ_COST * side**2

    pairs = convolution.in_channels * convolution.out_channels
    return sorted((0, *INPUT), key=cost)


def pack_weight(
    weight: np.ndarray, convolution: Convolution, data_layout: Layout, packing: Packing
) -> np.ndarray:
    """Pack a weight [K, C, 3, 3], transformed in float64.

    Returns float32 [m + 2, m + 2, K / block, C / block, block of C, block of K] for tiles of m x m
    outputs, filled up with zeros.
    """
    if not packing.outputs:
        return spatial_pack.pack_weight(weight, convolution, data_layout, packing)
    matrix = np.array(WEIGHT[packing.outputs])
    transformed = matrix @ weight.astype(np.float64) @ matrix.T
    packed = spatial_pack.pack_weight(transformed, convolution, data_layout, packing)
    return np.ascontiguousarray(packed.transpose(2, 3, 0, 1, 4, 5).astype(np.float32))


def convolve(
    data: te.Tensor,
    weight: te.Tensor,
    convolution: Convolution,
    data_layout: Layout,
    packing: Packing,
) -> te.Tensor:
    """Return the convolution of `data` in NCHWc with a packed `weight`, in NCHWc."""
    outputs = packing.outputs
    if not outputs:
        return spatial_pack.convolve(data, weight, convolution, data_layout, packing)
    side, inputs = outputs + TAPS - 1, data_layout.block
    images, blocks = convolution.batch, int(data.shape[1])
    down, across = (_tiles(n, outputs) for n in convolution.out_shape[2:])
    top, left, bottom, right = convolution.padding
    # The padding reaches as far as the last tile.
    bottom += down * outputs - convolution.out_height
    right += across * outputs - convolution.out_width
    padded = pad(data, data_layout, replace(convolution, padding=(top, left, bottom, right)))

    rows = te.compute(
        (images, down, across, blocks, side, side, inputs),
        lambda n, y, x, c, i, j, lane: _row(
            INPUT[outputs],
            i,
            lambda r: padded(n, c, y * outputs + r, x * outputs + j, lane).astype("float32"),
        ),
        name=INPUT_ROWS,
    )
    transformed = te.compute(
        (images, side, side, blocks, down, across, inputs),
        lambda n, i, j, c, y, x, lane: _row(
            INPUT[outputs], j, lambda s: rows(n, y, x, c, i, s, lane)
        ),
        name=TRANSFORMED,
    )

    def operands(index: Sequence[Any], step: Sequence[Any]) -> tuple[Any, Any]:
        n, i, j, k, y, x, lane = index
        c, channel = step
        return transformed[n, i, j, c, y, x, channel], weight[i, j, k, c, channel, lane]

    products_shape = (images, side, side, int(weight.shape[2]), down, across, packing.block)
    products = add_up(products_shape, operands, {"c": blocks, "i": inputs}, packing)
    inverse = te.compute(
        (images, products_shape[3], down, across, outputs, side, packing.block),
        lambda n, k, y, x, i, j, lane: _row(
            OUTPUT[outputs], i, lambda r: products(n, r, j, k, y, x, lane)
        ),
        name=OUTPUT_ROWS,
    )

    def element(n: Any, k: Any, h: Any, w: Any, lane: Any) -> Any:
        y, i = tirx.floordiv(h, outputs), tirx.floormod(h, outputs)
        x, j = tirx.floordiv(w, outputs), tirx.floormod(w, outputs)
        return _row(OUTPUT[outputs], j, lambda s: inverse(n, k, y, x, i, s, lane))

    shape = Layout("NCHWc", packing.block).shape(*convolution.out_shape)
    return te.compute(shape, element, name="output")


def planes(convolution: Convolution) -> Planes:
    """Decline sparse weights."""
    raise UnsupportedError("Winograd's transform leaves no weight zero; allowed: dense")


def schedule(function: Schedule, vector: VectorUnit | GPU, knobs: Knobs) -> None:
    """Transform some rows of tiles, multiply in register tiles and transform back, in panels."""
    if isinstance(vector, GPU) or not computes_itself(function):
        spatial_pack.schedule(function, vector, knobs)
        return
    output = tiling.fuse_epilogue(function, {"pad", INPUT_ROWS, TRANSFORMED, OUTPUT_ROWS})
    _, side, _, blocks, down, across, lanes = tiling.spatial_extents(function)
    outputs = side - TAPS + 1
    inputs = tiling.reduction_extents(function)

    image, channel, row, column, lane = function.get_loops(output)
    row, i = function.split(row, [None, outputs])
    column, j = function.split(column, [None, outputs])
    row_bytes = 4 * side**2 * across * (blocks * lanes + inputs[0] * inputs[1])
    rows = knobs.choose("panel", _panels(down, row_bytes, vector.threads))
    row, within = function.split(row, [None, rows])
    function.reorder(image, row, channel, within, column, i, j, lane)
    panel = function.fuse(image, row)
    function.parallel(panel)
    for loop in (i, j):
        function.unroll(loop)
    function.vectorize(lane)
    _transform(function, OUTPUT_ROWS, column)

    tile = knobs.choose("tile", tiling.tiles(blocks, rows, across, vector))
    convolution = function.get_sblock(tiling.CONVOLUTION)
    stored = function.cache_write(convolution, 0, "local")
    function.compute_at(stored, panel, preserve_unit_loops=True)
    *around, k, y, x, lane = function.get_loops(stored)[-7:]
    k, k_inner = function.split(k, [None, tile.channels])
    y, y_inner = function.split(y, [None, tile.rows])
    x, x_inner = function.split(x, [None, tile.columns])
    function.reorder(*around, k, y, x, k_inner, y_inner, x_inner, lane)
    for loop in (k_inner, y_inner, x_inner):
        function.unroll(loop)
    function.vectorize(lane)
    reduced = tiling.accumulate(function, tiling.CONVOLUTION, x, Reduction((0, 1), 0, 0))

    transformed = function.get_sblock(TRANSFORMED)
    function.compute_at(transformed, panel, preserve_unit_loops=True)
    image, i, j, c, y, x, lane = function.get_loops(transformed)[-7:]
    function.reorder(image, c, y, x, i, j, lane)
    for loop in (i, j):
        function.unroll(loop)
    function.vectorize(lane)
    _transform(function, INPUT_ROWS, x)
    if "pad" in tiling.block_names(function):
        function.compute_at(function.get_sblock("pad"), panel, preserve_unit_loops=True)
        tiling.vectorize_last(function, "pad", vector)
    function.decompose_reduction(convolution, reduced[0])


def _tiles(extent: int, outputs: int) -> int:
    return -(-extent // outputs)


def _row(matrix: Sequence[Sequence[float]], row: Any, term: Callable[[int], Any]) -> Any:
    """Return the product of a row of a matrix and a vector of terms.

    The row is a variable of an unrolled loop, so the compiler keeps only one of the cases.
    """
    *others, product = (_combination(coefficients, term) for coefficients in matrix)
    for number in reversed(range(len(others))):
        product = tirx.if_then_else(row == number, others[number], product)
    return product


def _combination(coefficients: Sequence[float], term: Callable[[int], Any]) -> Any:
    """Return the sum of terms times coefficients, of which not all are negative, without zeros."""
    total: Any = None
    # Begin with a term that needs no change of sign.
    places = sorted(range(len(coefficients)), key=lambda place: coefficients[place] <= 0)
    for place in places:
        size = abs(coefficients[place])
        if not size:
            continue
        one = term(place) if size == 1 else term(place) * tirx.const(size, "float32")
        if total is not None:
            one = total + one if coefficients[place] > 0 else total - one
        total = one
    return total


def _panels(down: int, row_bytes: int, threads: int) -> list[int]:
    """Return the options for how many rows of tiles to take together.

    The default, first, fits a cache and leaves work to each thread.
    """
    every = tiling.divisors(down, down)
    fitting = [n for n in every if n * row_bytes <= PANEL_BYTES and down // n >= min(threads, down)]
    default = fitting[-1] if fitting else 1
    return [default, *(n for n in reversed(every) if n != default)]


def _transform(function: Schedule, name: str, at: Any) -> None:
    """Compute the block `name` under the loop `at`, in registers: a tile unrolled, in vectors."""
    block = function.get_sblock(name)
    function.compute_at(block, at, preserve_unit_loops=True)
    function.set_scope(block, 0, "local")
    *_, i, j, lane = function.get_loops(block)
    for loop in (i, j):
        function.unroll(loop)
    function.vectorize(lane)
