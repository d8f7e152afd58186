"""The GPU that a schedule is made for."""

from dataclasses import dataclass

from tvm.target import Target

from dlas.primitives import dot_product
from dlas.primitives.convolution import Convolution

# Numbers that one instruction of a thread loads; the blocks of a feature map have as many channels.
VECTOR = 4
# Threads that hide a GPU's latencies, by kind: some thousand on a Mali, many more on a GPU of CUDA.
RESIDENT_THREADS = {"cuda": 1 << 16, "opencl": 1 << 12}


@dataclass(frozen=True)
class GPU:
    """A GPU for numbers of one type: sums are float32, or int32 of integers.

    `threads` and `shared_bytes` are what a block has at most, `resident` the threads that keep the
    GPU busy. `kind` is TVM's name of the language. `dot_product` says whether one instruction
    multiplies four int8 by four and adds up.
    """

    kind: str
    threads: int
    shared_bytes: int
    resident: int
    dot_product: bool = False
    # Products are never added up in float16.
    fp16: bool = False

    @property
    def quantized(self) -> str:
        """The type in which feature maps of 8-bit integers are stored."""
        return "int8"

    def depth(self, convolution: Convolution) -> int:
        """Return how many neighbouring input channels one instruction multiplies and adds up."""
        return dot_product.DEPTH if self.dot_product and convolution.groups == 1 else 1

    def block(self, channels: int, whole: bool = False) -> int:
        """Return how many of `channels` lie side by side: what a thread loads at once, or fewer where they are fewer.

        Blocks are `whole` where some width divides the channels.
        """
        if self.dot_product:
            return VECTOR
        if not whole:
            return min(channels, VECTOR)
        return next(width for width in (VECTOR, 2, 1) if channels % width == 0)


@dataclass(frozen=True)
class Grid:
    """How the output of a layer is partitioned among threads.

    A block has `columns` threads along the positions, `rows` along the blocks of output channels
    and `parts` that share each sum. A thread holds `blocks` blocks of output channels at
    `positions` positions.
    """

    columns: int
    rows: int
    parts: int
    blocks: int
    positions: int

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return self.columns * self.rows * self.parts


def is_gpu(target: Target) -> bool:
    """Return whether a target is a GPU of CUDA or OpenCL."""
    return target.kind.name in RESIDENT_THREADS


def gpu(target: Target, dtype: str) -> GPU:
    """Return the GPU of a CUDA or OpenCL target for a network in float32, float16 or int8."""
    kind = target.kind.name
    return GPU(
        kind,
        int(target.attrs["max_threads_per_block"]),
        int(target.attrs["max_shared_memory_per_block"]),
        RESIDENT_THREADS[kind],
        dot_product=dtype == "int8" and _computes_dot_products(target),
    )


def _computes_dot_products(target: Target) -> bool:
    """Return whether a GPU has `__dp4a`: from compute capability 6.1 (CUDA C++ Programming Guide, arithmetic)."""
    architecture = "".join(filter(str.isdigit, str(target.attrs.get("arch", ""))))
    return target.kind.name == "cuda" and int(architecture or 0) >= 61
