"""BSR, block sparse row: four neighbouring output channels are a row, and a block of their weights has one offset."""

from functools import partial

from dlas.plugins import FormatPlugin
from dlas.primitives import sparse_kernel

PLUGIN = FormatPlugin(label="BSR", order=3, sparse=True, block=4, edge="#d62728")

layout = sparse_kernel.layout
kernel = partial(sparse_kernel.kernel, block=4)
schedule = sparse_kernel.schedule
