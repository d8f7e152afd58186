"""The CPUs that a process may use: affinity, quotas, kinds of cores, threads of one core."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from dlas.hardware import cpus, platforms
from dlas.hardware.platforms import Platform

V1, V2 = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")


@pytest.fixture
def system(tmp_path, monkeypatch):
    """Write the files of a pretended system and read them as a process that may use four CPUs."""
    monkeypatch.setattr(cpus, "_SYSTEM", tmp_path)
    monkeypatch.setattr(cpus, "_CPUS", tmp_path / "sys/devices/system/cpu")
    monkeypatch.setattr(cpus, "ALLOWED", [0, 1, 2, 3])

    def write(files):
        for name, text in files.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        cpus.cores.cache_clear()
        cpus._groups.cache_clear()

    yield write
    cpus.cores.cache_clear()
    cpus._groups.cache_clear()


def topology(cpu, siblings):
    return {f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list": siblings}


def test_each_physical_core_is_counted_once(system):
    system(
        topology(0, "0,2\n") | topology(1, "1,3\n") | topology(2, "0,2\n") | topology(3, "1,3\n")
    )
    assert cpus.cores() == (0, 1)


def test_of_a_hybrid_processor_of_intel_the_performance_cores_are_used(system):
    system({"sys/devices/cpu_core/cpus": "0-1\n", "sys/devices/cpu_atom/cpus": "2-3\n"})
    assert cpus.cores() == (0, 1)


def test_on_its_slow_cores_alone_they_are_used(system, monkeypatch):
    monkeypatch.setattr(cpus, "ALLOWED", [2, 3])
    system({"sys/devices/cpu_core/cpus": "0-1\n", "sys/devices/cpu_atom/cpus": "2-3\n"})
    assert cpus.cores() == (2, 3)


def test_on_arm_the_cores_of_the_largest_capacity_are_used(system):
    capacities = enumerate((446, 446, 1024, 1009))
    system(
        {f"sys/devices/system/cpu/cpu{cpu}/cpu_capacity": str(value) for cpu, value in capacities}
    )
    assert cpus.cores() == (2, 3)


MOUNTED_V2 = "25 30 0:22 {root} /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
MOUNTED_V1 = (
    "33 31 0:30 {root} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "34 31 0:31 {root} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
)


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        # A whole group of version 2, as a container sees it.
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "200000 100000"}, 2),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000"}, None),
        # The limit of a group above holds as well.
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/cpu.max": "150000 100000",
                "sys/fs/cgroup/a/b/cpu.max": "300000 100000",
            },
            1.5,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/m\n3:cpu,cpuacct:/a/b\n0::/\n",
                "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": "100000",
                "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "100000",
                "sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_period_us": "100000",
            },
            1,
        ),
        # A group outside of those that a container sees.
        ({"proc/self/cgroup": "0::/../other\n", "sys/fs/cgroup/cpu.max": "50000 100000"}, 0.5),
        ({}, None),
    ],
)
def test_the_quota_is_the_smallest_of_the_control_groups(system, files, quota):
    mounted = (MOUNTED_V1 + MOUNTED_V2).format(root="/")
    system({"proc/self/mountinfo": mounted} | files)
    assert cpus.quota() == quota
    assert len(cpus.cores()) == (4 if quota is None else max(1, int(quota)))


def test_a_container_of_version_1_sees_its_group_as_the_root(system):
    system(
        {
            "proc/self/mountinfo": MOUNTED_V1.format(root="/docker/abc"),
            "proc/self/cgroup": "3:cpu,cpuacct:/docker/abc/inner\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "300000",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
        }
    )
    assert cpus.quota() == 3 and cpus.cores() == (1, 2, 3)


def test_periods_in_which_a_quota_stopped_the_process_are_counted(system):
    system(
        {
            "proc/self/mountinfo": MOUNTED_V2.format(root="/"),
            "proc/self/cgroup": "0::/a\n",
            "sys/fs/cgroup/a/cpu.stat": "usage_usec 10\nnr_periods 5\nnr_throttled 2\n",
            "sys/fs/cgroup/cpu.stat": "nr_throttled 1\n",
        }
    )
    assert cpus.throttled() == 3


def test_what_the_system_hides_is_said(system):
    system({"proc/cpuinfo": "model name : x\nflags : fpu hypervisor sse\n"})
    virtual, hidden = cpus.caveats()
    assert "virtual machine" in virtual and "threads of one core is not readable" in hidden


def test_less_than_a_whole_cpu_cannot_be_measured_on(system):
    system(
        {
            "proc/self/mountinfo": MOUNTED_V2.format(root="/"),
            "proc/self/cgroup": "0::/\n",
            "sys/fs/cgroup/cpu.max": "50000 100000",
        }
    )
    found = platforms.status(Platform("here", threads=1))
    assert found == "unsupported: a quota grants 0.5 CPUs; allowed: 1 or more"


@pytest.mark.skipif(len(cpus.cores()) < 2, reason="needs two cores")
def test_a_process_in_a_group_with_a_quota_has_fewer_cores():
    """On the machine itself, where its control groups may be changed."""
    parent = next((folder for folder in (V1, V2) if (folder / "cgroup.procs").exists()), V2)
    group = parent / f"dlas-test-{os.getpid()}"
    try:
        group.mkdir()
        if parent == V1:
            (group / "cpu.cfs_quota_us").write_text("100000")
        else:
            (group / "cpu.max").write_text("100000 100000")
    except OSError as error:
        with suppress(OSError):
            group.rmdir()
        pytest.skip(f"control groups cannot be changed here: {error.strerror}")
    code = (
        "import os, sys; open(sys.argv[1], 'w').write(str(os.getpid()))\n"
        "from dlas.hardware import cpus; print(cpus.quota(), len(cpus.cores()))"
    )
    try:
        command = [sys.executable, "-c", code, str(group / "cgroup.procs")]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=Path(__file__).parents[3]
        )
    finally:
        group.rmdir()
    assert done.stdout.split() == ["1.0", "1"], done.stderr
