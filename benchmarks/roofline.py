"""What a layer can reach at most: the machine's arithmetic, or the cache or memory that its numbers fit into.

The model is that of Williams, Waterman and Patterson, "Roofline: An Insightful Visual Performance
Model for Multicore Architectures", CACM 2009, on one thread.
"""

from collections.abc import Mapping
from typing import Any

from dlas.hardware import peak

BYTES = {"float32": 4, "float16": 2, "int8": 1}
# Of a stored weight's place: offsets have 16 bits where they fit, and one for four weights in BSR.
INDEX_BYTES = {"dense": 0.0, "csr": 2.0, "bsr": 0.5}
# Powers of two: sizes in bytes at which reading is measured.
SMALLEST, LARGEST = 15, 26


class Roofline:
    """A machine's limits: arithmetic in each dtype, and reading at each size, measured at once."""

    def __init__(self, target: Mapping[str, Any]) -> None:
        self.gflops = peak.measure_each_arithmetic(target, 1)
        self.gigabytes = {}
        for power in range(SMALLEST, LARGEST + 1):
            kernel, size = peak.reading(target, 1, 1 << power)
            number = max(1, (1 << 24) // size)
            self.gigabytes[power] = 1e-9 * size / min(kernel.time(number, repeat=10))

    def limit(self, operations: float, size: float, dtype: str) -> tuple[str, float]:
        """Return "arithmetic" or "bandwidth", and the fewest milliseconds that it allows.

        Bandwidth is that of reading `size` bytes again and again, rounded down to a power of two: a
        layer that is timed by itself finds its numbers in the cache that they fit into.
        """
        power = min(max(int(size).bit_length() - 1, SMALLEST), LARGEST)
        computed = 1e-6 * operations / self.gflops[dtype]
        moved = 1e-6 * size / self.gigabytes[power]
        return ("arithmetic", computed) if computed >= moved else ("bandwidth", moved)
