"""The kernel of one layer, before it is scheduled."""

from dataclasses import dataclass

import numpy as np
from tvm import tirx

from dlas.primitives.layout import Layout

# Name of the block that multiplies and accumulates.
CONVOLUTION = "convolution"


@dataclass(frozen=True)
class Kernel:
    """A function of the feature map and of constants, whose last argument is its output, and the output's layout."""

    function: tirx.PrimFunc
    constants: tuple[np.ndarray, ...]
    layout: Layout
