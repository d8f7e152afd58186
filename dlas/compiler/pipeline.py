"""Compile scheduled kernels to machine code, by TVM's passes and three passes that they lack."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import tvm
import tvm_ffi
from tvm import relax, tirx
from tvm.relax import VMExecutable, vm_build
from tvm.s_tir import SBlockRealize
from tvm.s_tir.pipeline import default_s_tir_pipeline
from tvm.target import Target, codegen
from tvm.tirx.compilation_pipeline import register_tir_pipeline

from dlas.compiler.normalization import FENCE
from dlas.compiler.quantization import ROUND
from dlas.primitives import tiling

NAME = "dlas"
# Locality argument of LLVM's prefetch intrinsic: keep the line in the nearest cache.
NEAREST_CACHE = 3
# Access and cache arguments of LLVM's prefetch intrinsic.
READ, DATA = 0, 1
LINE_BYTES = 64
YES = tirx.const(True, "bool")


def compile_module(module: tvm.IRModule, target: Target) -> Any:
    """Compile scheduled kernels, and the Relax function that calls them if there is one.

    Kernels have no checks of their arguments, which would slow down building: only the network
    calls them, and it checks its image.
    """
    with _scope(target):
        return tvm.compile(module, target=target, tir_pipeline=NAME)


def compile_kernel(function: tirx.PrimFunc, target: Target) -> Any:
    """Compile one scheduled kernel for a CPU, named by its attribute "global_symbol"."""
    name = str(function.attrs["global_symbol"])
    with _scope(target):
        return tirx.build(tvm.IRModule({name: function}), target=target, pipeline=NAME)


def compile_calls(module: tvm.IRModule, target: Target) -> Any:
    """Compile the Relax function of a module of scheduled kernels for a CPU, without the kernels.

    They are linked in when the executable is exported.
    """
    with _scope(target):
        builder = relax.ExecBuilder()
        vm_build._vmcodegen(builder, relax.get_pipeline("default")(module), "bytecode")
        # An executable is exported only with some machine code in it.
        machine_code = compile_kernel(_nothing(), target)
        return VMExecutable(vm_build._ffi_api.VMLink(builder, target, machine_code, [], {}))


def _nothing() -> tirx.PrimFunc:
    """Return a kernel that does nothing."""
    body = tirx.Evaluate(tirx.const(0, "int32"))
    return tirx.PrimFunc([], body).with_attrs({"global_symbol": "nothing", "s_tir": True})


@contextmanager
def _scope(target: Target) -> Iterator[None]:
    # The compiler of CUDA reads the target in scope. Without one it would ask the GPU.
    with target, tvm.transform.PassContext(config={"tirx.disable_assert": True}):
        yield


def _pipeline() -> tuple[Any, Any, Any]:
    standard, for_host, for_device = default_s_tir_pipeline()

    @tvm.transform.module_pass(opt_level=0)
    def lower(module: tvm.IRModule, _: Any) -> tvm.IRModule:
        module = _each_kernel({"llvm": prefetch_weights, **ROUNDING}, module)
        return _each_kernel({"llvm": keep_on_stack}, standard(module))

    return lower, for_host, for_device


def _each_kernel(rewrites: Mapping[str, Any], module: tvm.IRModule) -> tvm.IRModule:
    """Rewrite the body of each kernel by the rewrite for its target's kind, if there is one."""
    for variable, function in module.functions_items():
        if isinstance(function, tirx.PrimFunc):
            rewrite = rewrites.get(function.attrs["target"].kind.name, lambda body: body)
            module[variable] = function.with_body(rewrite(function.body))
    return module


def round_in_cuda(body: Any) -> Any:
    """Return a kernel that rounds with functions of CUDA, which the compiler never contracts.

    __fmul_rn is never merged into a multiply-add (CUDA C++ Programming Guide, "Mathematical
    functions").
    """

    def product(value: Any) -> Any:
        if isinstance(value, tirx.Mul):
            return tirx.call_pure_extern("float32", "__fmul_rn", value.a, value.b)
        return value

    return _replace_intrinsics(
        body, {FENCE: product, ROUND: lambda real: tirx.call_pure_extern("float32", "rintf", real)}
    )


