"""The vector unit that a schedule is made for."""

from dataclasses import dataclass

from tvm.target import Target
from tvm.target.codegen import target_has_features

from dlas.primitives import dot_product
from dlas.primitives.convolution import Convolution
from dlas.primitives.gpu import GPU, gpu, is_gpu


@dataclass(frozen=True)
class VectorUnit:
    """A CPU's vector unit for numbers of one type.

    `lanes` of a register, in the numbers that a kernel multiplies in: float32, int32 or, where the CPU computes in it,
    float16, which `halves` says. `registers` that there are and `threads` to feed. `dot_product` is LLVM's name of the
    instruction that multiplies four uint8 by four int8 in each lane of int32, with {bits} for a register's size;
    empty where the CPU has none.
    """

    lanes: int
    registers: int
    threads: int
    halves: bool = False
    dot_product: str = ""

    @property
    def quantized(self) -> str:
        """The type in which feature maps of 8-bit integers are stored."""
        return "uint8"

    @property
    def accumulators(self) -> int:
        """Vectors of partial sums that a kernel keeps in registers.

        Sixteen hide the latency of two fused multiply-add units of four to five cycles; with sixteen
        registers in all, some must be left for the operands.
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
        half a vector being taken to cost three quarters of a whole one. Fewer than four stay together, or
        are filled up to the four that a dot product reads. Blocks are `whole` where some width divides the channels.
        """
        if channels < 4:
            return dot_product.DEPTH if self.dot_product else channels
        widths = [width for width in (32, 16, 8, 4) if width <= self.lanes]
        if whole:
            widths = [width for width in widths if channels % width == 0] or widths
        return min(widths, key=lambda width: -(-channels // width) * (0.5 + width / self.lanes))


def computes(target: Target, dtype: str) -> bool:
    """Return whether a processor has arithmetic on numbers of this type; where not, they are widened first."""
    if dtype != "float16" or is_gpu(target):
        return True
    if _arm(target):
        return "+fullfp16" in _attributes(target)
    with target:
        return bool(target_has_features("avx512fp16"))


def processor(target: Target, dtype: str) -> VectorUnit | GPU:
    """Return what a target's kernels are made for, for a network in float32, float16 or int8."""
    return gpu(target, dtype) if is_gpu(target) else vector_unit(target, dtype)


def vector_unit(target: Target, dtype: str) -> VectorUnit:
    """Return the vector unit of an LLVM target for a network in float32, float16 or int8."""
    threads = int(target.attrs.get("num-cores", 1))
    lanes, registers = _registers(target)
    if dtype == "float16" and computes(target, dtype):
        return VectorUnit(2 * lanes, registers, threads, halves=True)
    instruction = _dot_product(target) if dtype == "int8" else ""
    return VectorUnit(lanes, registers, threads, dot_product=instruction)


def _dot_product(target: Target) -> str:
    """Return LLVM's name of the target's dot product of uint8 and int8, or nothing.

    On x86 VPDPBUSD, of AVX512-VNNI with AVX512-VL for the narrower registers, or of AVX-VNNI up to 256 bits (Intel
    Architecture Instruction Set Extensions Programming Reference); on Arm USDOT, of the extension i8mm.
    """
    if _arm(target):
        return "llvm.aarch64.neon.usdot.v4i32.v16i8" if "+i8mm" in _attributes(target) else ""
    with target:
        wide = target_has_features("avx512vnni") and target_has_features("avx512vl")
        narrow = target_has_features("avxvnni") and not target_has_features("avx512f")
    return "llvm.x86.avx512.vpdpbusd.{bits}" if wide or narrow else ""


def _registers(target: Target) -> tuple[int, int]:
    """Return the float32 lanes of a vector register and how many registers there are."""
    if _arm(target):
        return 4, 32
    with target:
        if target_has_features("avx512f"):
            return 16, 32
        if target_has_features("avx2"):
            return 8, 16
    return 4, 16


def _arm(target: Target) -> bool:
    return "aarch64" in str(target.attrs.get("mtriple", ""))


def _attributes(target: Target) -> list[str]:
    return [str(attribute) for attribute in target.attrs.get("mattr", [])]
