"""A workload of the auto-scheduler: the bare loops of a convolution with its fused epilogue."""

import hashlib
import json
import re
from typing import Any

import tvm_ffi
from tvm import tirx
from tvm.s_tir import Schedule
from tvm.s_tir.schedule import Trace
from tvm.target import Target

from dlas.primitives import dot_product, tiling
from dlas.primitives.gpu import gpu, is_gpu
from dlas.primitives.instruction_sets import extension

# The label of a layer in the names of its kernels: kind and shape, and 16 hexadecimal digits.
LABEL = re.compile(r"(?:fused_)?(.*_[0-9a-f]{16})(?=_|$)")


def named_main(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """Return a kernel under the name "main"."""
    return function.with_attr("global_symbol", "main")


def workload_key(function: tirx.PrimFunc) -> str:
    """Return the key of an unscheduled kernel, equal in every process and in every network.

    Kernels of the same key compute the same with blocks of the same names, so the trace of one
    schedules the other.
    """
    names = json.dumps(tiling.block_names(Schedule(function)))
    content = tvm_ffi.structural_hash(named_main(function))
    return f"{content:016x}-{hashlib.sha256(names.encode()).hexdigest()[:8]}"


def dot_products(target: Target) -> list[str]:
    """Register a target's int8 dot products as instructions of traces.

    Returns
    -------
    list of str
        Names of the TensorIR intrinsics, the widest first; empty without a dot product.
    """
    if is_gpu(target):
        return [dot_product.of_four("shared")] if gpu(target, "int8").dot_product else []
    used = extension(target, "int8")
    if not used.dot_product:
        return []
    lanes = [width for width in (16, 8, 4) if width <= used.lanes]
    if "{bits}" not in used.dot_product:
        lanes = lanes[:1]
    return [
        dot_product.intrinsic(used.dot_product, width, used.feature_map, "global")
        for width in lanes
    ]


def apply_trace(function: tirx.PrimFunc, trace: list[Any], target: Target) -> Schedule:
    """Return the schedule of an unscheduled kernel by a JSON trace that was found on `target`."""
    # A trace names dot products, and another process may have found it.
    dot_products(target)
    schedule = Schedule(function)
    Trace.apply_json_to_schedule(trace, schedule)
    return schedule


def label_of(name: str) -> str | None:
    """Return the label of the layer in the name of a kernel, None for a kernel of no layer."""
    found = LABEL.match(name)
    return found and found[1]
