"""The weight of a convolution as a sparse matrix (CSR or BSR), and the register tiles that it is multiplied in.

The matrix has a row for each output channel, or for each block of neighbouring ones, and a column
for each tap of each input channel. What is stored of it are the blocks with a non-zero in them:
their values, and one offset into the input. Dot products of bytes take four neighbouring input
channels at a time, which are one column then.

Input channels are partitioned, each part a matrix of its own, so that what a register tile reads of
a part stays in the first-level cache while all output channels use it (cache blocking of sparse
matrices: Im, Yelick and Vuduc, "Sparsity: Optimization Framework for Sparse Matrix Kernels", IJHPCA
2004).
"""

from dataclasses import dataclass

import numpy as np

from dlas.primitives import tiling
from dlas.primitives.arithmetic import SUMS
from dlas.primitives.convolution import Convolution
from dlas.primitives.dot_product import DEPTH
from dlas.primitives.layout import Planes, blocked, deepened
from dlas.primitives.vector import VectorUnit

# Input that a register tile reads again and again: the size of a first-level cache.
CACHE_BYTES = 24 * 1024
# Input that is laid out at a time: the size of a second-level cache.
TILE_BYTES = 1024 * 1024
# Bytes of an element of the input: a float32, or four neighbouring channels.
ELEMENT_BYTES = 4
# Blocks of a row below which partitioning it costs more than it saves.
MIN_ROW_BLOCKS = 8
# Multiply-adds that hide the latency of one another, by default.
IN_FLIGHT = 8
# Cost of loading an offset in units of one multiply-add of a vector.
OFFSET_COST = 0.5


