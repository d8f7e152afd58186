"""Layouts of feature maps and weights in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import te, tirx

from dlas.primitives.convolution import Convolution
from dlas.primitives.gpu import Grid


@dataclass(frozen=True)
class Layout:
    """The order of a feature map's axes.

    NCHWc has the shape [N, ceil(C / block), H, W, block]. Where the block does not divide the
    channels, the last block ends in channels that no weight reads.

    Attributes
    ----------
    order : str
        NCHW, NHWC or NCHWc.
    block : int
        Number of channels of a block in NCHWc.
    """

    order: str
    block: int = 1

    @property
    def channel_axis(self) -> int:
        """The axis along which concatenation joins."""
        return 3 if self.order == "NHWC" else 1

    @property
    def spatial_axes(self) -> tuple[int, int]:
        """The axes of height and width."""
        return (1, 2) if self.order == "NHWC" else (2, 3)

    @property
    def pooling(self) -> str:
        """The layout's name in TVM's pooling operators."""
        return f"NCHW{self.block}c" if self.order == "NCHWc" else self.order

    def shape(self, batch: int, channels: int, height: int, width: int) -> tuple[int, ...]:
        """Return the physical shape of a logical [N, C, H, W]."""
        if self.order == "NCHW":
            return (batch, channels, height, width)
        if self.order == "NHWC":
            return (batch, height, width, channels)
        return (batch, -(-channels // self.block), height, width, self.block)

    def read(self, data: te.Tensor, n, c, h, w):  # type: ignore[no-untyped-def]
        """Return the element of `data` at logical position (n, c, h, w)."""
        if self.order == "NCHW":
            return data[n, c, h, w]
        if self.order == "NHWC":
            return data[n, h, w, c]
        return data[n, tirx.floordiv(c, self.block), h, w, tirx.floormod(c, self.block)]

    def per_channel(self, values: np.ndarray) -> np.ndarray:
        """Shape values [C, H, W] to broadcast against a feature map in this layout.

        Channels that fill up the last block are zero.
        """
        channels, height, width = values.shape
        if self.order == "NCHW":
            return values[None]
        if self.order == "NHWC":
            return np.ascontiguousarray(values.transpose(1, 2, 0))[None]
        blocks = -(-channels // self.block)
        filled = np.zeros((blocks * self.block, height, width), values.dtype)
        filled[:channels] = values
        split = filled.reshape(blocks, self.block, height, width)
        return np.ascontiguousarray(split.transpose(0, 2, 3, 1))[None]


NCHW = Layout("NCHW")


@dataclass(frozen=True)
class Packing:
    """How a kernel reads its weight, and how vectors or threads share the output.

    Attributes
    ----------
    block : int
        Number of output channels side by side.
    lanes : str
        "channels" if a vector holds a block's output channels at one position, "columns" if it
        holds neighbouring positions of one output channel, "scalar" without vectors.
    depth : int
        Number of neighbouring input channels side by side: one instruction multiplies and adds them
        up in a lane.
    fp16 : bool
        Whether blocks of products are added up in float16.
    grid : Grid, optional
        How the threads of a GPU share the work.
    outputs : int
        Side of an output tile of Winograd's algorithm, 0 without it.
    """

    block: int
    lanes: str = "channels"
    depth: int = 1
    fp16: bool = False
    grid: Grid | None = None
    outputs: int = 0

    def axes(self, channels: int) -> dict[str, int]:
        """Return the extents of the reduction axes over `channels` input channels, by name."""
        if self.depth == 1:
            return {"i": channels}
        return {"i": channels // self.depth, "d": self.depth}

    def channel(self, step: Sequence[Any]) -> Any:
        """Return the input channel at a step of these axes."""
        return step[0] if self.depth == 1 else step[0] * self.depth + step[1]


@dataclass(frozen=True)
class Planes:
    """How a kernel with sparse weights reads a channel.

    The channel is laid out in planes, in which neighbours in the output are neighbours. Plane (i,
    j) begins at that tap of the kernel and holds every stride-th row and column from there. Other
    taps are read from the same planes, some positions further on.

    Attributes
    ----------
    rows, columns : int
        Number of planes of a channel along each axis.
    width : int
        Positions of a row of a plane.
    tiled : bool
        Whether a plane holds the rows of one tile, the tiles one after the other in memory.
        Otherwise it holds all rows of the feature map.
    """

    rows: int
    columns: int
    width: int
    tiled: bool

    @property
    def count(self) -> int:
        """Number of planes of a channel."""
        return self.rows * self.columns

    def plane(self, row: Any, column: Any) -> Any:
        """Return the number of the plane from which a tap is read."""
        return row % self.rows * self.columns + column % self.columns

    def shift(self, row: Any, column: Any) -> Any:
        """Return how many positions further on in its plane a tap is read."""
        return row // self.rows * self.width + column // self.columns


def phases(convolution: Convolution) -> Planes:
    """Return the planes of the input itself, one for each phase of the stride.

    All taps share them.
    """
    rows = min(convolution.stride[0], convolution.kernel[0])
    columns = min(convolution.stride[1], convolution.kernel[1])
    width = convolution.out_width + (convolution.kernel[1] - 1) // columns
    return Planes(rows, columns, width, tiled=False)


def blocked(weight: np.ndarray, block: int) -> np.ndarray:
    """Return a weight [K, ...] as [ceil(K / block), block, ...], filled up with zeros."""
    blocks = -(-weight.shape[0] // block)
    filled = np.zeros((blocks * block, *weight.shape[1:]), weight.dtype)
    filled[: weight.shape[0]] = weight
    return filled.reshape(blocks, block, *weight.shape[1:])


def deepened(weight: np.ndarray, axis: int, depth: int) -> np.ndarray:
    """Return a packed weight with `depth` neighbours of an axis innermost, filled up with zeros.

    Parameters
    ----------
    weight : np.ndarray
        Packed weight, output channels last.
    axis : int
        Axis of the input channels.
    depth : int
        Number of neighbours; with 1 the weight is returned as it is.

    Returns
    -------
    np.ndarray
        Weight with ceil(extent / depth) along the axis and `depth` behind the output channels.
    """
    if depth == 1:
        return weight
    extent = weight.shape[axis]
    around = [(0, 0)] * weight.ndim
    around[axis] = (0, -extent % depth)
    filled = np.pad(weight, around)
    split = filled.reshape(*weight.shape[:axis], -1, depth, *weight.shape[axis + 1 :])
    return np.moveaxis(split, axis + 1, -1)


def input_channel(convolution: Convolution, block: int, k, o, c):  # type: ignore[no-untyped-def]
    """Return the input channel that is the `c`-th of the group of an output channel.

    Parameters
    ----------
    convolution : Convolution
        The layer.
    block : int
        Number of output channels of a block.
    k, o, c : PrimExpr
        Block of output channels, channel in the block, input channel in the group.

    Returns
    -------
    PrimExpr
        Number of the input channel.
    """
    if convolution.groups == 1:
        return c
    group = tirx.floordiv(k * block + o, convolution.out_channels // convolution.groups)
    # The last block may end in channels that do not exist.
    if convolution.out_channels % block:
        group = tirx.Min(group, convolution.groups - 1)
    return group * (convolution.in_channels // convolution.groups) + c


def relayout(data: te.Tensor, channels: int, source: Layout, target: Layout) -> te.Tensor:
    """Return a feature map with `channels` channels, moved from one layout to another."""
    batch = int(data.shape[0])
    height, width = (int(data.shape[axis]) for axis in source.spatial_axes)
    zero = tirx.const(0, data.dtype)

    def element(*index):  # type: ignore[no-untyped-def]
        if target.order == "NCHW":
            n, c, h, w = index
        elif target.order == "NHWC":
            n, h, w, c = index
        else:
            n, outer, h, w, inner = index
            c = outer * target.block + inner
            if channels % target.block:
                return tirx.if_then_else(c < channels, source.read(data, n, c, h, w), zero)
        return source.read(data, n, c, h, w)

    return te.compute(target.shape(batch, channels, height, width), element, name="relayout")


def pad(data: te.Tensor, layout: Layout, convolution: Convolution) -> te.Tensor:
    """Return the input of a convolution, in a layout, with its padding added."""
    top, left, bottom, right = convolution.padding
    if not convolution.padded:
        return data
    rows, columns = layout.spatial_axes
    height, width = int(data.shape[rows]), int(data.shape[columns])
    shape = list(data.shape)
    shape[rows] = height + top + bottom
    shape[columns] = width + left + right
    border = tirx.const(convolution.border, data.dtype)

    def element(*index):  # type: ignore[no-untyped-def]
        h, w = index[rows] - top, index[columns] - left
        inside = tirx.all(h >= 0, h < height, w >= 0, w < width)
        source = list(index)
        source[rows], source[columns] = h, w
        return tirx.if_then_else(inside, data(*source), border)

    return te.compute(shape, element, name="pad")
