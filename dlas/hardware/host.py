"""Properties of this machine, and the binding of a run to its cores."""

from collections.abc import Mapping
from functools import cache

import tvm

from dlas.errors import StudyError
from dlas.hardware.board import bind, facts
from dlas.hardware.cpus import (
    cores,
    cores_for,
    cpu_model,
    governor,
    interruptions,
    last_level_cache_bytes,
    memory_bytes,
    quota,
)

__all__ = [
    "cores",
    "cores_for",
    "cpu_model",
    "cpu_name",
    "facts",
    "features",
    "governor",
    "interruptions",
    "last_level_cache_bytes",
    "memory_bytes",
    "quota",
    "triple",
    "use_threads",
]

# Control and system instructions. A compiler never emits them for a network, and hypervisors often
# mask them.
_SYSTEM = frozenset(
    "cldemote clflushopt clwb clzero enqcmd fsgsbase hreset invpcid kl lwp mwaitx pconfig pku "
    "prefetchi ptwrite rdpid "
    "rdpru rdrnd rdseed serialize sgx shstk tsxldtrk uintr usermsr waitpkg wbnoinvd widekl xsave "
    "xsavec xsaveopt "
    "xsaves".split()
)


@cache
def features() -> Mapping[str, bool]:
    """Return for each instruction-set extension that LLVM can detect whether this host has it.

    LLVM asks the processor (CPUID and XGETBV on x86), so extensions that a hypervisor masks are
    absent.
    """
    detected = tvm.get_global_func("tvm.codegen.llvm.GetHostCPUFeatures")()
    return {str(name): bool(has) for name, has in detected.items() if str(name) not in _SYSTEM}


def cpu_name() -> str:
    """Return LLVM's name of this host's CPU, e.g. "znver4"."""
    return str(tvm.target.codegen.llvm_get_system_cpu())


def triple() -> str:
    """Return LLVM's triple of this host, e.g. "x86_64-linux-gnu"."""
    return str(tvm.target.codegen.llvm_get_system_triple())


def use_threads(threads: int) -> tuple[int, ...]:
    """Run TVM's kernels on `threads` threads, each bound to a physical core.

    See `board.bind`, whose ValueError becomes a StudyError.
    """
    try:
        return bind(threads)
    except ValueError as error:
        raise StudyError(str(error)) from error