def round_in_opencl(body: Any) -> Any:
    """Return a kernel that rounds with functions of OpenCL C.

    Multiplications and additions are contracted within an expression (OpenCL C 3.0, section
    6.13.4). Reinterpreting bits as another type ends the expression.
    """

    def product(value: Any) -> Any:
        bits = tirx.call_pure_extern("int32", "as_int", value)
        return tirx.call_pure_extern("float32", "as_float", bits)

    return _replace_intrinsics(
        body, {FENCE: product, ROUND: lambda real: tirx.call_pure_extern("float32", "rint", real)}
    )


ROUNDING = {"cuda": round_in_cuda, "opencl": round_in_opencl}


def _replace_intrinsics(body: Any, replacements: Mapping[str, Any]) -> Any:
    """Return a kernel with some LLVM intrinsics of one argument replaced."""
    numbers = {codegen.llvm_lookup_intrinsic_id(name): new for name, new in replacements.items()}

    def replace(call: Any) -> Any:
        if str(getattr(call.op, "name", "")) != "tirx.call_llvm_pure_intrin":
            return call
        number, argument = call.args
        return numbers[int(number)](tvm_ffi.structural_map(argument, (tvm.ir.Call, replace)))

    return tvm_ffi.structural_map(body, (tvm.ir.Call, replace))


def keep_on_stack(body: Any) -> Any:
    """Return a lowered kernel whose sums are on the stack, not in memory allocated at run time.

    LLVM then knows that nothing else reads them and keeps them in registers.
    """

    def keep(allocation: Any) -> Any:
        if str(allocation.buffer.scope()) != "local":
            return allocation
        annotations = dict(allocation.annotations.items()) | {"disable_lower_builtin": YES}
        return tirx.AllocBuffer(allocation.buffer, annotations=annotations)

    return tvm_ffi.structural_map(body, (tirx.AllocBuffer, keep))


def prefetch_weights(body: Any) -> Any:
    """Return a scheduled kernel that prefetches weights.

    An annotation says how many cache lines ahead, at the loop in which a vector of weights stays
    the same. Hardware prefetches too, but not beyond the end of a page, and a network's weights
    come from far away at every run.
    """

    def visit(loop: Any) -> Any:
        if tiling.PREFETCH not in loop.annotations:
            return loop
        inside = loop.body
        if (ahead := _prefetch(inside, int(loop.annotations[tiling.PREFETCH]))) is not None:
            inside = tirx.SeqStmt([ahead, inside])
        return tirx.For(loop.loop_var, loop.min, loop.extent, loop.kind, inside)

    return tvm_ffi.structural_map(body, (tirx.For, visit))


def _prefetch(body: Any, lines: int) -> Any:
    """Return the prefetch `lines` cache lines behind the weights that a loop's body reads.

    It is None where the body reads none, as where sums are initialized.
    """
    loops: list[Any] = []
    blocks: list[Any] = []
    tvm_ffi.structural_walk(
        body, ((tirx.For, lambda loop: loops.append(loop.loop_var)), (SBlockRealize, blocks.append))
    )
    reads = [(one, read) for one in blocks for read in one.block.reads if _is_weight(read)]
    if not reads:
        return None
    block, weight = reads[0]
    bound = dict(zip((one.var for one in block.block.iter_vars), block.iter_values, strict=True))

    def first(variable: Any) -> Any:
        if variable in bound:
            return tvm_ffi.structural_map(bound[variable], (tirx.Var, first))
        inside = any(variable.same_as(other) for other in loops)
        return tirx.const(0, "int64") if inside else variable

    index = [
        tvm_ffi.structural_map(dimension.min, (tirx.Var, first)) for dimension in weight.region
    ]
    index[-1] += lines * LINE_BYTES * 8 // tvm.DataType(weight.source.dtype).bits
    address = tirx.address_of(tirx.BufferLoad(weight.source, index))
    return tirx.Evaluate(
        tirx.call_intrin("void", "tirx.prefetch", address, READ, NEAREST_CACHE, DATA)
    )


def _is_weight(read: Any) -> bool:
    return str(read.source.name) == "weight"


register_tir_pipeline(NAME, _pipeline)
