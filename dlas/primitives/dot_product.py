"""Dot products of four feature-map values and four int8 weights for each int32 lane of a vector.

Each is one instruction. TVM's own descriptions of such instructions are not used: they hand
operands of 32-bit lanes to LLVM, which wants bytes since version 22, and importing them takes 20 s.
"""

import functools
from typing import Any

from tvm.s_tir import TensorIntrin
from tvm.script import tirx as T  # noqa: N812

# Number of products that are added up in each lane.
DEPTH = 4


@functools.cache
def intrinsic(
    instruction: str, lanes: int, feature_map: str = "uint8", scope: str = "local"
) -> str:
    """Register an LLVM intrinsic as a TensorIR intrinsic and return its name.

    Parameters
    ----------
    instruction : str
        Name of the LLVM intrinsic, with {bits} for the width of a register. Its operands are sums
        int32 [lanes] and bytes [lanes * 4] of the feature map and of the weight.
    lanes : int
        Number of sums.
    feature_map : str
        Dtype of the feature map, uint8 or int8. Weights are int8.
    scope : str
        Memory scope of the sums, local or global.

    Returns
    -------
    str
        Name for `Schedule.tensorize`.
    """
    name = instruction.format(bits=32 * lanes)
    registered = f"{name}.{scope}"
    TensorIntrin.register(registered, *_functions(name, lanes, lanes * DEPTH, feature_map, scope))
    return registered


def _functions(name: str, lanes: int, size: int, feature_map: str, scope: str) -> tuple[Any, Any]:
    """Return the computation of the intrinsic and the function that calls it."""
    four_bytes = f"{feature_map}x{DEPTH}"

    @T.prim_func(s_tir=True)
    def computed(
        data: T.Buffer((DEPTH,), feature_map, offset_factor=1),  # type: ignore[valid-type]
        weight: T.Buffer((lanes, DEPTH), "int8", offset_factor=1),  # type: ignore[valid-type]
        sums: T.Buffer((lanes,), "int32", scope=scope, offset_factor=1),  # type: ignore[valid-type]
    ) -> None:
        with T.sblock("root"):
            T.reads(sums[0:lanes], data[0:DEPTH], weight[0:lanes, 0:DEPTH])
            T.writes(sums[0:lanes])
            for lane, step in T.grid(lanes, DEPTH):
                with T.sblock("products"):
                    o, i = T.axis.remap("SR", [lane, step])
                    sums[o] = sums[o] + T.cast(data[i], "int32") * T.cast(weight[o, i], "int32")

    @T.prim_func(s_tir=True)
    def called(
        data: T.Buffer((DEPTH,), feature_map, offset_factor=1),  # type: ignore[valid-type]
        weight: T.Buffer((lanes, DEPTH), "int8", offset_factor=1),  # type: ignore[valid-type]
        sums: T.Buffer((lanes,), "int32", scope=scope, offset_factor=1),  # type: ignore[valid-type]
    ) -> None:
        with T.sblock("root"):
            T.reads(sums[0:lanes], data[0:DEPTH], weight[0:lanes, 0:DEPTH])
            T.writes(sums[0:lanes])
            four = T.reinterpret(data.vload([0], four_bytes), dtype="int32")
            sums[T.ramp(T.int32(0), 1, lanes)] = T.call_llvm_pure_intrin(
                T.llvm_lookup_intrinsic_id(name),
                sums.vload([0], f"int32x{lanes}"),
                T.reinterpret(T.broadcast(four, lanes), dtype=f"int8x{size}"),
                weight.vload([0, 0], f"int8x{size}"),
                dtype=f"int32x{lanes}",
            )

    return computed, called


def add(instruction: str, sums: Any, data: Any, weight: Any) -> Any:
    """Return int32 sums plus dot products as a TIR expression.

    Parameters
    ----------
    instruction : str
        LLVM's intrinsic, as in `intrinsic`.
    sums : PrimExpr
        Vector of int32.
    data, weight : PrimExpr
        Vectors of as many 32-bit lanes, each lane of four bytes.

    Returns
    -------
    PrimExpr
        Vector of int32.
    """
    lanes = int(sums.ty.dtype.lanes)
    operands = (T.reinterpret(each, dtype=f"int8x{lanes * DEPTH}") for each in (data, weight))
    number = T.llvm_lookup_intrinsic_id(instruction.format(bits=32 * lanes))
    return T.call_llvm_pure_intrin(number, sums, *operands, dtype=f"int32x{lanes}")


@functools.cache
def of_four(scope: str) -> str:
    """Register CUDA's `__dp4a` as a TensorIR intrinsic and return its name.

    It adds the products of four int8 by four int8 to an int32 (CUDA C++ Programming Guide, "Integer
    intrinsics"). `scope` is the memory scope of the operands, shared or local.
    """
    name = f"__dp4a.{scope}"

    @T.prim_func(s_tir=True)
    def computed(
        data: T.Buffer((DEPTH,), "int8", scope=scope, offset_factor=1, align=DEPTH),  # type: ignore[valid-type]
        weight: T.Buffer((DEPTH,), "int8", scope=scope, offset_factor=1, align=DEPTH),  # type: ignore[valid-type]
        sums: T.Buffer((1,), "int32", scope="local", offset_factor=1),  # type: ignore[valid-type]
    ) -> None:
        with T.sblock("root"):
            T.reads(sums[0], data[0:DEPTH], weight[0:DEPTH])
            T.writes(sums[0])
            for step in range(DEPTH):
                with T.sblock("products"):
                    i = T.axis.remap("R", [step])
                    sums[0] = sums[0] + T.cast(data[i], "int32") * T.cast(weight[i], "int32")

    @T.prim_func(s_tir=True)
    def called(
        data: T.Buffer((DEPTH,), "int8", scope=scope, offset_factor=1, align=DEPTH),  # type: ignore[valid-type]
        weight: T.Buffer((DEPTH,), "int8", scope=scope, offset_factor=1, align=DEPTH),  # type: ignore[valid-type]
        sums: T.Buffer((1,), "int32", scope="local", offset_factor=1),  # type: ignore[valid-type]
    ) -> None:
        with T.sblock("root"):
            T.reads(sums[0], data[0:DEPTH], weight[0:DEPTH])
            T.writes(sums[0])
            sums[0] = T.call_pure_extern(
                "int32",
                "__dp4a",
                T.reinterpret(data.vload([0], f"int8x{DEPTH}"), dtype="int32"),
                T.reinterpret(weight.vload([0], f"int8x{DEPTH}"), dtype="int32"),
                sums[0],
            )

    TensorIntrin.register(name, computed, called)
    return name
