"""OpenCL kernels on this machine's CPU, by PoCL: blocks, threads, barriers, shared memory."""

import math
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tvm
from tvm import relax
from tvm.ir import Var
from tvm.target import Target

from dlas.compiler.interpreter import Interpreter, integers
from dlas.compiler.network import Network
from tests.boards.launches import Lowered, lower

# Neither reads what another run has built, nor writes where nobody expects it.
os.environ.update(POCL_KERNEL_CACHE="0", PYOPENCL_NO_CACHE="1")
# The system's PoCL as well: that of PyPI is older and does not know the latest CPUs.
VENDORS = Path("/etc/OpenCL/vendors")
if (VENDORS / "pocl.icd").exists():
    os.environ["OCL_ICD_VENDORS"] = str(VENDORS)

# isort: split
import pyopencl as cl  # noqa: E402

# No warnings, and no optimization, which takes longer than the kernels do. Products are still added
# with one rounding.
OPTIONS = "-w -cl-opt-disable"
POISON = 0xFF  # not a number, or -1: what memory holds that no kernel has written
GUARD = 4096  # bytes behind each buffer, that no kernel may write

# PoCL's CPU has no arithmetic in half precision: kernels are run with these numbers in single
# precision. So every index and every conversion is checked; rounding is not.
WIDTHS = ("", "2", "3", "4", "8", "16")
WITHOUT_HALVES = "".join(
    f"#define half{width} float{width}\n#define convert_half{width} convert_float{width}\n"
    for width in WIDTHS
)


@cache
def context() -> cl.Context:
    """Return the CPU of a PoCL that knows it; skip the test where there is none."""
    for platform in cl.get_platforms():
        if platform.name == "Portable Computing Language":
            found = cl.Context(platform.get_devices())
            with suppress(cl.RuntimeError):
                cl.Program(found, "__kernel void nothing(void) {}").build()
                return found
    pytest.skip("PyPI's PoCL does not know this CPU; Debian's pocl-opencl-icd does")


@cache
def queue() -> cl.CommandQueue:
    return cl.CommandQueue(context())


def fp16() -> bool:
    """Return whether the device computes in half precision."""
    (device,) = context().devices
    return "cl_khr_fp16" in device.extensions.split()


def stored(dtype: str) -> np.dtype:
    """Return the dtype in which the device stores the numbers of a kernel."""
    return np.dtype("float32" if dtype == "float16" and not fp16() else dtype)


def build(preamble: str, sources: Iterable[str]) -> cl.Program:
    """Build kernels; pyopencl's error holds the compiler's message and the source."""
    source = "".join((preamble, *sources))
    if not fp16():
        source = f"#define cl_khr_fp16 1\n{WITHOUT_HALVES}{source}"
    return cl.Program(context(), source).build(OPTIONS)


class Memory:
    """A device buffer of a host variable, followed by bytes that no kernel may write."""

    def __init__(self, variable: Var, values: np.ndarray | None = None) -> None:
        self.shape, self.dtype = extents(variable), str(variable.dtype)
        if values is not None:
            assert values.shape == self.shape and str(values.dtype) == self.dtype
            content = values.astype(stored(self.dtype)).tobytes()
        else:
            content = bytes([POISON]) * (math.prod(self.shape) * stored(self.dtype).itemsize)
        flags = cl.mem_flags.READ_WRITE | cl.mem_flags.COPY_HOST_PTR
        self.size = len(content)
        guarded = np.frombuffer(content + bytes([POISON]) * GUARD, np.uint8)
        self.buffer = cl.Buffer(context(), flags, hostbuf=guarded)

    def read(self) -> np.ndarray:
        """Return the content of the buffer, in the dtype of the device."""
        content = np.empty(self.size + GUARD, np.uint8)
        cl.enqueue_copy(queue(), content, self.buffer)
        assert (content[self.size :] == POISON).all(), "a kernel wrote behind the end of a buffer"
        return content[: self.size].view(stored(self.dtype)).reshape(self.shape)


def extents(variable: Var) -> tuple[int, ...]:
    """Return the shape of a buffer."""
    return integers(variable.shape)


class Kernels:
    """The functions of a module, ready to run."""

    def __init__(self, lowered: Lowered) -> None:
        self.functions = lowered.functions
        program = build(lowered.preamble, lowered.sources.values())
        self.kernels = {name: cl.Kernel(program, name) for name in lowered.sources}

    def run(self, name: str, inputs: Sequence[np.ndarray]) -> np.ndarray:
        """Run a function on arrays of its shapes and types; return the last, its output."""
        function = self.functions[name]
        *arguments, output = function.parameters
        memory = {
            **{each: Memory(each, values) for each, values in zip(arguments, inputs, strict=True)},
            **{each: Memory(each) for each in (*function.workspaces, output)},
        }
        for launch in function.launches:
            operands = [
                memory[each].buffer if isinstance(each, Var) else np.int32(each)
                for each in launch.arguments
            ]
            sizes = [
                blocks * threads
                for blocks, threads in zip(launch.blocks, launch.threads, strict=True)
            ]
            self.kernels[launch.kernel](queue(), sizes, launch.threads, *operands)
        results = {each: held.read() for each, held in memory.items()}
        return results[output].astype(str(output.dtype))


class Calls(Interpreter):
    """A scheduled network, run kernel by kernel."""

    def __init__(self, module: tvm.IRModule, target: Target) -> None:
        super().__init__(Network(module, {}))
        self.kernels = Kernels(lower(module, target))
        self.handlers = {
            "relax.call_tir": self.call,
            "relax.memory.view": lambda call: self.evaluate(call.args[0]).reshape(
                integers(call.ty.shape)
            ),
            "relax.null_value": lambda call: None,
        }

    def call(self, call: relax.Call) -> np.ndarray:
        """What a kernel makes of its operands."""
        return self.kernels.run(call.args[0].name_hint, self.evaluate(call.args[1]))


def run(function: tvm.tirx.PrimFunc, inputs: Sequence[np.ndarray], target: Target) -> np.ndarray:
    """Run a scheduled kernel, whose last argument is its output, once."""
    module = tvm.IRModule({"main": function.with_attr("global_symbol", "main")})
    return Kernels(lower(module, target)).run("main", inputs)


def run_network(module: tvm.IRModule, images: np.ndarray, target: Target) -> np.ndarray:
    """Return the logits [N, classes] of images [N, C, H, W], float32, run one by one."""
    calls = Calls(module, target)
    return np.concatenate([calls.interpret(image[None]) for image in images])
