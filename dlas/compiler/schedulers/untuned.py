"""Untuned: each primitive's hand-written default schedule."""

from tvm.s_tir import Schedule

from dlas.compiler.between import schedule_between
from dlas.plugins import TuningPlugin
from dlas.primitives import tiling
from dlas.primitives.gpu import GPU
from dlas.primitives.knobs import attached
from dlas.primitives.plugin import Primitive, WeightFormat
from dlas.primitives.vector import VectorUnit

PLUGIN = TuningPlugin(label="untuned", order=1, fill="full", line="-")


def schedule(
    kernel: Schedule, primitive: Primitive, weight_format: WeightFormat, vector: VectorUnit | GPU
) -> None:
    """Schedule a convolution as its primitive does, and other kernels by `schedule_between`.

    The convolution carries the point of its search space.
    """
    if tiling.CONVOLUTION in tiling.block_names(kernel):
        weight_format.schedule(primitive, kernel, vector, attached(kernel))
    else:
        schedule_between(kernel, vector)
