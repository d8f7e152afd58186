"""The kernel of one layer before it is scheduled, and helpers to write kernels loop by loop."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import tirx
from tvm.script.ir_builder import tirx as T  # noqa: N812 (the name that TVM's scripts give it)

from dlas.primitives.layout import Layout

# Name of the block that multiplies and accumulates.
CONVOLUTION = "convolution"


@dataclass(frozen=True)
class Kernel:
    """An unscheduled kernel.

    Attributes
    ----------
    function : tirx.PrimFunc
        Function of the feature map, the constants and, as last argument, the output.
    constants : tuple of np.ndarray
        The weight as the kernel reads it.
    layout : Layout
        Layout of the output.
    """

    function: tirx.PrimFunc
    constants: tuple[np.ndarray, ...]
    layout: Layout


def int64_extents(shape: Sequence[int]) -> list[tirx.IntImm]:
    """Return a shape as int64, which Relax indexes with in the operators fused behind a kernel."""
    return [tirx.IntImm("int64", number) for number in shape]


def argument(name: str, shape: Sequence[int], dtype: str) -> Any:
    """Declare an argument of a kernel inside an `IRBuilder` and return its buffer."""
    return T.arg(name, T.buffer(int64_extents(shape), dtype))
