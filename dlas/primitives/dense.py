"""Dense: every weight is stored and multiplied, zero or not."""

import numpy as np
from tvm import te
from tvm.s_tir import Schedule

from dlas.plugins import FormatPlugin
from dlas.primitives.convolution import Convolution
from dlas.primitives.gpu import GPU
from dlas.primitives.kernel import Kernel
from dlas.primitives.knobs import Knobs
from dlas.primitives.layout import Layout
from dlas.primitives.plugin import Primitive
from dlas.primitives.vector import VectorUnit

PLUGIN = FormatPlugin(label="dense", order=1)


def layout(primitive: Primitive, channels: int, vector: VectorUnit | GPU) -> Layout:
    """Return the primitive's own layout."""
    return primitive.layout(channels, vector)


def kernel(
    primitive: Primitive,
    weight: np.ndarray,
    convolution: Convolution,
    data_layout: Layout,
    dtype: str,
    vector: VectorUnit | GPU,
    knobs: Knobs,
) -> Kernel:
    """Return the kernel of one layer. Its constant is the weight as the primitive packs it."""
    packing = primitive.packing(convolution, vector, knobs)
    packed = primitive.pack_weight(weight, convolution, data_layout, packing)
    data = te.placeholder(data_layout.shape(*convolution.in_shape), dtype, name="data")
    operand = te.placeholder(packed.shape, str(packed.dtype), name="weight")
    output = primitive.convolve(data, operand, convolution, data_layout, packing)
    return Kernel(
        te.create_prim_func([data, operand, output], index_dtype_override="int64"),
        (packed,),
        primitive.layout(convolution.out_channels, vector),
    )


def schedule(
    primitive: Primitive, function: Schedule, vector: VectorUnit | GPU, knobs: Knobs
) -> None:
    """Apply the primitive's schedule."""
    primitive.schedule(function, vector, knobs)
