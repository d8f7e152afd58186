"""Build a network into a library for one target."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import tvm
import tvm_ffi
from tvm import relax, tirx
from tvm.backend import loader
from tvm.s_tir import Schedule
from tvm.target import Target

from dlas import primitives, status
from dlas.compiler.choices import Choices
from dlas.compiler.device import Device
from dlas.compiler.kernel_cache import KernelCache
from dlas.compiler.library import CompiledNetwork, link, load_library
from dlas.compiler.lowering import by_default, lower
from dlas.compiler.network import Network
from dlas.compiler.pipeline import compile_calls, compile_module
from dlas.compiler.schedulers import untuned
from dlas.compiler.schedulers.plugin import Scheduler, unsupported
from dlas.compiler.workload import apply_trace
from dlas.errors import UnsupportedError
from dlas.files import atomic_write, code_folder
from dlas.primitives import tiling
from dlas.primitives.gpu import is_gpu
from dlas.primitives.plugin import computes_itself
from dlas.primitives.vector import computes, processor

# LLVM's level 3 makes kernels no faster here, as their loops are already unrolled, and can take
# minutes for one kernel.
OPTIMIZATION_LEVEL = 2
# Attribute of a scheduled module: number of layers that the primitive computes itself instead of
# leaving them to another one.
PRIMITIVE_LAYERS = "primitive_layers"


@dataclass(frozen=True)
class Library:
    """A compiled network that is not on disk yet, and its build record.

    Attributes
    ----------
    executable : VMExecutable
        TVM's executable.
    target : dict
        The complete TVM target.
    kernels, convolutions : int
        Number of kernels, and of the convolutions among them.
    widened : bool
        Whether float16 is widened to float32 because the target lacks float16 arithmetic.
    seconds : float
        Build time.
    scheduled_layers : int, optional
        Number of layers that use a schedule found by a search.
    primitive_layers : int, optional
        Number of layers that the primitive computes itself.
    objects : tuple of Path
        Object files of the kernels, where they are not in the executable.
    """

    executable: Any
    target: dict[str, Any]
    kernels: int
    convolutions: int
    widened: bool
    seconds: float
    scheduled_layers: int | None = None
    primitive_layers: int | None = None
    objects: tuple[Path, ...] = ()

    def export(self, path: str | Path, linker: Sequence[str] = ()) -> None:
        """Write a shared library atomically; `linker` is as in `link`."""
        with atomic_write(path) as temporary:
            self.executable.export_library(
                str(temporary),
                fcompile=partial(link, linker=linker),
                addons=list(map(str, self.objects)),
            )

    def load(self, device: Device | None = None) -> CompiledNetwork:
        """Return the network ready to run in this process on a local device, by default the CPU."""
        if not self.objects:
            return CompiledNetwork(self.executable, device)
        with code_folder() as folder:
            file = folder / "network.so"
            self.export(file, device.linker if device else ())
            return load_library(file, device)

    def record(self) -> dict[str, Any]:
        """Return the build record: status, target, counts and seconds.

        The status is `widened` where the target lacks float16 arithmetic.
        """
        return {
            "status": status.WIDENED if self.widened else status.OK,
            "target": self.target,
            "kernels": self.kernels,
            "convolutions": self.convolutions,
            "scheduled_layers": self.scheduled_layers,
            "primitive_layers": self.primitive_layers,
            "seconds": round(self.seconds, 3),
        }


def build_library(
    network: Network,
    primitive: str,
    weight_format: str,
    target: dict[str, Any],
    choices: Mapping[str, Any] | None = None,
    kernels: Path | None = None,
    scheduler: Scheduler = untuned,
) -> Library:
    """Compile a network with one primitive.

    Parameters
    ----------
    network : Network
        The network with its parameters.
    primitive, weight_format : str
        Algorithm of its layers and format of their weights.
    target : dict
        The complete TVM target.
    choices : mapping, optional
        Search results for its layers, see `Choices`. Without it all layers have default schedules.
    kernels : Path, optional
        Folder of a `KernelCache`. Kernels for a GPU are not cached.
    scheduler : Scheduler
        A module of `dlas.compiler.schedulers`.

    Returns
    -------
    Library
        The compiled network.

    Raises
    ------
    StudyError
        For an unknown primitive or format, a network that they cannot express, and a layer that was
        not tuned.
    UnsupportedError
        For a network that the scheduler declines, or of which the primitive computes no layer.
    """
    start = time.perf_counter()
    compiled_for = complete(target)
    found = None if choices is None else Choices(choices, target)
    module = schedule_network(network, primitive, weight_format, compiled_for, scheduler, found)
    own = int(module.attrs[PRIMITIVE_LAYERS])
    objects: tuple[Path, ...] = ()
    if kernels is None or is_gpu(compiled_for):
        executable = compile_module(module, compiled_for)
    else:
        cache = KernelCache(kernels, compiled_for)
        module = _named_by_content(module, cache)
        names = kernel_names(module)
        objects = tuple(sorted({cache.object_file(name, module[name]) for name in names}))
        executable = compile_calls(module, compiled_for)
    return Library(
        executable,
        target,
        len(kernel_names(module)),
        sum(tiling.CONVOLUTION in name for name in kernel_names(module)),
        not computes(compiled_for, network.dtype),
        time.perf_counter() - start,
        None if found is None else found.scheduled,
        own,
        objects,
    )


def _named_by_content(module: tvm.IRModule, cache: KernelCache) -> tvm.IRModule:
    """Return a module whose kernels have the names of a cache. Equal kernels become one."""
    names = {name: cache.name(name, module[name]) for name in kernel_names(module)}
    variables = {new: tvm.ir.GlobalVar(new) for new in names.values()}
    for old, new in names.items():
        relax.expr._update_type(variables[new], module.get_global_var(old).ty)

    def renamed(variable: tvm.ir.GlobalVar) -> tvm.ir.GlobalVar:
        return variables[names[variable.name_hint]]

    functions = {
        variables[new]: module[old].with_attr("global_symbol", new) for old, new in names.items()
    }
    main = tvm_ffi.structural_map(module["main"], (tvm.ir.GlobalVar, renamed))
    return tvm.IRModule({module.get_global_var("main"): main, **functions}, attrs=module.attrs)


def complete(target: Mapping[str, Any]) -> Target:
    """Return a TVM target with the optimization level of all code, and load its GPU backend."""
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
    weight_format: str,
    target: Target,
    scheduler: Scheduler = untuned,
    choices: Choices | None = None,
) -> tvm.IRModule:
    """Return the network as scheduled kernels and the function `main` that calls them.

    Parameters
    ----------
    network : Network
        The network with its parameters.
    primitive, weight_format : str
        Algorithm of its layers and format of their weights.
    target : Target
        The target that `complete` returns.
    scheduler : Scheduler
        A module of `dlas.compiler.schedulers`.
    choices : Choices, optional
        Search results for its layers.

    Returns
    -------
    tvm.IRModule
        The module. Its attribute `PRIMITIVE_LAYERS` is the number of layers that the primitive
        computes itself.

    Raises
    ------
    UnsupportedError
        For a network that the scheduler declines, or of which the primitive computes no layer.
    """
    algorithm, stored = primitives.load(primitive), primitives.load_format(weight_format)
    vector = processor(target, network.dtype)
    if reason := unsupported(scheduler, stored, vector):
        raise UnsupportedError(reason)
    decisions_of = choices.decisions_of if choices else by_default
    module = fuse_operators(lower(network, algorithm, stored, vector, decisions_of))
    calls = kernel_calls(module)
    own = 0
    for name in kernel_names(module):
        schedule = Schedule(module[name])
        trace = None
        if tiling.CONVOLUTION in tiling.block_names(schedule):
            own += calls[name] if computes_itself(algorithm, schedule) else 0
            trace = choices.trace(name, module[name], calls[name]) if choices else None
        if trace:
            schedule = apply_trace(module[name], trace, target)
        else:
            scheduler.schedule(schedule, algorithm, stored, vector)
        module[name] = schedule.mod["main"].with_attr("global_symbol", name)
    if not own:
        raise UnsupportedError(
            f"it has no layer that {primitive} computes; allowed: networks with one"
        )
    return module.with_attr(PRIMITIVE_LAYERS, own)


def kernel_names(module: tvm.IRModule) -> list[str]:
    """Return the names of a module's kernels: all its functions but the Relax function."""
    return [
        variable.name_hint
        for variable, function in module.functions_items()
        if isinstance(function, tirx.PrimFunc)
    ]


def kernel_calls(module: tvm.IRModule) -> Counter[str]:
    """Return how often a module's Relax function calls each kernel."""
    names = set(kernel_names(module))
    calls: Counter[str] = Counter()

    def count(call: relax.Call) -> None:
        called = call.args[0] if len(call.args) else None
        if isinstance(called, tvm.ir.GlobalVar) and called.name_hint in names:
            calls[called.name_hint] += 1

    tvm_ffi.structural_walk(module["main"], (relax.Call, count))
    return calls


def fuse_operators(module: tvm.IRModule) -> tvm.IRModule:
    """Return the module with operators lowered to loop nests and fused into kernels."""
    passes = [
        relax.transform.LegalizeOps(),
        relax.transform.AnnotateTIROpPattern(),
        relax.transform.FuseOps(),
        relax.transform.FuseTIR(),
        relax.transform.DeadCodeElimination(),
    ]
    return tvm.transform.Sequential(passes)(module)
