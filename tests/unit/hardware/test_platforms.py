"""Targets, and what this host can and cannot run."""

import json
import os
import platform as system
import subprocess
import sys
from pathlib import Path

import pytest
import tvm
from tvm.target import Target, codegen

from dlas.errors import StudyError
from dlas.hardware import host, peak, platforms
from dlas.hardware.devices import open_device
from dlas.hardware.platforms import Platform, host_lacks, require_host, resolve, status, target

ROOT = Path(__file__).parents[3]
X86 = system.machine() in ("x86_64", "AMD64")
x86 = pytest.mark.skipif(not X86, reason="names x86 instructions")
V3 = Platform("v3", {"kind": "llvm", "mcpu": "x86-64-v3"}, 1)
A73 = {
    "kind": "llvm",
    "mtriple": "aarch64-linux-gnu",
    "mcpu": "cortex-a73",
    "mattr": ["+neon"],
    "num-cores": 4,
}
MALI = {"kind": "opencl", "device": "mali", "max_threads_per_block": 256}

# LLVM's names of the extensions whose Linux names are not merely spelled with other separators
LINUX_NAMES = {
    "sse3": "pni",
    "bmi": "bmi1",
    "lzcnt": "abm",
    "sha": "sha_ni",
    "prfchw": "3dnowprefetch",
}


def test_the_host_target_is_all_that_the_host_has_and_nothing_else():
    here = target(Platform("here"))
    implied = codegen.llvm_get_cpu_features(Target(here))
    assert {name for name, has in host.features().items() if has} == implied & set(host.features())
    assert here["num-cores"] == len(host.cores())
    assert status(Platform("here")) == "ok" and host_lacks(here) == []


@x86
def test_no_vector_instruction_is_used_that_the_kernel_does_not_list():
    flags = next(
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags")
    )
    spelled = {flag.replace("_", "") for flag in flags.split(":")[1].split()}
    used = codegen.llvm_get_cpu_features(Target(target(Platform("here")))) & set(host.features())
    prefixes = ("sse", "ssse", "avx", "fma", "f16c", "bmi", "lzcnt", "popcnt")
    computing = [name for name in used if name.startswith(prefixes)]
    # AVX10 is a version of a set of instructions, each of which has a name of its own as well.
    computing = [name for name in computing if not name.startswith("avx10")]
    assert len(computing) > 5
    for name in computing:
        assert (
            LINUX_NAMES.get(name, name).replace(".", "").replace("-", "").replace("_", "")
            in spelled
        ), name


def test_features_that_a_hypervisor_masks_are_switched_off(monkeypatch):
    full = host.features()
    masked = next(name for name in ("avx512vnni", "avx2", "sse4.2", "neon") if full.get(name))
    monkeypatch.setattr(host, "features", lambda: {**full, masked: False})
    here = target(Platform("here"))
    assert f"-{masked}" in here["mattr"]
    assert masked not in codegen.llvm_get_cpu_features(Target(here))


@x86
def test_an_explicit_cpu_limits_the_instructions():
    limited = target(V3)
    implied = codegen.llvm_get_cpu_features(Target(limited))
    assert not [name for name in implied if "avx512" in name or "vnni" in name or "fp16" in name]
    assert {"avx2", "fma"} <= implied
    assert limited["vector-width"] == 256 and limited["num-cores"] == 1


@pytest.mark.parametrize(
    ("described", "bits"),
    [
        ({"kind": "llvm", "mtriple": "x86_64-linux-gnu", "mcpu": "x86-64"}, 128),
        ({"kind": "llvm", "mtriple": "x86_64-linux-gnu", "mcpu": "x86-64-v3"}, 256),
        ({"kind": "llvm", "mtriple": "x86_64-linux-gnu", "mcpu": "x86-64-v4"}, 512),
        (
            {
                "kind": "llvm",
                "mtriple": "x86_64-linux-gnu",
                "mcpu": "znver4",
                "mattr": ["-avx512f"],
            },
            256,
        ),
        (A73, 128),
    ],
)
def test_vector_width(described, bits):
    assert target(Platform("mine", described, 1))["vector-width"] == bits


def test_what_the_config_names_is_kept():
    named = {
        "kind": "llvm",
        "mtriple": "aarch64-linux-gnu",
        "mcpu": "cortex-a73",
        "num-cores": 4,
        "vector-width": 64,
    }
    assert target(Platform("board", named, "all")) == named
    assert target(Platform("mali", MALI)) == MALI


@pytest.mark.parametrize(
    ("described", "message"),
    [
        ({"kind": "llvm", "mcpu": "banana"}, "'banana'; allowed:"),
        ({"kind": "banana"}, "banana"),
        ({"kind": "llvm", "colour": 1}, "colour"),
        ({"kind": "llvm", "mattr": ["+banana"]}, r"\+banana"),
        ({"kind": "llvm", "mattr": ["avx2"]}, "avx2"),
        ({**A73, "mcpu": "x86-64-v3"}, "x86-64-v3"),
    ],
)
def test_a_target_that_does_not_exist_gives_one_line(described, message):
    with pytest.raises(StudyError, match=message) as error:
        target(Platform("mine", described))
    assert "\n" not in str(error.value) and "mine" in str(error.value)


