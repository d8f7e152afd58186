"""Layer 5, systems software: from a network to a library for one target."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import tvm
from tvm import relax, tirx
from tvm.backend import loader
from tvm.s_tir import Schedule
from tvm.target import Target

from dlas import primitives
from dlas.compiler.layer import Chosen, Layer, schedule_kernel, workload_hash
from dlas.compiler.library import Board, CompiledNetwork, link
from dlas.compiler.lowering import Decide, by_default, lower
from dlas.compiler.network import Network
from dlas.compiler.pipeline import compile_module
from dlas.compiler.schedules import schedule_between
from dlas.files import whole
from dlas.primitives import tiling
from dlas.primitives.gpu import is_gpu
from dlas.primitives.vector import computes, processor

# LLVM's level 3 makes kernels no faster here (the loops are written out already) and can take minutes for one kernel.
OPTIMIZATION_LEVEL = 2


@dataclass(frozen=True)
class Library:
    """A compiled network that is not on disk yet, and how it was made."""

    executable: Any
    target: dict[str, Any]
    kernels: int
    convolutions: int
    emulated: bool
    seconds: float
    tuned_layers: int | None = None

    def export(self, path: str | Path, linker: Sequence[str] = ()) -> None:
        """Write a shared library, whole or not at all; `linker` is as in `link`."""
        with whole(path) as temporary:
            self.executable.export_library(str(temporary), fcompile=partial(link, linker=linker))

    def load(self, board: Board | None = None) -> CompiledNetwork:
        """Return the network ready to run in this process, on a board of this machine; on its CPU without one."""
        return CompiledNetwork(self.executable, board)

    def record(self) -> dict[str, Any]:
        """Return what is worth knowing of the build: target, counts, seconds.

        The status is "emulated" where the target has no arithmetic on the network's numbers and widens them.
        """
        return {
            "status": "emulated" if self.emulated else "ok",
            "target": self.target,
            "kernels": self.kernels,
            "convolutions": self.convolutions,
            "tuned_layers": self.tuned_layers,
            "seconds": round(self.seconds, 3),
        }


def build_library(
    network: Network,
    primitive: str,
    format: str,
    target: dict[str, Any],
    choices: Mapping[str, Any] | None = None,
) -> Library:
    """Compile a network with one primitive: each layer by its choice, of those that tuning made, or by default.

    Raises StudyError for an unknown primitive or format and for a network that it cannot express.
    """
    start = time.perf_counter()
    compiled_for = complete(target)
    tuned = 0

    def decide(layer: Layer) -> Chosen:
        nonlocal tuned
        if not choices:
            return {}
        chosen: Chosen = choices.get(workload_hash(layer, target), {}).get("decisions", {})
        tuned += bool(chosen)
        return chosen

    module = schedule_network(network, primitive, format, compiled_for, decide)
    kernels = kernel_names(module)
    executable = compile_module(module, compiled_for)
    convolutions = sum(tiling.CONVOLUTION in name for name in kernels)
    return Library(
        executable,
        target,
        len(kernels),
        convolutions,
        not computes(compiled_for, network.dtype),
        time.perf_counter() - start,
        tuned if choices is not None else None,
    )


def complete(target: Mapping[str, Any]) -> Target:
    """Return a target with what all code is compiled with, and have TVM know its kind."""
    described = dict(target)
    host = described.pop("host", None)
    whole_target = (
        Target({"opt-level": OPTIMIZATION_LEVEL, **described})
        if host is None
        else Target(described, Target({"opt-level": OPTIMIZATION_LEVEL, **host}))
    )
    if is_gpu(whole_target):
        loader.load(whole_target.kind.name)
    return whole_target


def schedule_network(
    network: Network,
    primitive: str,
    format: str,
    target: Target,
    decide: Decide = by_default,
) -> tvm.IRModule:
    """Return the network as scheduled kernels and the function `main` that calls them."""
    algorithm, stored = primitives.load(primitive), primitives.load_format(format)
    vector = processor(target, network.dtype)
    module = fuse_operators(lower(network, algorithm, stored, vector, decide))
    for name in kernel_names(module):
        schedule = Schedule(module[name])
        if tiling.CONVOLUTION in tiling.block_names(schedule):
            schedule_kernel(algorithm, stored, schedule, vector)
        else:
            schedule_between(schedule, vector)
        module[name] = schedule.mod["main"].with_attr("global_symbol", name)
    return module


def kernel_names(module: tvm.IRModule) -> list[str]:
    """Return the names of a module's kernels, which is all but its Relax function."""
    return [
        variable.name_hint
        for variable, function in module.functions_items()
        if isinstance(function, tirx.PrimFunc)
    ]


def fuse_operators(module: tvm.IRModule) -> tvm.IRModule:
    """Return the module with each operator a loop nest, and those fused that run as one kernel."""
    passes = [
        relax.transform.LegalizeOps(),
        relax.transform.AnnotateTIROpPattern(),
        relax.transform.FuseOps(),
        relax.transform.FuseTIR(),
        relax.transform.DeadCodeElimination(),
    ]
    return tvm.transform.Sequential(passes)(module)
