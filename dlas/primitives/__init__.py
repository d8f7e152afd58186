"""Layer 4, algorithms and data formats: the convolution algorithms, one module each.

A primitive is a module of this package with

- `layout(channels, vector)`: how it wants feature maps of that many channels to lie in memory,
- `pack_weight(weight, convolution, data_layout, output_layout)`: the weight as its kernel reads it,
- `convolve(data, weight, convolution, data_layout, output_layout)`: the computation as a tensor expression,
- `schedule(function, vector)`: the default schedule of that computation with whatever was fused behind it.
"""

import importlib
from types import ModuleType

from dlas.errors import unknown

PRIMITIVES = ("direct", "gemm", "spatial_pack")


def load(name: str) -> ModuleType:
    """Return the module of the primitive `name`; raises StudyError for an unknown one."""
    if name not in PRIMITIVES:
        raise unknown("primitive", name, PRIMITIVES)
    return importlib.import_module(f"dlas.primitives.{name}")
