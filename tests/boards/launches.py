"""Kernels for a GPU without the GPU: their source, and with what the host would launch them.

Both come out of the project's own passes; the launches are read off the host's code, arguments and
sizes included.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tvm
from tvm import tirx
from tvm.ir import Call, Var
from tvm.ir.instrument import pass_instrument
from tvm.s_tir.analysis import calculate_allocated_bytes
from tvm.target import Target
from tvm.tirx.build import codegen_build, split_host_device_mods

from dlas.compiler import pipeline

# Kernels in OpenCL and in CUDA, as TVM writes them.
DECLARATION = re.compile(r"^(?:__kernel|extern \"C\" __global__) void .*\);\n", re.MULTILINE)
DEFINITION = re.compile(
    r"^(?:__kernel|extern \"C\" __global__) void .*?(\w+)\([^(]*\) \{", re.MULTILINE
)


@dataclass(frozen=True)
class Launch:
    """A device kernel, its arguments, and its numbers of blocks and threads along x, y and z.

    An argument is the variable whose memory it is, or a number.
    """

    kernel: str
    arguments: tuple[Any, ...]
    blocks: tuple[int, ...]
    threads: tuple[int, ...]


@dataclass(frozen=True)
class HostFunction:
    """The host's part of one kernel of the compiler: its launches, parameters and workspaces."""

    parameters: tuple[Var, ...]
    workspaces: tuple[Var, ...]
    launches: tuple[Launch, ...]


@dataclass(frozen=True)
class Lowered:
    """A module's host functions, and its kernels' sources and bytes of shared memory.

    The preamble is what all sources begin with.
    """

    functions: Mapping[str, HostFunction]
    preamble: str
    sources: Mapping[str, str]
    shared_bytes: Mapping[str, int]


@pass_instrument
class AfterSplit:
    """Keeps the module after host and device are split, while host functions have buffers."""

    def run_after_pass(self, module: tvm.IRModule, info: Any) -> None:
        if info.name == "tirx.SplitHostDevice":
            self.module = module


def lower(module: tvm.IRModule, target: Target) -> Lowered:
    """Return a module's kernels as `compile_module` makes them; Relax functions are left out."""
    kernels = {
        variable: function
        for variable, function in module.functions_items()
        if isinstance(function, tirx.PrimFunc)
    }
    passes, _, finalize = tirx.get_tir_pipeline(pipeline.NAME)
    split = AfterSplit()
    config = {"tirx.disable_assert": True}
    with target, tvm.transform.PassContext(config=config, instruments=[split]):
        lowered = passes(tirx.transform.BindTarget(target)(tvm.IRModule(kernels)))
        ((_, device),) = split_host_device_mods(lowered)[1].items()
        device = finalize()(device)
        source = codegen_build(device, target).inspect_source()
    shared = {
        variable.name_hint: shared_bytes(function)
        for variable, function in device.functions_items()
    }
    names = [variable.name_hint for variable in kernels]
    functions = {name: host_function(split.module[name]) for name in names}
    preamble, bodies = sources(source)
    assert bodies.keys() == shared.keys()
    return Lowered(functions, preamble, bodies, shared)


def shared_bytes(kernel: tirx.PrimFunc) -> int:
    """Return the bytes of memory that the threads of a block share."""
    (scopes,) = calculate_allocated_bytes(kernel).values()
    return sum(int(size) for scope, size in scopes.items() if scope.startswith("shared"))


def host_function(function: tirx.PrimFunc) -> HostFunction:
    """Return what the host's part of a kernel does, after SplitHostDevice."""
    body = function.body
    statements = body.seq if isinstance(body, tirx.SeqStmt) else [body]
    owner = {parameter: parameter for parameter in function.params}
    workspaces, launches = [], []

    def argument(value: Any) -> Any:
        if isinstance(value, Call) and value.op.name == "tirx.buffer_data":
            return owner[value.args[0]]
        return value.value

    for statement in statements:
        if isinstance(statement, tirx.AllocBuffer):
            workspaces.append(statement.buffer)
            owner[statement.buffer] = statement.buffer
        elif isinstance(statement, tirx.DeclBuffer):
            owner[statement.buffer] = argument(statement.data)
        else:
            launches.append(launch(statement.value, argument))
    return HostFunction(tuple(function.params), tuple(workspaces), tuple(launches))


def launch(call: Call, argument: Any) -> Launch:
    assert call.op.name == "tirx.call_ffi_kernel", f"the host computes by itself: {call}"
    tags = [str(tag) for tag in call.attrs.launch_params]
    name, *arguments = call.args
    split = len(arguments) - len(tags)
    sizes = dict(zip(tags, (int(size) for size in arguments[split:]), strict=True))

    def along(kind: str) -> tuple[int, ...]:
        return tuple(sizes.pop(f"{kind}.{axis}", 1) for axis in "xyz")

    found = Launch(
        name.value, tuple(map(argument, arguments[:split])), along("blockIdx"), along("threadIdx")
    )
    assert not sizes, f"launched with what is unknown here: {sizes}"
    return found


def sources(source: str) -> tuple[str, dict[str, str]]:
    """Return the preamble that the kernels of a source share, and each kernel by its name."""
    without = DECLARATION.sub("", source)
    preamble, *kernels = re.split(
        r"^(?=// Function: |extern \"C\" __global__)", without, flags=re.M
    )
    return preamble, {DEFINITION.search(kernel)[1]: kernel for kernel in kernels}


def beyond_limits(lowered: Lowered, target: Target) -> list[str]:
    """Return the launches with more threads in a block or more shared memory than allowed."""
    threads = int(target.attrs["max_threads_per_block"])
    shared = int(target.attrs["max_shared_memory_per_block"])
    return [
        f"{launch.kernel}: {launch.threads} threads, {lowered.shared_bytes[launch.kernel]} bytes "
        f"shared"
        for function in lowered.functions.values()
        for launch in function.launches
        if math.prod(launch.threads) > threads or lowered.shared_bytes[launch.kernel] > shared
    ]


class Unseen:
    """Picks out the kernels that no module before has had."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def of(self, lowered: Lowered) -> list[str]:
        """Return the sources of a module's kernels that are new, whatever they are called."""
        new = []
        for name, source in lowered.sources.items():
            body = source.replace(name, "kernel")
            if body not in self.seen:
                self.seen.add(body)
                new.append(source)
        return new
