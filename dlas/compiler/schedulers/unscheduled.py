"""Unscheduled: the bare loops, lowered by TVM's own passes and compiled by LLVM."""

from tvm.s_tir import Schedule

from dlas.plugins import TuningPlugin
from dlas.primitives.gpu import GPU
from dlas.primitives.plugin import Primitive, WeightFormat
from dlas.primitives.vector import VectorUnit

PLUGIN = TuningPlugin(label="unscheduled", order=0, slow=True, fill="left", line=":")


def supports(weight_format: WeightFormat, vector: VectorUnit | GPU) -> str | None:
    """Decline GPUs."""
    return "bare loops give a GPU no threads" if isinstance(vector, GPU) else None


def schedule(
    kernel: Schedule, primitive: Primitive, weight_format: WeightFormat, vector: VectorUnit | GPU
) -> None:
    """Leave the loops as they are."""
