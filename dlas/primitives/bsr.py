"""BSR, block sparse row: one offset for a block of weights of four neighbouring output channels."""

import numpy as np

from dlas.plugins import FormatPlugin
from dlas.primitives import sparse_kernel
from dlas.primitives.convolution import Convolution
from dlas.primitives.gpu import GPU
from dlas.primitives.kernel import Kernel
from dlas.primitives.knobs import Knobs
from dlas.primitives.layout import Layout
from dlas.primitives.plugin import Primitive
from dlas.primitives.vector import VectorUnit

PLUGIN = FormatPlugin(label="BSR", order=3, sparse=True, block=4, edge="#d62728")

layout = sparse_kernel.layout
schedule = sparse_kernel.schedule


def kernel(
    primitive: Primitive,
    weight: np.ndarray,
    convolution: Convolution,
    data_layout: Layout,
    dtype: str,
    vector: VectorUnit | GPU,
    knobs: Knobs,
) -> Kernel:
    """Return the kernel of one layer. A row of its matrix is a block of output channels."""
    return sparse_kernel.kernel(
        primitive, weight, convolution, data_layout, dtype, vector, knobs, block=4
    )
