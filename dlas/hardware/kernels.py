"""Small TensorIR kernels that reach a processor's limits of arithmetic and memory bandwidth."""

# mypy: disable-error-code="valid-type, no-untyped-def"

from tvm import tirx
from tvm.script import tirx as T  # noqa: N812 (the name that TVMScript is written with)
from tvm.tirx import PrimFunc


def multiply_add(
    threads: int, accumulators: int, lanes: int, steps: int, dtype: str = "float32"
) -> PrimFunc:
    """Return a kernel of 2 * threads * accumulators * lanes * steps floating-point operations.

    Its arguments are factor and addend [lanes], and result [threads, accumulators, lanes]. The
    accumulators are independent vectors in registers, which hide the latency of a multiply-add.

    Parameters
    ----------
    threads : int
        Iterations of the parallel loop.
    accumulators : int
        Independent vectors per thread.
    lanes : int
        Elements of a vector.
    steps : int
        Multiply-adds per accumulator.
    dtype : str
        Type of the elements.
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
    """Return a kernel of 8 * threads * accumulators * lanes * steps operations on 8-bit integers.

    Its arguments are data and weight int32 [lanes], each element four 8-bit integers, and result
    int32 [threads, accumulators, lanes].

    Parameters
    ----------
    threads, accumulators, steps : int
        As in `multiply_add`.
    lanes : int
        32-bit sums of a vector.
    instruction : str
        LLVM's intrinsic of the dot product with `lanes` sums.
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
    """Return a kernel that reads an array once from memory and sums it.

    Its arguments are array float32 [threads, steps, accumulators, lanes] and result float32
    [threads, accumulators, lanes].

    Parameters
    ----------
    threads, accumulators, lanes : int
        As in `multiply_add`.
    steps : int
        Vectors that each accumulator adds up.
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
    """Return STREAM's triad, first = second + 3 * third (McCalpin 1995): two reads and a write.

    Its arguments are first, second and third, float32 [threads, steps, lanes].

    Parameters
    ----------
    threads, lanes : int
        As in `multiply_add`.
    steps : int
        Vectors per thread.
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
