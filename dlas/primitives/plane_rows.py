"""Rows of `Planes`, written in vectors.

A row holds every stride-th element of a row of the feature map, with a border around them.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tvm import tirx
from tvm.script.ir_builder import tirx as T  # noqa: N812 (the name that TVM's scripts give it)

from dlas.primitives.convolution import Convolution


def lay_out_row(
    packed: Any,
    start: Sequence[Any],
    read: Callable[[Any, int], Any],
    border: Any,
    column: int,
    width: int,
    convolution: Convolution,
    lanes: int,
) -> None:
    """Write one row of a plane.

    Parameters
    ----------
    packed : Buffer
        The planes.
    start : sequence
        Index of the row's first position.
    read : callable
        Takes a column of the feature map and a number of lanes. Returns the vector of the row's
        elements from that column on.
    border : PrimExpr
        Value of the padding.
    column : int
        Column of the kernel at which the plane begins.
    width : int
        Number of positions of the row.
    convolution : Convolution
        The layer.
    lanes : int
        Maximum number of elements of a vector; 1 on a GPU.
    """
    across, offset = convolution.stride[1], column - convolution.padding[1]
    begin, end = inside(offset, across, convolution.width, width)
    fill(packed, start, border, begin, lanes)
    for at, size in _pieces(end - begin, lanes):
        place = begin + at
        value = read(place * across + offset, size)
        T.buffer_store(packed, value, _index(start, place, size))
    fill(packed, [*start[:-1], start[-1] + end], border, width - end, lanes)


def fill(packed: Any, start: Sequence[Any], border: Any, length: int, lanes: int) -> None:
    """Write a border to `length` neighbouring positions, in vectors of at most `lanes`."""
    for at, size in _pieces(length, lanes):
        value = tirx.Broadcast(border, size) if size > 1 else border
        T.buffer_store(packed, value, _index(start, at, size))


def inside(offset: int, stride: int, extent: int, limit: int) -> tuple[int, int]:
    """Return the range of places p < limit for which 0 <= p * stride + offset < extent."""
    last = min(limit, max(0, -(-(extent - offset) // stride)))
    return min(last, max(0, -(offset // stride))), last


def every(data: Any, row: Sequence[Any], start: Any, stride: int, size: int) -> Any:
    """Return `size` elements of a row from `start` on, one every `stride` elements, as a vector."""
    if stride == 1 or size == 1:
        return data[(*row, _ramp(start, size))]
    if stride == 2:
        # The second vector begins at the last element of the first, so nothing beyond the last
        # element of the row is read.
        vectors = [data[(*row, _ramp(start + begin, size))] for begin in (0, size - 1)]
        half = size // 2
        indices = [*range(0, size, 2), *(size + 2 * place + 1 for place in range(size - half))]
        return tirx.Shuffle(vectors, [tirx.IntImm("int32", one) for one in indices[:size]])
    return data[(*row, tirx.Ramp(start, stride, size))]


def _pieces(length: int, lanes: int) -> Iterator[tuple[Any, int]]:
    """Yield start and size of vectors that cover a length. The last may overlap the one before.

    With one lane they are a loop.
    """
    if lanes == 1:
        if length:
            with T.serial(length) as at:
                yield at, 1
        return
    size = next((n for n in (lanes, 16, 8, 4, 2, 1) if n <= min(length, lanes)), 0)
    for at in range(0, length, size or 1):
        yield min(at, length - size), size


def _index(start: Sequence[Any], at: Any, size: int) -> list[Any]:
    return [*start[:-1], _ramp(start[-1] + at, size)]


def _ramp(start: Any, size: int) -> Any:
    return tirx.Ramp(start, 1, size) if size > 1 else start
