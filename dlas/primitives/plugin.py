"""The functions of a primitive and of a weight format, and how to load them."""

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

    In all methods `vector` is the processor that kernels are made for: the `VectorUnit` of a CPU,
    or a `GPU`, whose threads share a layer by a `Grid`. `knobs` is the point of the search space:
    it answers each choice that a schedule leaves open.

    It may have a function `computes_itself(function)` as well, see `computes_itself`.
    """

    def layout(self, channels: int, vector: VectorUnit | GPU) -> Layout:
        """Return the layout of feature maps with a number of channels."""

    def packing(self, convolution: Convolution, vector: VectorUnit | GPU, knobs: Knobs) -> Packing:
        """Return how the kernel of one layer reads the weight."""

    def pack_weight(
        self, weight: np.ndarray, convolution: Convolution, data_layout: Layout, packing: Packing
    ) -> np.ndarray:
        """Return a weight [K, C / groups, R, S] as the kernel reads it.

        Parameters
        ----------
        weight : np.ndarray
            Weight in the dtype of the network: float32, float16 or int8.
        convolution : Convolution
            The layer.
        data_layout : Layout
            Layout of the input.
        packing : Packing
            The result of `packing` for this layer.

        Returns
        -------
        np.ndarray
            Packed weight.
        """

    def convolve(
        self,
        data: te.Tensor,
        weight: te.Tensor,
        convolution: Convolution,
        data_layout: Layout,
        packing: Packing,
    ) -> te.Tensor:
        """Return the convolution as a tensor expression.

        Parameters
        ----------
        data : te.Tensor
            Feature map in `data_layout`.
        weight : te.Tensor
            Weight as `pack_weight` returns it.
        convolution : Convolution
            The layer.
        data_layout : Layout
            Layout of the input.
        packing : Packing
            The result of `packing` for this layer.

        Returns
        -------
        te.Tensor
            Sums in `layout` of the output channels. Their dtype is `arithmetic.SUMS`.
        """

    def schedule(self, function: Schedule, vector: VectorUnit | GPU, knobs: Knobs) -> None:
        """Schedule that convolution in place, with the epilogue that was fused behind it."""

    def planes(self, convolution: Convolution) -> Planes:
        """Return how the input is laid out for sparse weights."""


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
        """Return the unscheduled kernel of one layer.

        Parameters
        ----------
        primitive : Primitive
            The algorithm.
        weight : np.ndarray
            Weight [K, C / groups, R, S].
        convolution : Convolution
            The layer.
        data_layout : Layout
            Layout of the input.
        dtype : str
            Dtype of the feature map: float32, float16, uint8 or int8.
        vector : VectorUnit or GPU
            The processor.
        knobs : Knobs
            Point of the search space.

        Returns
        -------
        Kernel
            The function and its constants.
        """

    def schedule(
        self,
        primitive: Primitive,
        function: Schedule,
        vector: VectorUnit | GPU,
        knobs: Knobs,
    ) -> None:
        """Schedule that kernel in place, with the epilogue that was fused behind it."""


def names() -> tuple[str, ...]:
    """Return the names of all primitives."""
    return registry.names("primitive")


def load(name: str) -> Primitive:
    """Import a primitive. Raise StudyError for an unknown name."""
    return cast(Primitive, registry.load("primitive", name))


def load_format(name: str) -> WeightFormat:
    """Import a weight format. Raise StudyError for an unknown name."""
    return cast(WeightFormat, registry.load("format", name))


def unsupported(
    plugin: Plugin, convolution: Convolution, dtype: str, vector: VectorUnit | GPU
) -> str | None:
    """Return why a primitive or a weight format declines a layer.

    Parameters
    ----------
    plugin : Primitive or WeightFormat
        It supports all layers unless it has a function `supports`, with the other parameters.
    convolution : Convolution
        The layer.
    dtype : str
        Dtype of the feature map: float32, float16, uint8 or int8.
    vector : VectorUnit or GPU
        The processor.

    Returns
    -------
    str or None
        The reason, None if the layer is supported.
    """
    supports: Any = getattr(plugin, "supports", None)
    reason: str | None = supports and supports(convolution, dtype, vector)
    return reason


def computes_itself(primitive: Primitive, function: Schedule) -> bool:
    """Return whether an unscheduled kernel of a primitive is its own algorithm.

    A primitive that hands some layers to another one has a function `computes_itself(function)`
    that tells their kernels apart. All kernels of the other primitives are their own.
    """
    own: Any = getattr(primitive, "computes_itself", None)
    return own is None or bool(own(function))
