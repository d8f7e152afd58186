"""The CPUs of a machine: the ones that a process may use, and their properties.

This file uses only the standard library. It is copied to boards beside board.py.
"""

import os
import platform
import time
from functools import cache
from pathlib import Path

_SYSTEM = Path("/")
_CPUS = _SYSTEM / "sys/devices/system/cpu"
_UNKNOWN_CACHE = 64 << 20
# Cores of one kind differ slightly in capacity, by the frequency that each can reach.
_SAME_KIND = 0.75
# Read at import: TVM's thread pool later binds this process to its own cores.
ALLOWED = sorted(
    os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
)


@cache
def cores() -> tuple[int, ...]:
    """Return the CPU numbers that this process may use, one for each physical core.

    On a processor with several kinds of cores they are the fastest ones. A CPU quota of the
    process's control groups limits their number.
    """
    first_of_core: dict[str, int] = {}
    for cpu in ALLOWED:
        siblings = _read(_CPUS / f"cpu{cpu}/topology/thread_siblings_list") or str(cpu)
        first_of_core.setdefault(siblings, cpu)
    found, granted = _fastest(tuple(first_of_core.values())), quota()
    return found if granted is None else found[-max(1, int(granted)) :]


def cores_for(threads: int) -> tuple[int, ...]:
    """Return the cores for a number of threads: the last ones, as core 0 serves most interrupts."""
    return cores()[-threads:]


def _fastest(cpus: tuple[int, ...]) -> tuple[int, ...]:
    """Return the CPUs of the fastest kind.

    Linux lists the performance cores of Intel's hybrid processors, and the capacity of Arm's cores.
    """
    performance = _numbers(_read(_SYSTEM / "sys/devices/cpu_core/cpus") or "")
    if chosen := tuple(cpu for cpu in cpus if cpu in performance):
        return chosen
    capacity = {cpu: int(_read(_CPUS / f"cpu{cpu}/cpu_capacity") or 0) for cpu in cpus}
    least = _SAME_KIND * max(capacity.values())
    return tuple(cpu for cpu in cpus if capacity[cpu] >= least)


def _numbers(text: str) -> set[int]:
    """Return the numbers in a list such as "0-3,8"."""
    parts = [part.partition("-") for part in text.split(",") if part]
    return {
        number for first, _, last in parts for number in range(int(first), int(last or first) + 1)
    }


def quota() -> float | None:
    """Return the number of CPUs that this process's control groups grant, None without a limit.

    The limit of a group holds for all groups below it. It is in `cpu.max` in version 2, and in
    `cpu.cfs_quota_us` and `cpu.cfs_period_us` in version 1 (Linux, admin-guide/cgroup-v2 and
    scheduler/sched-bwc).
    """
    granted = []
    for group in _groups():
        words = (_read(group / "cpu.max") or "").split()
        if not words:
            words = [_read(group / f"cpu.cfs_{name}_us") or "-1" for name in ("quota", "period")]
        if words[0] not in ("max", "-1"):
            granted.append(int(words[0]) / int(words[1]))
    return min(granted, default=None)


def throttled() -> int:
    """Return how often a quota has stopped the processes of this process's control groups."""
    statistics = [_read(group / "cpu.stat") or "" for group in _groups()]
    lines = [line.split() for text in statistics for line in text.splitlines()]
    return sum(int(value) for name, value in lines if name == "nr_throttled")


@cache
def _groups() -> tuple[Path, ...]:
    """Return the folders of the control groups that limit this process's CPUs, innermost first."""
    own: dict[str, str] = {}
    for line in (_read(_SYSTEM / "proc/self/cgroup") or "").splitlines():
        _, controllers, group = line.split(":", 2)
        own |= dict.fromkeys(controllers.split(","), group)
    found: list[Path] = []
    for line in (_read(_SYSTEM / "proc/self/mountinfo") or "").splitlines():
        mounted, _, kind = line.partition(" - ")
        root, mount = mounted.split()[3:5]
        # Version 2 has one tree for all controllers. In version 1 mount options list controllers.
        version, _, options = kind.split(" ", 2)
        if version == "cgroup2":
            controller = ""
        elif version == "cgroup" and "cpu" in options.split(","):
            controller = "cpu"
        else:
            continue
        if controller not in own:
            continue
        top = _SYSTEM / mount.lstrip("/")
        group = own[controller]
        # A container may see its group as the root, without the groups above it.
        inside = group[len(root) :] if group.startswith(root) and ".." not in group else ""
        folder = top / inside.strip("/")
        found += [folder, *(above for above in folder.parents if above.is_relative_to(top))]
    return tuple(found)


def suspended_s() -> float:
    """Return the seconds that this machine has slept since boot."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)


def interruptions() -> tuple[int, int]:
    """Return a value that changes when the machine sleeps or a quota stops the process."""
    return round(suspended_s()), throttled()


def caveats() -> list[str]:
    """Return sentences on the properties of its cores that this machine hides."""
    found = []
    cpuinfo = _read(_SYSTEM / "proc/cpuinfo") or ""
    if any(" hypervisor" in line for line in cpuinfo.splitlines() if line.startswith("flags")):
        found.append(
            "A virtual machine: its CPUs may be threads of one core, and be shared with others."
        )
    if _read(_CPUS / f"cpu{ALLOWED[0]}/topology/thread_siblings_list") is None:
        found.append("Which CPUs are threads of one core is not readable.")
    if (granted := quota()) is not None and granted != int(granted):
        found.append(f"A quota grants {granted:g} CPUs, of which whole ones are used.")
    return found


def cpu_model() -> str:
    """Return the CPU's name as the operating system gives it."""
    for line in (_read(_SYSTEM / "proc/cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def governor() -> str:
    """Return the first core's frequency governor, or "unreadable" (usual on virtual machines)."""
    return _read(_CPUS / f"cpu{cores()[0]}/cpufreq/scaling_governor") or "unreadable"


def last_level_cache_bytes() -> int:
    """Return the size of the largest cache in bytes; 64 MiB if it is not readable."""
    texts = [_read(file) or "" for file in _CPUS.glob(f"cpu{cores()[0]}/cache/index*/size")]
    sizes = [
        int(text[:-1]) << {"K": 10, "M": 20}[text[-1]] for text in texts if text[-1:] in ("K", "M")
    ]
    return max(sizes, default=_UNKNOWN_CACHE)


def memory_bytes() -> int:
    """Return the size of the main memory in bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _read(file: Path) -> str | None:
    try:
        return file.read_text().strip()
    except OSError:
        return None