@x86
def test_a_library_for_another_cpu_is_refused_in_one_line():
    with pytest.raises(
        StudyError, match=r"net\.so.*cortex-a73.*lacks the architecture aarch64; allowed:"
    ) as error:
        require_host("net.so", A73)
    assert "\n" not in str(error.value)
    require_host("net.so", target(Platform("here")))


@x86
def test_a_newer_cpu_of_the_same_family_is_refused(monkeypatch):
    monkeypatch.setattr(
        host, "features", lambda: {"avx2": True, "avx512f": False, "avx512vnni": False}
    )
    newer = {"kind": "llvm", "mcpu": "icelake-server"}
    assert host_lacks(newer) == ["avx512f", "avx512vnni"]
    assert status(Platform("newer", newer, 1)) == "unsupported: the host lacks avx512f, avx512vnni"
    assert status(V3) == "ok"


@x86
def test_status_of_what_cannot_run_here():
    assert status(Platform("board", A73)) == "unsupported: the host lacks the architecture aarch64"
    assert status(Platform("gpu", MALI)) == "unsupported: the host lacks a device of kind opencl"
    many = len(host.cores()) + 1
    assert status(Platform("many", "host", many)).startswith(
        f"unsupported: {many} threads asked for, the host has "
    )


def test_a_gpu_has_the_target_of_the_cpu_beside_it():
    beside = {"kind": "llvm", "mtriple": "aarch64-linux-gnu", "mcpu": "cortex-a73"}
    platform = Platform("mali", MALI, 4, beside)
    found = target(platform)
    assert {name: found[name] for name in MALI} == MALI and platform.kind == "opencl"
    assert found["host"] == {**beside, "num-cores": 4, "vector-width": 128}
    assert platforms.cpu_target(platform) == found["host"]
    assert str(Target(found).host.attrs["mcpu"]) == "cortex-a73"
    assert platforms.cpu_target(Platform("here")) == target(Platform("here"))


def test_the_gpu_of_this_machine():
    platform = Platform("local_cuda", "cuda", 1)
    found = target(platform)
    assert found["kind"] == platform.kind == "cuda" and found["arch"].startswith("sm_")
    assert found["host"]["mcpu"] == host.cpu_name()
    gpu = tvm.device("cuda")
    if gpu.exist:
        assert status(platform) == "ok" and host_lacks(found) == []
        assert found["max_threads_per_block"] == gpu.max_threads_per_block
    else:
        assert status(platform) == "unreachable: this machine has no CUDA GPU"
        with pytest.raises(StudyError, match="lacks a device of kind cuda"):
            require_host("net.so", found)


def test_a_board_is_judged_when_it_is_reached():
    platform = Platform("board", A73, 4, connection={"server": "127.0.0.1:9"})
    assert status(platform) == "ok" and platforms.threads(platform) == 4


def test_threads():
    assert platforms.threads(Platform("one", "host", 1)) == 1
    assert platforms.threads(Platform("all")) == len(host.cores())


def on_one_core(code, *arguments):
    """Run code in a process that has one core."""
    one = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    environment = {name: value for name, value in os.environ.items() if name != "TVM_NUM_THREADS"}
    return subprocess.run(
        [sys.executable, "-c", one + code, *arguments],
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


def test_what_is_settled_once_stays_wherever_a_job_runs(tmp_path):
    platform = Platform("here")
    cores = len(host.cores())
    if cores < 2:
        pytest.skip("needs two cores")
    facts = resolve(platform)
    assert facts["threads"] == facts["target"]["num-cores"] == cores
    code = (
        "import json, sys\n"
        "from dlas.errors import StudyError\n"
        "from dlas.hardware import host\n"
        "from dlas.hardware.devices import open_device\n"
        "from dlas.hardware.platforms import Platform, resolve, resolved, status, target, threads\n"
        "facts = json.loads(sys.argv[1])\n"
        "assert resolve(Platform('here'))['threads'] == len(host.cores()) == 1\n"
        "platform = resolved(Platform('here'), facts)\n"
        "assert threads(platform) == facts['threads'] and target(platform) == facts['target']\n"
        "assert resolve(platform) == facts\n"
        "assert status(platform).startswith('unsupported: '), status(platform)\n"
        "try:\n"
        "    with open_device(platform, threads(platform)): print('bound')\n"
        "except StudyError as error: print(error)\n"
    )
    done = on_one_core(code, json.dumps(facts))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{cores} threads asked for; allowed on this host: 1 to 1, ")


def test_what_is_settled_of_a_gpu_names_its_cpu():
    platform = Platform("mali", MALI, 4, {"kind": "llvm", "mtriple": "aarch64-linux-gnu"})
    facts = resolve(platform)
    again = platforms.resolved(platform, facts)
    assert again.host is None and target(again) == facts["target"]
    assert platforms.cpu_target(again) == facts["target"]["host"]


def test_measurements_of_two_machines_do_not_mix():
    here = Platform("here")
    facts = platforms.resolve(here)
    same = platforms.resolved(here, facts, facts)
    platforms.require_same_host(same)
    other = platforms.resolved(here, facts, {"cpu_model": "Other CPU"})
    for job in (lambda: open_device(other).__enter__(), lambda: peak.measure_platform(other)):
        with pytest.raises(StudyError, match="'here': it was resolved on 'Other CPU', this is"):
            job()


def test_libraries_may_be_checked_on_another_machine():
    here = Platform("here")
    with open_device(platforms.resolved(here, platforms.resolve(here))):
        pass
