"""The GPU that a schedule is made for, and the grid of its threads."""

from dataclasses import dataclass

from tvm.target import Target

from dlas.primitives import dot_product
from dlas.primitives.convolution import Convolution

# Numbers that one instruction of a thread loads, and channels in a block of a feature map.
VECTOR = 4
# Number of threads that hide a GPU's latencies, by TVM's target kind: thousands on a Mali, many
# more on a CUDA GPU.
RESIDENT_THREADS = {"cuda": 1 << 16, "opencl": 1 << 12}


@dataclass(frozen=True)
class GPU:
    """A GPU that computes in one dtype. Sums are float32, or int32 for integers.

    Attributes
    ----------
    kind : str
        TVM's target kind, cuda or opencl.
    threads : int
        Maximum number of threads of a block.
    shared_bytes : int
        Maximum size of a block's shared memory in bytes.
    resident : int
        Number of threads that keep the GPU busy.
    dot_product : bool
        Whether one instruction adds up the products of four int8 by four int8.
    fp16 : bool
        Whether products are added up in float16: never.
    """

    kind: str
    threads: int
    shared_bytes: int
    resident: int
    dot_product: bool = False
    fp16: bool = False

    @property
    def quantized(self) -> str:
        """Dtype in which feature maps of 8-bit integers are stored."""
        return "int8"

    def depth(self, convolution: Convolution) -> int:
        """Return how many neighbouring input channels one instruction multiplies and adds up."""
        return dot_product.DEPTH if self.dot_product and convolution.groups == 1 else 1

    def block(self, channels: int, whole: bool = False) -> int:
        """Return how many of `channels` lie side by side.

        They are at most as many as a thread loads at once. With `whole`, the block divides the
        channels, except where dot products need four.
        """
        if self.dot_product:
            return VECTOR
        if not whole:
            return min(channels, VECTOR)
        return next(width for width in (VECTOR, 2, 1) if channels % width == 0)


@dataclass(frozen=True)
class Grid:
    """How threads share the output of a layer.

    Attributes
    ----------
    columns : int
        Threads of a block along the positions.
    rows : int
        Threads of a block along the blocks of output channels.
    parts : int
        Threads of a block that share each sum.
    blocks : int
        Blocks of output channels of one thread.
    positions : int
        Positions of one thread.
    """

    columns: int
    rows: int
    parts: int
    blocks: int
    positions: int

    @property
    def threads(self) -> int:
        """Number of threads of a block."""
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
    """Return whether a GPU has `__dp4a`.

    CUDA GPUs have it from compute capability 6.1 (CUDA C++ Programming Guide, arithmetic).
    """
    architecture = "".join(filter(str.isdigit, str(target.attrs.get("arch", ""))))
    return target.kind.name == "cuda" and int(architecture or 0) >= 61
