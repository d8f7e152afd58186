"""Layer 4, algorithms and data formats: the convolution algorithms, one module each.

A primitive is a module of this package with

- `layout(channels, vector)`: how it wants feature maps of that many channels to lie in memory,
- `packing(convolution, vector, decide)`: how its kernel of one layer reads the weight,
- `pack_weight(weight, convolution, data_layout, packing)`: the weight as the kernel reads it,
- `convolve(data, weight, convolution, data_layout, packing)`: the computation as a tensor expression,
- `schedule(function, vector, decide)`: the schedule of that computation with whatever was fused behind it; it asks
  `decide`, see `Decisions`, for what it leaves open.
- `planes(convolution)`: how it lays out the input for weights in CSR.

`vector` is what kernels are made for: the `VectorUnit` of a CPU, or a `GPU`, whose threads share a layer by a `Grid`.

A format is a module too: how the weight is stored, and the kernel that reads it. It has

- `layout(primitive, channels, vector)`: the layout of feature maps under a primitive,
- `kernel(primitive, weight, convolution, data_layout, dtype, vector, decide)`: the `Kernel` of one layer,
- `schedule(primitive, function, vector, decide)`: its schedule.
"""

from types import ModuleType

from dlas import registry


def names() -> tuple[str, ...]:
    """Return the names of all primitives."""
    return registry.names("primitive")


def load(name: str) -> ModuleType:
    """Return the module of the primitive `name`; raises StudyError for an unknown one."""
    return registry.load("primitive", name)


def load_format(name: str) -> ModuleType:
    """Return the module of the format `name`; raises StudyError for an unknown one."""
    return registry.load("format", name)
