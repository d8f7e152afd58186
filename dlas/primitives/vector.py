"""The vector unit that a schedule is made for."""

from dataclasses import dataclass

from tvm.target import Target
from tvm.target.codegen import target_has_features


@dataclass(frozen=True)
class VectorUnit:
    """A CPU's vector unit: float32 lanes of a register, number of registers, threads to feed."""

    lanes: int
    registers: int
    threads: int

    @property
    def accumulators(self) -> int:
        """Vectors of partial sums that a kernel keeps in registers.

        Sixteen hide the latency of two fused multiply-add units of four to five cycles; with sixteen
        registers in all, some must be left for the operands.
        """
        return 16 if self.registers >= 32 else 12

    def block(self, channels: int) -> int:
        """Return how many of `channels` go in one vector.

        A whole vector where the channels fill it; otherwise the width that wastes the least time,
        half a vector being taken to cost three quarters of a whole one. Fewer than four stay together.
        """
        if channels < 4:
            return channels
        widths = [width for width in (16, 8, 4) if width <= self.lanes]
        return min(widths, key=lambda width: -(-channels // width) * (0.5 + width / self.lanes))


def computes(target: Target, dtype: str) -> bool:
    """Return whether a CPU has arithmetic on numbers of this type; where not, they are widened first."""
    if dtype != "float16":
        return True
    if "aarch64" in str(target.attrs.get("mtriple", "")):
        return "+fullfp16" in [str(attribute) for attribute in target.attrs.get("mattr", [])]
    with target:
        return bool(target_has_features("avx512fp16"))


def vector_unit(target: Target) -> VectorUnit:
    """Return the vector unit of an LLVM target."""
    threads = int(target.attrs.get("num-cores", 1))
    if "aarch64" in str(target.attrs.get("mtriple", "")):
        return VectorUnit(lanes=4, registers=32, threads=threads)
    with target:
        if target_has_features("avx512f"):
            return VectorUnit(lanes=16, registers=32, threads=threads)
        if target_has_features("avx2"):
            return VectorUnit(lanes=8, registers=16, threads=threads)
    return VectorUnit(lanes=4, registers=16, threads=threads)
