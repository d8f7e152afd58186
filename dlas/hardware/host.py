"""What this machine is: its cores, its instructions, its caches, and how a run is bound to it."""

import os
import platform
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import tvm

from dlas.errors import StudyError

_CPUS = Path("/sys/devices/system/cpu")
# Control and system instructions: a compiler never emits them for a network, and hypervisors often mask them.
_SYSTEM = frozenset(
    "cldemote clflushopt clwb clzero enqcmd fsgsbase hreset invpcid kl lwp mwaitx pconfig pku prefetchi ptwrite rdpid "
    "rdpru rdrnd rdseed serialize sgx shstk tsxldtrk uintr usermsr waitpkg wbnoinvd widekl xsave xsavec xsaveopt "
    "xsaves".split()
)
_UNKNOWN_CACHE = 64 << 20
# Both at import: TVM's thread pool binds this process to its own cores when it starts, and can never grow beyond the
# size that it starts with (by default half the CPUs).
_ALLOWED = sorted(
    os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
)
os.environ.setdefault("TVM_NUM_THREADS", str(len(_ALLOWED)))


@cache
def cores() -> tuple[int, ...]:
    """Return the CPU numbers that this process was given, one for each physical core."""
    first_of_core: dict[str, int] = {}
    for cpu in _ALLOWED:
        siblings = _read(_CPUS / f"cpu{cpu}/topology/thread_siblings_list") or str(cpu)
        first_of_core.setdefault(siblings, cpu)
    return tuple(first_of_core.values())[: _quota()]


def _quota() -> int | None:
    """Return the whole CPUs that a container's quota grants, None where there is no quota."""
    quota, _, period = (_read(Path("/sys/fs/cgroup/cpu.max")) or "max").partition(" ")
    return None if quota == "max" else max(1, int(quota) // int(period))


@cache
def features() -> Mapping[str, bool]:
    """Return, for every instruction-set extension that LLVM can detect here, whether this host has it.

    LLVM asks the processor itself (CPUID and XGETBV on x86), so what a hypervisor masks counts as absent.
    """
    detected = tvm.get_global_func("tvm.codegen.llvm.GetHostCPUFeatures")()
    return {str(name): bool(has) for name, has in detected.items() if str(name) not in _SYSTEM}


def cpu_name() -> str:
    """Return LLVM's name of this host's CPU, e.g. "znver4"."""
    return str(tvm.target.codegen.llvm_get_system_cpu())


def triple() -> str:
    """Return LLVM's triple of this host, e.g. "x86_64-linux-gnu"."""
    return str(tvm.target.codegen.llvm_get_system_triple())


def cpu_model() -> str:
    """Return the CPU's name as the operating system gives it."""
    for line in (_read(Path("/proc/cpuinfo")) or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def governor() -> str:
    """Return the frequency governor of the first core, or "unreadable" (usual on virtual machines)."""
    return _read(_CPUS / f"cpu{cores()[0]}/cpufreq/scaling_governor") or "unreadable"


def last_level_cache_bytes() -> int:
    """Return the size of the largest cache in bytes; 64 MiB where the system does not tell."""
    texts = [_read(file) or "" for file in _CPUS.glob(f"cpu{cores()[0]}/cache/index*/size")]
    sizes = [
        int(text[:-1]) << {"K": 10, "M": 20}[text[-1]] for text in texts if text[-1:] in ("K", "M")
    ]
    return max(sizes, default=_UNKNOWN_CACHE)


def memory_bytes() -> int:
    """Return the size of the main memory in bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def use_threads(threads: int) -> tuple[int, ...]:
    """Run TVM's kernels on `threads` threads, each bound to a physical core of its own, and return those cores.

    Raises a StudyError if there are fewer cores, or if TVM_NUM_THREADS holds TVM to fewer threads.
    """
    if not 1 <= threads <= len(cores()):
        raise StudyError(f"{threads} threads asked for; allowed on this host: 1 to {len(cores())}")
    bound = cores()[-threads:]  # the last ones: interrupts mostly land on core 0
    one_core_per_thread = -2
    tvm.get_global_func("runtime.config_threadpool")(
        one_core_per_thread, threads, [str(core) for core in bound]
    )
    if (running := int(tvm.get_global_func("runtime.NumThreads")())) != threads:
        raise StudyError(
            f"TVM runs {running} threads, not {threads}; TVM_NUM_THREADS must be at least {threads} or unset"
        )
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {bound[0]})  # TVM lets the calling thread wander over all of them
    return bound


def _read(file: Path) -> str | None:
    try:
        return file.read_text().strip()
    except OSError:
        return None
