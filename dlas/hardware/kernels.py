"""Small TensorIR kernels that take a processor to its limits: arithmetic, and memory in two directions."""

# mypy: disable-error-code="valid-type, no-untyped-def"

from tvm import tirx
from tvm.script import tirx as T  # noqa: N812 (the name that TVMScript is written with)
from tvm.tirx import PrimFunc


def multiply_add(
    threads: int, accumulators: int, lanes: int, steps: int, dtype: str = "float32"
) -> PrimFunc:
    """Return a kernel of 2 * threads * accumulators * lanes * steps floating-point operations.

    Arguments: factor and addend [lanes], result [threads, accumulators, lanes]. The accumulators
    are independent vectors in registers, so that the latency of one multiply-add hides behind the
    others.
    """
    one = tirx.const(1, dtype)

    @T.prim_func
    def main(
        factor: T.Buffer((lanes,), dtype),
        addend: T.Buffer((lanes,), dtype),
        result: T.Buffer((threads, accumulators, lanes), dtype),
    ):
        T.func_attr({"global_symbol": "main", "tirx.noalias": True})
        for thread in T.parallel(threads):
            total = T.alloc_buffer((accumulators, lanes), dtype, scope="local")
            for accumulator in T.unroll(accumulators):
                for lane in T.vectorized(lanes):
                    total[accumulator, lane] = one
            for _step in T.serial(steps):
                for accumulator in T.unroll(accumulators):
                    for lane in T.vectorized(lanes):
                        total[accumulator, lane] = (
                            total[accumulator, lane] * factor[lane] + addend[lane]
                        )
            for accumulator in T.unroll(accumulators):
                for lane in T.vectorized(lanes):
                    result[thread, accumulator, lane] = total[accumulator, lane]

    return main


def dot_product(
    threads: int, accumulators: int, lanes: int, steps: int, instruction: str
) -> PrimFunc:
    """Return a kernel of 2 * threads * accumulators * lanes * 4 * steps operations on 8-bit integers.

    Arguments: data and weight int32 [lanes], each four numbers of 8 bits, result int32 [threads,
    accumulators, lanes]. `instruction` is LLVM's intrinsic of the dot product of as many lanes.
    """
    sums, factors = f"int32x{lanes}", f"int8x{4 * lanes}"

    @T.prim_func
    def main(
        data: T.Buffer((lanes,), "int32"),
        weight: T.Buffer((lanes,), "int32"),
        result: T.Buffer((threads, accumulators, lanes), "int32"),
    ):
        T.func_attr({"global_symbol": "main", "tirx.noalias": True})
        for thread in T.parallel(threads):
            total = T.alloc_buffer((accumulators, lanes), "int32", scope="local")
            for accumulator in T.unroll(accumulators):
                for lane in T.vectorized(lanes):
                    total[accumulator, lane] = 0
            for _step in T.serial(steps):
                for accumulator in T.unroll(accumulators):
                    total[accumulator, T.Ramp(0, 1, lanes)] = T.call_llvm_pure_intrin(
                        sums,
                        instruction,
                        total[accumulator, T.Ramp(0, 1, lanes)],
                        T.reinterpret(factors, data[T.Ramp(0, 1, lanes)]),
                        T.reinterpret(factors, weight[T.Ramp(0, 1, lanes)]),
                    )
            for accumulator in T.unroll(accumulators):
                for lane in T.vectorized(lanes):
                    result[thread, accumulator, lane] = total[accumulator, lane]

    return main


def read(threads: int, steps: int, accumulators: int, lanes: int) -> PrimFunc:
    """Return a kernel that reads an array once from memory: its sums in `accumulators` vectors a thread.

    Arguments: array float32 [threads, steps, accumulators, lanes], result float32 [threads,
    accumulators, lanes].
    """

    @T.prim_func
    def main(
        array: T.Buffer((threads, steps, accumulators, lanes), "float32"),
        result: T.Buffer((threads, accumulators, lanes), "float32"),
    ):
        T.func_attr({"global_symbol": "main", "tirx.noalias": True})
        for thread in T.parallel(threads):
            total = T.alloc_buffer((accumulators, lanes), "float32", scope="local")
            for accumulator in T.unroll(accumulators):
                for lane in T.vectorized(lanes):
                    total[accumulator, lane] = T.float32(0)
            for step in T.serial(steps):
                for accumulator in T.unroll(accumulators):
                    for lane in T.vectorized(lanes):
                        total[accumulator, lane] = (
                            total[accumulator, lane] + array[thread, step, accumulator, lane]
                        )
            for accumulator in T.unroll(accumulators):
                for lane in T.vectorized(lanes):
                    result[thread, accumulator, lane] = total[accumulator, lane]

    return main


def triad(threads: int, steps: int, lanes: int) -> PrimFunc:
    """Return STREAM's triad, first = second + 3 * third (McCalpin 1995), which reads two arrays and writes one.

    Arguments: first, second and third, float32 [threads, steps, lanes].
    """

    @T.prim_func
    def main(
        first: T.Buffer((threads, steps, lanes), "float32"),
        second: T.Buffer((threads, steps, lanes), "float32"),
        third: T.Buffer((threads, steps, lanes), "float32"),
    ):
        T.func_attr({"global_symbol": "main", "tirx.noalias": True})
        for thread in T.parallel(threads):
            for step in T.serial(steps):
                for lane in T.vectorized(lanes):
                    first[thread, step, lane] = second[thread, step, lane] + third[
                        thread, step, lane
                    ] * T.float32(3)

    return main
