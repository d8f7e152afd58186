"""The kernel of one layer, before it is scheduled; arguments and extents of kernels that are written loop by loop."""

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
    """A function of the feature map and of constants, whose last argument is its output, and the output's layout."""

    function: tirx.PrimFunc
    constants: tuple[np.ndarray, ...]
    layout: Layout


def int64_extents(shape: Sequence[int]) -> list[tirx.IntImm]:
    """Return a shape in int64, as Relax counts: what is fused behind a kernel must index with the same type."""
    return [tirx.IntImm("int64", number) for number in shape]


def argument(name: str, shape: Sequence[int], dtype: str) -> Any:
    """Declare an argument of a kernel that is being written."""
    return T.arg(name, T.buffer(int64_extents(shape), dtype))
