"""From scheduled kernels to machine code: TVM's own passes, and two that they lack."""

from typing import Any

import tvm
import tvm_ffi
from tvm import tirx
from tvm.s_tir import SBlockRealize
from tvm.s_tir.pipeline import default_s_tir_pipeline
from tvm.target import Target
from tvm.tirx.compilation_pipeline import register_tir_pipeline

from dlas.primitives import tiling

NAME = "dlas"
NEAREST_CACHE = 3  # LLVM's number of it
READ, DATA = 0, 1  # LLVM's numbers of what is prefetched for
LINE_BYTES = 64
YES = tirx.const(True, "bool")


def compile_module(module: tvm.IRModule, target: Target) -> Any:
    """Compile scheduled kernels, and the Relax function that calls them where there is one.

    A kernel is called by the network alone, which checks its image: checks of its own would only make building slow.
    """
    with tvm.transform.PassContext(config={"tirx.disable_assert": True}):
        return tvm.compile(module, target=target, tir_pipeline=NAME)


def _pipeline() -> tuple[Any, Any, Any]:
    standard, for_host, for_device = default_s_tir_pipeline()

    @tvm.transform.module_pass(opt_level=0)
    def lower(module: tvm.IRModule, _: Any) -> tvm.IRModule:
        return _each_kernel(keep_on_stack, standard(_each_kernel(prefetch_weights, module)))

    return lower, for_host, for_device


def _each_kernel(rewrite: Any, module: tvm.IRModule) -> tvm.IRModule:
    for variable, function in module.functions_items():
        if isinstance(function, tirx.PrimFunc):
            module[variable] = function.with_body(rewrite(function.body))
    return module


def keep_on_stack(body: Any) -> Any:
    """Return a lowered kernel whose sums are on the stack and not in memory that is asked for at run time.

    LLVM then knows that nothing else reads them and keeps them in registers, whatever else the loop does.
    """

    def keep(allocation: Any) -> Any:
        if str(allocation.buffer.scope()) != "local":
            return allocation
        annotations = dict(allocation.annotations.items()) | {"disable_lower_builtin": YES}
        return tirx.AllocBuffer(allocation.buffer, annotations=annotations)

    return tvm_ffi.structural_map(body, (tirx.AllocBuffer, keep))


def prefetch_weights(body: Any) -> Any:
    """Return a scheduled kernel that asks for weights some cache lines before it multiplies them.

    How many stands as an annotation at the loop in which a vector of weights stays the same. Hardware looks ahead by
    itself, but not beyond the end of a page, and a network's weights come from far away at every run.
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
    """Return the prefetch of what lies so many cache lines behind the weights that a loop's body reads.

    None where it reads none, as where sums begin.
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
