"""The weight of a convolution as a sparse matrix (CSR or BSR), and its register tiles.

The matrix has a row for each output channel, or for each block of neighbouring ones, and a column
for each tap of each input channel. Only blocks with a non-zero are stored: their values, and one
offset into the input. For dot products of bytes a column is four neighbouring input channels.

Input channels are partitioned, and each part is a separate matrix. The input that a register tile
reads of a part stays in the first-level cache while all output channels use it (cache blocking of
sparse matrices: Im, Yelick and Vuduc, "Sparsity: Optimization Framework for Sparse Matrix Kernels",
IJHPCA 2004).
"""

from dataclasses import dataclass

import numpy as np

from dlas.primitives import tiling
from dlas.primitives.arithmetic import SUMS
from dlas.primitives.convolution import Convolution
from dlas.primitives.dot_product import DEPTH
from dlas.primitives.layout import Planes, blocked, deepened
from dlas.primitives.vector import VectorUnit

# Size of a first-level cache, for the input that a register tile reads again and again.
CACHE_BYTES = 24 * 1024
# Size of a second-level cache, for the input that is laid out at a time.
TILE_BYTES = 1024 * 1024
# Bytes of an element of the input: a float32, or four neighbouring channels.
ELEMENT_BYTES = 4
# Blocks of a row below which partitioning it costs more than it saves.
MIN_ROW_BLOCKS = 8
# Default number of multiply-adds whose latencies overlap.
IN_FLIGHT = 8
# Cost of loading an offset in units of one multiply-add of a vector.
OFFSET_COST = 0.5


@dataclass(frozen=True)
class Tile:
    """How a kernel computes the output positions of a matrix row.

    Attributes
    ----------
    rows : int
        Number of output rows of a tile.
    registers : int
        Number of register tiles that cover it, one after the other.
    vectors : int
        Number of vectors of a register tile, for each output channel.
    lanes : int
        Number of positions of a vector.
    block : int
        Number of output channels of a matrix row.
    dot_product : str
        LLVM's intrinsic that multiplies and adds up four input channels, empty for plain
        multiply-adds.
    in_flight : int
        Number of multiply-adds whose latencies overlap.
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
        """Number of positions of a register tile."""
        return self.vectors * self.lanes

    @property
    def interleaved(self) -> int:
        """Number of blocks of a row that are added up separately, to overlap their latencies."""
        return max(1, self.in_flight // (self.block * self.vectors))

    @property
    def depth(self) -> int:
        """Number of neighbouring input channels that are one column of the matrix."""
        return DEPTH if self.dot_product else 1


@dataclass(frozen=True)
class Matrix:
    """A weight as sparse matrices, one for each part of the input channels.

    Attributes
    ----------
    pointers : np.ndarray
        int32 [parts * rows + 1]: where rows begin in `offsets`. Row k of part p is number p * rows
        + k.
    offsets : np.ndarray
        Offsets of the stored blocks into the planes of the input, from the first position of a
        tile: uint16 if they are small enough, else int32. Zeros fill each row up to a multiple of
        `Tile.interleaved`.
    values : np.ndarray
        The values of each offset's block, side by side.
    bounds : np.ndarray
        int32 [chunks + 1]: partition of the rows into chunks of nearly equal work.
    """

    pointers: np.ndarray
    offsets: np.ndarray
    values: np.ndarray
    bounds: np.ndarray


def stored_blocks(weight: np.ndarray, dtype: str, block: int, depth: int) -> np.ndarray:
    """Return a weight in blocks of output channels, filled up with zeros.

    Parameters
    ----------
    weight : np.ndarray
        Weight [K, C / groups, R, S].
    dtype : str
        Dtype of the feature map.
    block : int
        Number of output channels of a row.
    depth : int
        Number of input channels of a column: 1, or 4 for dot products of int8.

    Returns
    -------
    np.ndarray
        [rows, columns of a tap, R, S, block] in the dtype of the sums, or, for dot products, int32
        of the bytes of `depth` input channels.
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
    """Return the possible tiles, ordered by their number of vector operations.

    The order does not depend on the number of threads, so the sums do not either.

    Parameters
    ----------
    convolution : Convolution
        The layer.
    planes : Planes
        How the input is laid out.
    vector : VectorUnit
        The CPU's vector unit.
    nonzeros : int
        Number of stored blocks.
    block : int
        Number of output channels of a matrix row.
    dot_product : str
        LLVM's intrinsic, empty for plain multiply-adds.

    Returns
    -------
    list of Tile
        The cheapest first.
    """
    if convolution.out_height * convolution.out_width == 1:
        return [Tile(1, 1, 1, 1)]
    widths = [width for width in (16, 8, 4) if width <= vector.lanes]
    costs: dict[Tile, float] = {}
    for rows in tiling.divisors(convolution.out_height, convolution.out_height):
        reach = (rows - 1) * planes.width + convolution.out_width
        for lanes in widths:
            # Several register tiles are tried only where a single row needs them: other tiles can
            # run in parallel.
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
    """Return the number of positions of a plane, in whole rows.

    They reach as far as the vectors of the last tap.
    """
    if in_place(convolution, planes, tile):
        return convolution.out_height * planes.width
    before = 0 if planes.tiled else (convolution.out_height - tile.rows) * planes.width
    rows, columns = convolution.kernel
    reach = before + planes.shift(rows - 1, columns - 1) + tile.registers * tile.span
    return -(-reach // planes.width) * planes.width


def in_place(convolution: Convolution, planes: Planes, tile: Tile) -> bool:
    """Return whether the feature map already is the one plane of each channel, to the last vector.

    The last vector of a single register tile may begin before the end of the one before it.
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
    """Return the sparse matrices of a weight for a kernel with a given tile.

    Parameters
    ----------
    blocks : np.ndarray
        The weight as `stored_blocks` returns it.
    convolution : Convolution
        The layer.
    planes : Planes
        How the input is laid out.
    tile : Tile
        How a matrix row is computed.
    chunks : int
        Number of chunks of the rows.
    cache : int
        Size in bytes of the input that a register tile reads of one matrix.

    Returns
    -------
    Matrix
        The arrays.
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
    # A network's constants must not be empty.
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
