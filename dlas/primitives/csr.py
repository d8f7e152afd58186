"""CSR, compressed sparse row: one output channel is a row of the matrix, and each non-zero has an offset of its own."""

from functools import partial

from dlas.plugins import FormatPlugin
from dlas.primitives import sparse_kernel

PLUGIN = FormatPlugin(label="CSR", order=2, sparse=True, edge="#000000")

layout = sparse_kernel.layout
kernel = partial(sparse_kernel.kernel, block=1)
schedule = sparse_kernel.schedule
