"""What the files of primitives and weight formats offer beside their descriptions."""

from typing import Any, Protocol, cast

import numpy as np
from tvm import te
from tvm.s_tir import Schedule

from dlas import registry
from dlas.plugins import FormatPlugin
from dlas.primitives.convolution import Convolution
from dlas.primitives.gpu import GPU
from dlas.primitives.kernel import Kernel
from dlas.primitives.knobs import Knobs
from dlas.primitives.layout import Layout, Packing, Planes
from dlas.primitives.vector import VectorUnit


class Plugin(Protocol):
    """A primitive or a weight format: a module of this package.

    It may have a function `supports(convolution, dtype, vector)` as well, see `unsupported`.
    """

    __name__: str


class Primitive(Plugin, Protocol):
    """A convolution algorithm.

    `vector` is the processor that kernels are made for: the `VectorUnit` of a CPU, or a `GPU`,
    whose threads share a layer by a `Grid`. A schedule asks `knobs` for each choice that it leaves
    open.

    It may have a function `computes_itself(function)` as well, see there.
    """

    def layout(self, channels: int, vector: VectorUnit | GPU) -> Layout:
        """Return how feature maps with a number of channels lie in memory."""

    def packing(self, convolution: Convolution, vector: VectorUnit | GPU, knobs: Knobs) -> Packing:
        """Return how the kernel of one layer reads the weight."""

    def pack_weight(
        self, weight: np.ndarray, convolution: Convolution, data_layout: Layout, packing: Packing
    ) -> np.ndarray:
        """Return a weight [K, C / groups, R, S] as the kernel reads it."""

    def convolve(
        self,
        data: te.Tensor,
        weight: te.Tensor,
        convolution: Convolution,
        data_layout: Layout,
        packing: Packing,
    ) -> te.Tensor:
        """Return the computation as a tensor expression."""

    def schedule(self, function: Schedule, vector: VectorUnit | GPU, knobs: Knobs) -> None:
        """Schedule that computation with whatever was fused behind it."""

    def planes(self, convolution: Convolution) -> Planes:
        """Return how the input is laid out for weights in CSR."""


class WeightFormat(Plugin, Protocol):
    """A format of the weights: how they are stored, and the kernel that reads them."""

    PLUGIN: FormatPlugin

    def layout(self, primitive: Primitive, channels: int, vector: VectorUnit | GPU) -> Layout:
        """Return the layout of feature maps under a primitive."""

    def kernel(
        self,
        primitive: Primitive,
        weight: np.ndarray,
        convolution: Convolution,
        data_layout: Layout,
        dtype: str,
        vector: VectorUnit | GPU,
        knobs: Knobs,
    ) -> Kernel:
        """Return the unscheduled kernel of one layer with its constants."""

    def schedule(
        self,
        primitive: Primitive,
        function: Schedule,
        vector: VectorUnit | GPU,
        knobs: Knobs,
    ) -> None:
        """Schedule that kernel with whatever was fused behind it."""


def names() -> tuple[str, ...]:
    """Return the names of all primitives."""
    return registry.names("primitive")


def load(name: str) -> Primitive:
    """Import a primitive; raise StudyError for an unknown one."""
    return cast(Primitive, registry.load("primitive", name))


def load_format(name: str) -> WeightFormat:
    """Import a weight format; raise StudyError for an unknown one."""
    return cast(WeightFormat, registry.load("format", name))


def unsupported(
    plugin: Plugin, convolution: Convolution, dtype: str, vector: VectorUnit | GPU
) -> str | None:
    """Ask a primitive or a weight format whether it declines a layer.

    Parameters
    ----------
    plugin : Primitive or WeightFormat
        It declines no layer unless it has a function `supports`, with the other parameters.
    convolution : Convolution
        The layer.
    dtype : str
        The type of its feature maps: float32, float16, uint8 or int8.
    vector : VectorUnit or GPU
        The processor.

    Returns
    -------
    str or None
        The reason why it declines the layer, None if it supports it.
    """
    supports: Any = getattr(plugin, "supports", None)
    reason: str | None = supports and supports(convolution, dtype, vector)
    return reason


def computes_itself(primitive: Primitive, function: Schedule) -> bool:
    """Return whether an unscheduled kernel of a primitive is its own algorithm.

    A primitive for some layers alone computes the others as another primitive does, and has a
    function of this name, which tells them apart. All kernels of the others are their own.
    """
    own: Any = getattr(primitive, "computes_itself", None)
    return own is None or bool(own(function))