@dataclass(frozen=True)
class Tile:
    """How the output positions of a row of the matrix are worked on.

    A tile is `rows` rows of the output. `registers` register tiles, of `vectors` vectors with
    `lanes` positions each, cover it, for each of the `block` output channels. `in_flight`
    multiply-adds hide the latency of one another. `dot_product` is LLVM's intrinsic that multiplies
    and adds up four input channels, empty for plain multiply-adds.
    """

    rows: int
    registers: int
    vectors: int
    lanes: int
    block: int = 1
    dot_product: str = ""
    in_flight: int = IN_FLIGHT

    @property
    def span(self) -> int:
        """Positions of a register tile."""
        return self.vectors * self.lanes

    @property
    def interleaved(self) -> int:
        """Blocks of a row that are added up apart, so that their latencies overlap."""
        return max(1, self.in_flight // (self.block * self.vectors))

    @property
    def depth(self) -> int:
        """Neighbouring input channels that are one column of the matrix."""
        return DEPTH if self.dot_product else 1


@dataclass(frozen=True)
class Matrix:
    """A weight as sparse matrices, one for each part of the input channels.

    `pointers` int32 [parts * rows + 1] say where rows begin in `offsets`: row k of part p is number
    p * rows + k. Offsets, uint16 where they are small enough, else int32, lead into the planes of
    the input, from the first position of a tile. `values` has the values of each offset's block,
    side by side. Zeros fill each row up to a multiple of what the kernel interleaves. `bounds`
    int32 [chunks + 1] partition the rows into chunks of nearly equal work.
    """

    pointers: np.ndarray
    offsets: np.ndarray
    values: np.ndarray
    bounds: np.ndarray


def stored_blocks(weight: np.ndarray, dtype: str, block: int, depth: int) -> np.ndarray:
    """Return a weight [K, C / groups, R, S] as [rows, columns of a tap, R, S, block], filled up with zeros.

    Values are in the type of the sums of products of `dtype`, or are the bytes of `depth` input
    channels in an int32.
    """
    blocks = blocked(weight, block).transpose(0, 2, 3, 4, 1)
    if depth == 1:
        return blocks.astype(SUMS[dtype])
    return np.ascontiguousarray(deepened(blocks, 1, depth)).view(np.int32)[..., 0]


def ranked_tiles(
    convolution: Convolution,
    planes: Planes,
    vector: VectorUnit,
    nonzeros: int,
    block: int = 1,
    dot_product: str = "",
) -> list[Tile]:
    """Return the possible tiles, that first which takes the fewest vector operations.

    They are counted for `nonzeros` blocks and for laying out the input. The order does not depend
    on the number of threads, so that the sums do not.
    """
    if convolution.out_height * convolution.out_width == 1:
        return [Tile(1, 1, 1, 1)]
    widths = [width for width in (16, 8, 4) if width <= vector.lanes]
    costs: dict[Tile, float] = {}
    for rows in tiling.divisors(convolution.out_height, convolution.out_height):
        reach = (rows - 1) * planes.width + convolution.out_width
        for lanes in widths:
            # Several register tiles only where a single row needs them: other tiles can run in
            # parallel.
            fewest = 1 if rows == 1 else -(-reach // lanes)
            for vectors in range(fewest, vector.accumulators // block + 1):
                registers = -(-reach // (lanes * vectors))
                tile = Tile(rows, registers, vectors, lanes, block, dot_product)
                size = plane_size(convolution, planes, tile)
                elements = -(-convolution.in_channels // tile.depth) * planes.count * size
                if rows > 1 and planes.tiled and ELEMENT_BYTES * elements > TILE_BYTES:
                    continue
                tiles = convolution.out_height // rows
                # Each value and each vector of the input is loaded once for all multiply-adds of a
                # block.
                operations = max(block * vectors, block + vectors) + OFFSET_COST
                multiplied = nonzeros * tiles * registers * operations
                copied = (1 + tile.depth) * elements / lanes * (tiles if planes.tiled else 1)
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
    fits = exact or overlapping
    return convolution.pointwise and fits and not planes.tiled and tile.depth == 1


def compress(
    blocks: np.ndarray,
    convolution: Convolution,
    planes: Planes,
    tile: Tile,
    chunks: int,
    cache: int = CACHE_BYTES,
) -> Matrix:
    """Return the `stored_blocks` of a weight as sparse matrices for a kernel with this tile.

    `cache` is the size in bytes of the input that a register tile reads of each of them.
    """
    count, columns = blocks.shape[:2]
    channels = columns * convolution.groups
    block_row, channel, row, column = np.nonzero(blocks.any(axis=-1))
    values = blocks[block_row, channel, row, column]
    channel = channel + block_row // (count // convolution.groups) * columns
    size = plane_size(convolution, planes, tile)
    offsets = (channel * planes.count + planes.plane(row, column)) * size
    offsets += planes.shift(row, column)

    last = planes.shift(convolution.kernel[0] - 1, convolution.kernel[1] - 1)
    in_cache = cache // (ELEMENT_BYTES * planes.count * (tile.span + last))
    worth = MIN_ROW_BLOCKS * count * channels // max(1, len(values))
    part = max(in_cache, worth, 1) if convolution.groups == 1 else channels
    parts = -(-channels // part)
    part = -(-channels // parts)

    rows = channel // part * count + block_row
    order = np.lexsort((offsets, rows))
    rows, offsets, values = rows[order], offsets[order], values[order]
    counts = np.bincount(rows, minlength=parts * count)
    filled = -(-counts // tile.interleaved) * tile.interleaved
    pointers = np.concatenate([[0], filled.cumsum()])
    place = pointers[rows] + np.arange(len(rows)) - (counts.cumsum() - counts)[rows]
    # A network has no empty constants.
    length = max(int(pointers[-1]), 1)
    small = channels * planes.count * size <= np.iinfo(np.uint16).max
    all_offsets = np.zeros(length, np.uint16 if small else np.int32)
    all_values = np.zeros((length, tile.block), values.dtype)
    all_offsets[place], all_values[place] = offsets, values

    work = (filled + 1).reshape(parts, -1).sum(axis=0).cumsum()
    shares = work[-1] * np.arange(1, chunks) / chunks
    inner = np.searchsorted(work, shares, side="left") + 1
    bounds = np.concatenate([[0], inner, [count]])
    return Matrix(
        pointers.astype(np.int32), all_offsets, all_values.ravel(), bounds.astype(np.int32)
    )
