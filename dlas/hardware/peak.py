"""What a platform can reach at most, measured: arithmetic and memory bandwidth."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tvm
from tvm.target import Target
from tvm.tirx import PrimFunc

from dlas.hardware import host, kernels, platforms

_ACCUMULATORS = (
    8,
    12,
    14,
    24,
    28,
)  # 16 or 32 vector registers, two of them taken: which count is best depends on it
_STEPS = 200_000
_REPEATS = 30


@dataclass(frozen=True)
class Peak:
    """A platform's measured limits: float32 arithmetic in GFLOP/s, memory in 10^9 bytes/s."""

    gflops: float
    read_gbs: float
    triad_gbs: float

    @property
    def bandwidth_gbs(self) -> float:
        """The higher of the two rates: what a kernel that only moves data can hope for."""
        return max(self.read_gbs, self.triad_gbs)


class Kernel:
    """A compiled kernel with its arguments, ready to be timed."""

    def __init__(
        self, function: PrimFunc, target: Mapping[str, Any], *shapes: tuple[int, ...]
    ) -> None:
        """Compile `function` for `target`; its arguments are float32 arrays of these shapes, filled with 0.5."""
        self._module = tvm.compile(
            tvm.IRModule({"main": function}), target=Target(dict(target))
        ).mod
        self._arguments = [tvm.runtime.tensor(np.full(shape, 0.5, "float32")) for shape in shapes]

    def time(self, number: int, repeat: int = 1) -> list[float]:
        """Return `repeat` samples in seconds a run, each the mean over `number` runs, after one that is not counted."""
        evaluator = self._module.time_evaluator("main", tvm.cpu(), number=number, repeat=repeat)
        return [float(seconds) for seconds in evaluator(*self._arguments).results]

    def best(self) -> float:
        """Return the shortest of many runs, in seconds."""
        return min(self.time(1, _REPEATS))


def arithmetic(
    target: Mapping[str, Any], threads: int, accumulators: int = 12, steps: int = _STEPS
) -> Kernel:
    """Return the multiply-add kernel of `kernels.multiply_add` at the target's vector width."""
    lanes = platforms.vector_bits(target) // 32
    function = kernels.multiply_add(threads, accumulators, lanes, steps)
    return Kernel(function, target, (lanes,), (lanes,), (threads, accumulators, lanes))


def measure_peak(target: Mapping[str, Any], threads: int) -> Peak:
    """Measure a CPU platform's limits on this host, on `threads` threads: the best of repeated runs of three kernels.

    Arrays are four times the last-level cache, as STREAM asks (McCalpin 1995), but at most an eighth of the memory.
    Raises a StudyError if this host cannot run code for `target` or has fewer cores than `threads`.
    """
    platforms.require_host("the peak kernel", target)
    host.use_threads(threads)
    lanes = platforms.vector_bits(target) // 32
    gflops = 0.0
    for accumulators in _ACCUMULATORS:
        operations = 2 * threads * accumulators * lanes * _STEPS
        gflops = max(gflops, 1e-9 * operations / arithmetic(target, threads, accumulators).best())
    size = min(4 * host.last_level_cache_bytes(), host.memory_bytes() // 8)
    accumulators = 8
    steps = size // (4 * threads * accumulators * lanes)
    wide, narrow = (threads, steps, accumulators, lanes), (threads, steps * accumulators, lanes)
    reading = Kernel(kernels.read(*wide), target, wide, (threads, accumulators, lanes))
    adding = Kernel(kernels.triad(*narrow), target, narrow, narrow, narrow)
    gigabytes = 4e-9 * math.prod(wide)
    return Peak(gflops, gigabytes / reading.best(), 3 * gigabytes / adding.best())


def measure_platform(platform: platforms.Platform) -> dict[str, Any]:
    """Return what is recorded of a platform once: its status, target, threads and limits, and the host's CPU.

    The limits are None where `status` is not "ok".
    """
    target, threads, status = (
        platforms.target(platform),
        platforms.threads(platform),
        platforms.status(platform),
    )
    peak = measure_peak(target, threads) if status == "ok" else None
    return {
        "status": status,
        "target": target,
        "threads": threads,
        "peak_gflops": peak and peak.gflops,
        "bandwidth_gbs": peak and peak.bandwidth_gbs,
        "read_gbs": peak and peak.read_gbs,
        "triad_gbs": peak and peak.triad_gbs,
        "cpu_model": host.cpu_model(),
        "cpu": host.cpu_name(),
        "cores": len(host.cores()),
        "governor": host.governor(),
        "tvm_version": tvm.__version__,
    }
