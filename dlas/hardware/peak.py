"""Measure a platform's limits: arithmetic and memory bandwidth."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import tvm
from tvm import DataType
from tvm.target import Target
from tvm.tirx import PrimFunc

from dlas.compiler.device import Device, DeviceError, LocalDevice
from dlas.compiler.library import link
from dlas.files import code_folder
from dlas.hardware import host, kernels, platforms
from dlas.hardware.connections.remote import RemoteDevice
from dlas.hardware.platforms import DTYPES
from dlas.primitives.instruction_sets import extension
from dlas.primitives.vector import native
from dlas.status import OK

# Two of the 16 or 32 vector registers hold operands. The best count depends on the CPU.
_ACCUMULATORS = (8, 12, 14, 24, 28)
_STEPS = 200_000
_REPEATS = 30


@dataclass(frozen=True)
class Peak:
    """A platform's measured limits.

    Attributes
    ----------
    gflops : mapping of str to float
        Arithmetic by dtype in 10^9 operations/s.
    read_gbs, triad_gbs : float
        Memory bandwidth of reading and of STREAM's triad in 10^9 bytes/s.
    """

    gflops: Mapping[str, float]
    read_gbs: float
    triad_gbs: float

    @property
    def bandwidth_gbs(self) -> float:
        """The higher rate in 10^9 bytes/s: the limit of a kernel that only moves data."""
        return max(self.read_gbs, self.triad_gbs)


class Kernel:
    """A compiled kernel with its arguments, ready to be timed.

    Parameters
    ----------
    function : PrimFunc
        The kernel.
    target : mapping
        A TVM target of a CPU.
    *shapes : tuple of int
        Shapes of its arguments, arrays whose elements are 0.5.
    dtype : str
        Type of the arguments.
    device : Device, optional
        The device whose CPU runs it; this machine by default.
    """

    def __init__(
        self,
        function: PrimFunc,
        target: Mapping[str, Any],
        *shapes: tuple[int, ...],
        dtype: str = "float32",
        device: Device | None = None,
    ) -> None:
        """Compile the kernel and load it on the device."""
        self._device: Device = device or LocalDevice()
        self._tvm_device = self._device.devices[-1]
        library = tvm.compile(tvm.IRModule({"main": function}), target=Target(dict(target)))
        with code_folder() as folder:
            file = folder / "kernel.so"
            linked = partial(link, linker=self._device.linker)
            library.export_library(str(file), fcompile=linked)
            self._module = self._device.load(file)
        self._arguments = [self._device.filled(shape, dtype, 0.5) for shape in shapes]

    def time(self, number: int, repeat: int = 1) -> list[float]:
        """Time the kernel after a warm-up run.

        Parameters
        ----------
        number : int
            Runs of a sample.
        repeat : int
            Number of samples.

        Returns
        -------
        list of float
            The mean seconds of a run, for each sample.
        """
        with self._device.guard():
            evaluate = self._module.time_evaluator(
                "main", self._tvm_device, number=number, repeat=repeat
            )
            return [float(seconds) for seconds in evaluate(*self._arguments).results]

    def best(self) -> float:
        """Return the shortest of many runs, in seconds."""
        return min(self.time(1, _REPEATS))


def microbenchmark(
    target: Mapping[str, Any], threads: int, accumulators: int, steps: int, dtype: str
) -> tuple[PrimFunc, int, str]:
    """Return the kernel whose rate is a CPU's arithmetic peak.

    It repeats the instruction that the convolutions use in `dtype`, so no kernel can exceed the
    peak.

    Parameters
    ----------
    target : mapping
        A TVM target of a CPU.
    threads, accumulators, steps : int
        As in `kernels.multiply_add`.
    dtype : str
        float32, float16 or int8.

    Returns
    -------
    tuple of (PrimFunc, int, str)
        The kernel, and the length and dtype of its vectors.
    """
    used = extension(Target(dict(target)), dtype)
    shape = threads, accumulators, used.lanes, steps
    if used.dot_product:
        instruction = used.dot_product.format(bits=used.bits)
        return kernels.dot_product(*shape, instruction), used.lanes, "int32"
    return kernels.multiply_add(*shape, used.dtype), used.lanes, used.dtype


def arithmetic(
    target: Mapping[str, Any],
    threads: int,
    accumulators: int = 12,
    steps: int = _STEPS,
    dtype: str = "float32",
    device: Device | None = None,
) -> Kernel:
    """Return the compiled `microbenchmark`.

    Parameters
    ----------
    target, threads, accumulators, steps, dtype
        As in `microbenchmark`.
    device : Device, optional
        The device whose CPU runs it; this machine by default.
    """
    function, lanes, kind = microbenchmark(target, threads, accumulators, steps, dtype)
    shapes = (lanes,), (lanes,), (threads, accumulators, lanes)
    return Kernel(function, target, *shapes, dtype=kind, device=device)


def measure_each_arithmetic(
    target: Mapping[str, Any], threads: int, device: Device | None = None
) -> dict[str, float]:
    """Return `measure_arithmetic` by dtype: float32, float16 and int8, in 10^9 operations/s.

    A widened dtype has the rate of float32, which its multiply-adds use.
    """
    measured = [dtype for dtype in DTYPES if native(Target(dict(target)), dtype)]
    rates = {dtype: measure_arithmetic(target, threads, dtype, device) for dtype in measured}
    return dict.fromkeys(DTYPES, rates["float32"]) | rates


def measure_arithmetic(
    target: Mapping[str, Any], threads: int, dtype: str = "float32", device: Device | None = None
) -> float:
    """Return the highest rate of `threads` threads in 10^9 operations/s.

    A multiply-add is two operations. Sums of float16 are float16 as well.

    Parameters
    ----------
    target : mapping
        A TVM target of a CPU.
    threads : int
        Number of threads.
    dtype : str
        float32, or a dtype that is native on the target.
    device : Device, optional
        The device whose CPU runs the kernel; this machine by default.
    """
    used = extension(Target(dict(target)), dtype)
    operations = 2 * threads * _STEPS * used.bits // DataType(used.dtype).bits
    return max(
        1e-9
        * operations
        * number
        / arithmetic(target, threads, number, dtype=dtype, device=device).best()
        for number in _ACCUMULATORS
    )


def reading(
    target: Mapping[str, Any], threads: int, size: int, device: Device | None = None
) -> tuple[Kernel, int]:
    """Return the compiled kernel `kernels.read`.

    Parameters
    ----------
    target : mapping
        A TVM target of a CPU.
    threads : int
        Number of threads.
    size : int
        Approximate size of the array in bytes.
    device : Device, optional
        The device whose CPU runs it; this machine by default.

    Returns
    -------
    tuple of (Kernel, int)
        The kernel, and the exact size of the array in bytes.
    """
    lanes, accumulators = extension(Target(dict(target)), "float32").lanes, 8
    steps = max(1, size // (4 * threads * accumulators * lanes))
    shape = (threads, steps, accumulators, lanes)
    result = (threads, accumulators, lanes)
    kernel = Kernel(kernels.read(*shape), target, shape, result, device=device)
    return kernel, 4 * math.prod(shape)


def measure_peak(
    target: Mapping[str, Any],
    threads: int,
    device: RemoteDevice | None = None,
    linker: Sequence[str] = (),
) -> Peak:
    """Measure a CPU's limits with kernels: the best of repeated runs.

    Arrays are four times the last-level cache, as STREAM asks (McCalpin 1995), but at most an
    eighth of the memory.

    Parameters
    ----------
    target : mapping
        A TVM target of the CPU.
    threads : int
        Number of threads.
    device : RemoteDevice, optional
        The board; this host by default.
    linker : sequence of str
        The command that links kernels for this host. A board has its own.

    Raises
    ------
    StudyError
        If the machine has fewer cores than `threads`, or this host cannot run code for `target`.
    """
    if device is None:
        platforms.require_host("the peak kernel", target)
        host.use_threads(threads)
        cache, memory = host.last_level_cache_bytes(), host.memory_bytes()
    else:
        device.use_threads(threads)
        cache, memory = (device.facts[name] for name in ("last_level_cache_bytes", "memory_bytes"))
    place: Device = device or LocalDevice(linker=linker)
    gflops = measure_each_arithmetic(target, threads, place)
    read, size = reading(target, threads, min(4 * cache, memory // 8), place)
    lanes = extension(Target(dict(target)), "float32").lanes
    shape = (threads, size // (4 * threads * lanes), lanes)
    adding = Kernel(kernels.triad(*shape), target, shape, shape, shape, device=place)
    return Peak(gflops, 1e-9 * size / read.best(), 3e-9 * size / adding.best())


def measure_platform(platform: platforms.Platform) -> dict[str, Any]:
    """Measure a platform's limits, and record which machine it is and if it can be measured.

    Returns
    -------
    dict
        "status", see `dlas.status`; "simulated"; the limits "peak_gflops" by dtype,
        "bandwidth_gbs", "read_gbs" and "triad_gbs", which are None for a GPU, a simulated platform,
        or without a measurement; the facts of the machine.

    Raises
    ------
    StudyError
        If this machine differs from the resolved platform's.
    """
    if platform.connection is None:
        platforms.require_same_host(platform)
    limited = platform.kind == "llvm" and not platform.simulated
    found, facts, peak = platforms.status(platform), host.facts(), None
    cpu = host.cpu_name()
    if platform.connection is not None:
        cpu = platforms.cpu_target(platform).get("mcpu", "generic")
        try:
            with RemoteDevice(platform) as device:
                facts, found = device.facts, device.status(platforms.threads(platform))
                peak = _peak_of(platform, device) if limited and found == OK else None
        except DeviceError as error:
            facts, found = dict.fromkeys(facts), error.status
    elif limited and found == OK:
        peak = _peak_of(platform)
    return {
        "status": found,
        "simulated": platform.simulated,
        "peak_gflops": peak and peak.gflops,
        "bandwidth_gbs": peak and peak.bandwidth_gbs,
        "read_gbs": peak and peak.read_gbs,
        "triad_gbs": peak and peak.triad_gbs,
        "cpu_model": facts["cpu_model"],
        "cpu": cpu,
        "cores": facts["cores"],
        "governor": facts["governor"],
        "caveats": facts["caveats"],
        "tvm_version": facts["tvm_version"],
    }


def _peak_of(platform: platforms.Platform, device: RemoteDevice | None = None) -> Peak:
    target, threads = platforms.target(platform), platforms.threads(platform)
    return measure_peak(target, threads, device, platform.linker)
