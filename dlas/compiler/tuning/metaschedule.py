"""MetaSchedule, TVM's tuner, without its import of all tensor intrinsics."""

import sys
from types import ModuleType

from tvm.s_tir import meta_schedule

# TuneContext imports this module for its side effects. They take 20 s of CPU and register
# instructions that no layer here uses.
sys.modules.setdefault("tvm.s_tir.tensor_intrin", ModuleType("tvm.s_tir.tensor_intrin"))

__all__ = ["meta_schedule"]
