"""The vector unit that a schedule is made for."""

from dataclasses import dataclass

from tvm.target import Target

from dlas.primitives import dot_product
from dlas.primitives.convolution import Convolution
from dlas.primitives.gpu import GPU, gpu, is_gpu
from dlas.primitives.instruction_sets import extension


@dataclass(frozen=True)
class VectorUnit:
    """A CPU's vector unit for numbers of one dtype.

    Attributes
    ----------
    lanes
        Sums in a vector register, of 32 bits or, if `fp16`, float16.
    registers
        Number of vector registers.
    threads
        Number of threads that share a kernel's work.
    fp16
        Whether products are added up in float16.
    dot_product
        LLVM's intrinsic of the dot product that int8 networks use, with {bits} for the width; empty
        without one.
    quantized
        Dtype in which feature maps of 8-bit integers are stored: uint8, or int8 for a dot product
        of int8 alone.
    """

    lanes: int
    registers: int
    threads: int
    fp16: bool = False
    dot_product: str = ""
    quantized: str = "uint8"

    @property
    def accumulators(self) -> int:
        """Vectors of partial sums that a kernel keeps in registers.

        Sixteen hide the latency of two fused multiply-add units of four to five cycles; with
        sixteen registers in all, some must be left for the operands.
        """
        return 16 if self.registers >= 32 else 12

    @property
    def most_accumulators(self) -> int:
        """Vectors of partial sums beyond which none is left for the operands."""
        return self.registers - 4

    def depth(self, convolution: Convolution) -> int:
        """Return how many neighbouring input channels one instruction multiplies and adds up in each lane."""
        return dot_product.DEPTH if self.dot_product and convolution.groups == 1 else 1

    def block(self, channels: int, whole: bool = False) -> int:
        """Return how many of `channels` go in one vector.

        A whole vector where the channels fill it; otherwise the width that wastes the least time,
        half a vector being taken to cost three quarters of a whole one. Fewer than four stay
        together, or are filled up to the four that a dot product reads. Blocks are `whole` where
        some width divides the channels.
        """
        if channels < 4:
            return dot_product.DEPTH if self.dot_product else channels
        widths = [width for width in (32, 16, 8, 4) if width <= self.lanes]
        if whole:
            widths = [width for width in widths if channels % width == 0] or widths
        return min(widths, key=lambda width: -(-channels // width) * (0.5 + width / self.lanes))


def processor(target: Target, dtype: str) -> VectorUnit | GPU:
    """Return what a target's kernels are made for, for a network in float32, float16 or int8."""
    return gpu(target, dtype) if is_gpu(target) else vector_unit(target, dtype)


def vector_unit(target: Target, dtype: str) -> VectorUnit:
    """Return the vector unit of an LLVM target for a network in float32, float16 or int8."""
    used = extension(target, dtype)
    return VectorUnit(
        used.lanes,
        used.registers,
        threads=int(target.attrs.get("num-cores", 1)),
        fp16=used.dtype == "float16",
        dot_product=used.dot_product,
        quantized=used.feature_map,
    )


def native(target: Target, dtype: str) -> bool | None:
    """Return whether a target's kernels multiply in `dtype`, without widening.

    Parameters
    ----------
    target
        A CPU of LLVM, or a GPU of CUDA or OpenCL.
    dtype
        float32, float16 or int8.

    Returns
    -------
    bool or None
        None for a GPU whose kernels widen: its target does not tell whether the hardware could do
        without.
    """
    unit = processor(target, dtype)
    multiplies = {"float32": True, "float16": unit.fp16, "int8": bool(unit.dot_product)}[dtype]
    return multiplies or (None if is_gpu(target) else False)


def computes(target: Target, dtype: str) -> bool:
    """Return False for float16 on a CPU whose kernels widen it to float32, else True."""
    return dtype != "float16" or native(target, dtype) is not False
