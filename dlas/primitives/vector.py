"""The vector unit of a CPU that a schedule is made for."""

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
    lanes : int
        Number of sums in a vector register, of 32 bits or, if `fp16`, float16.
    registers : int
        Number of vector registers.
    threads : int
        Number of threads that share a kernel's work.
    fp16 : bool
        Whether products are added up in float16.
    dot_product : str
        LLVM's intrinsic of the dot product that int8 networks use, with {bits} for the width. Empty
        without one.
    quantized : str
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
        """Number of vectors of partial sums that a kernel keeps in registers by default.

        Sixteen hide the latency of two fused multiply-add units of four to five cycles. With
        sixteen registers in all, four are left for the operands.
        """
        return 16 if self.registers >= 32 else 12

    @property
    def most_accumulators(self) -> int:
        """Maximum number of vectors of partial sums that leaves registers for operands."""
        return self.registers - 4

    def depth(self, convolution: Convolution) -> int:
        """Return how many neighbouring input channels one instruction adds up in each lane."""
        return dot_product.DEPTH if self.dot_product and convolution.groups == 1 else 1

    def block(self, channels: int, whole: bool = False) -> int:
        """Return how many of `channels` go in one vector.

        A vector is full where the channels fill it. Otherwise it has the width that wastes the
        least time, if half a vector costs three quarters of a whole one. Fewer than four channels
        stay together, or are filled up to the four that a dot product reads. With `whole`, a width
        that divides the channels is preferred.
        """
        if channels < 4:
            return dot_product.DEPTH if self.dot_product else channels
        widths = [width for width in (32, 16, 8, 4) if width <= self.lanes]
        if whole:
            widths = [width for width in widths if channels % width == 0] or widths
        return min(widths, key=lambda width: -(-channels // width) * (0.5 + width / self.lanes))


def processor(target: Target, dtype: str) -> VectorUnit | GPU:
    """Return the processor of a target, for a network in float32, float16 or int8."""
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
    target : Target
        LLVM target of a CPU, or a CUDA or OpenCL target of a GPU.
    dtype : str
        float32, float16 or int8.

    Returns
    -------
    bool or None
        None for a GPU whose kernels widen: its target does not say whether the hardware has the
        dtype.
    """
    unit = processor(target, dtype)
    multiplies = {"float32": True, "float16": unit.fp16, "int8": bool(unit.dot_product)}[dtype]
    return multiplies or (None if is_gpu(target) else False)


def computes(target: Target, dtype: str) -> bool:
    """Return False for float16 on a CPU whose kernels widen it to float32, else True."""
    return dtype != "float16" or native(target, dtype) is not False
