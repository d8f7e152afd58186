"""The limits of a layer: the machine's arithmetic, or the bandwidth of its cache or memory.

This is the roofline model of Williams, Waterman and Patterson, "Roofline: An Insightful Visual
Performance Model for Multicore Architectures", CACM 2009, on one thread.
"""

from collections.abc import Mapping
from typing import Any

from dlas.hardware import peak

BYTES = {"float32": 4, "float16": 2, "int8": 1}
# Bytes of the index of a stored weight: 16-bit offsets in CSR, one for four weights in BSR.
INDEX_BYTES = {"dense": 0.0, "csr": 2.0, "bsr": 0.5}
# Exponents of 2: sizes in bytes at which reading is measured.
SMALLEST, LARGEST = 15, 26


class Roofline:
    """A machine's limits: arithmetic in each dtype, and read bandwidth at each size.

    Creating it measures them.
    """

    def __init__(self, target: Mapping[str, Any]) -> None:
        self.gflops = peak.measure_each_arithmetic(target, 1)
        self.gigabytes = {}
        for power in range(SMALLEST, LARGEST + 1):
            kernel, size = peak.reading(target, 1, 1 << power)
            number = max(1, (1 << 24) // size)
            self.gigabytes[power] = 1e-9 * size / min(kernel.time(number, repeat=10))

    def limit(self, operations: float, size: float, dtype: str) -> tuple[str, float]:
        """Return "arithmetic" or "bandwidth", and the fewest milliseconds that it allows.

        Bandwidth is that of reading `size` bytes repeatedly, rounded down to a power of two: a
        layer that is timed by itself finds its data in the smallest cache that holds it.
        """
        power = min(max(int(size).bit_length() - 1, SMALLEST), LARGEST)
        computed = 1e-6 * operations / self.gflops[dtype]
        moved = 1e-6 * size / self.gigabytes[power]
        return ("arithmetic", computed) if computed >= moved else ("bandwidth", moved)
