"""The measured limits of this host."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tvm.target import Target

from dlas.errors import StudyError
from dlas.hardware import host, peak
from dlas.hardware.platforms import Platform, resolve, status, target
from dlas.primitives.vector import native

HOST = target(Platform("host", threads=1))
AVX_VNNI = Platform(
    "avx_vnni",
    {"kind": "llvm", "mtriple": "x86_64-linux-gnu", "mcpu": "x86-64-v3", "mattr": ["+avxvnni"]},
    1,
)


def test_the_multiply_add_kernel_computes_what_it_counts():
    kernel = peak.arithmetic(HOST, 1, accumulators=3, steps=5)
    kernel.time(1)
    expected = np.float32(1)
    for _ in range(5):
        expected = expected * np.float32(0.5) + np.float32(0.5)
    np.testing.assert_allclose(kernel._arguments[2].numpy(), expected)
    assert kernel._arguments[2].shape == (1, 3, HOST["vector-width"] // 32)


@pytest.mark.parametrize("platform", [Platform("host", threads=1), AVX_VNNI])
def test_the_dot_product_kernel_multiplies_uint8_by_int8(platform):
    described = target(platform)
    if status(platform) != "ok" or not native(Target(described), "int8"):
        pytest.skip("needs a dot product of 8-bit integers")
    kernel = peak.arithmetic(described, 1, accumulators=3, steps=5, dtype="int8")
    data, weight, result = kernel._arguments
    lanes = described["vector-width"] // 32
    data.copyfrom(np.tile(np.array([1, 2, 3, 200], "uint8"), lanes).view("int32"))
    weight.copyfrom(np.tile(np.array([1, 1, 1, -2], "int8"), lanes).view("int32"))
    kernel.time(1)
    np.testing.assert_array_equal(result.numpy(), np.full((1, 3, lanes), 5 * (6 - 400)))


def test_narrower_numbers_are_no_slower():
    """At least as fast as float32, at most by the factor of their width."""
    rates = peak.measure_each_arithmetic(HOST, 1)
    assert 0.9 < rates["float16"] / rates["float32"] < 2.3
    assert 0.9 < rates["int8"] / rates["float32"] < 4.6


def test_time_grows_with_the_work():
    host.use_threads(1)
    short, long = (
        min(peak.arithmetic(HOST, 1, steps=steps).time(3, 5)) for steps in (50_000, 200_000)
    )
    assert long / short == pytest.approx(4, rel=0.3)


def test_limits_are_sane(monkeypatch):
    monkeypatch.setattr(host, "last_level_cache_bytes", lambda: 4 << 20)  # fast, not exact
    limits = peak.measure_peak(HOST, 1)
    blas = _blas_gflops()
    assert 0.7 * blas < limits.gflops["float32"] < 10 * blas
    assert (
        limits.gflops["float32"] < 2 * 2 * 16 * 6.5
    )  # two 512-bit multiply-adds a cycle at 6.5 GHz
    assert 0.5 < limits.read_gbs < 1000 and 0.5 < limits.triad_gbs < 1000
    assert limits.bandwidth_gbs == max(limits.read_gbs, limits.triad_gbs)


def _blas_gflops():
    """Single-threaded NumPy matrix product in a process of its own."""
    code = (
        "import numpy, time; a = numpy.ones((512, 512), 'float32'); a @ a; best = 9\n"
        "for _ in range(20):\n"
        "    start = time.perf_counter(); a @ a; best = min(best, time.perf_counter() - start)\n"
        "print(2e-9 * 512**3 / best)"
    )
    environment = {
        **os.environ,
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return float(result.stdout)


def test_record_of_a_platform_that_cannot_run_here():
    board = {"kind": "llvm", "mtriple": "aarch64-linux-gnu", "mcpu": "cortex-a73"}
    if host.triple().startswith("aarch64"):
        board = {"kind": "llvm", "mtriple": "x86_64-linux-gnu", "mcpu": "haswell"}
    platform = Platform("board", board, 4)
    record = peak.measure_platform(platform)
    assert record["status"].startswith("unsupported: the host lacks ")
    assert record["peak_gflops"] is None and record["bandwidth_gbs"] is None
    facts = resolve(platform)
    assert facts["threads"] == 4 and facts["target"]["mcpu"] == board["mcpu"]
    assert facts["native"] == {"float32": True, "float16": False, "int8": False}


def test_the_linker_of_a_platform_links_what_measures_it():
    with pytest.raises(StudyError, match="the linker no-such-linker cannot be run"):
        peak.measure_platform(Platform("here", "host", 1, linker=["no-such-linker"]))


def test_more_threads_than_cores():
    with pytest.raises(StudyError, match=r"allowed on this host: 1 to \d+, "):
        host.use_threads(len(host.cores()) + 1)


def test_threads_are_bound_to_cores_and_survive_a_pool_that_already_runs():
    """In a process of its own: the thread pool is one a process."""
    code = (
        "import os, tvm\n"
        "from dlas.hardware import host\n"
        "tvm.get_global_func('runtime.NumThreads')()\n"  # starts the pool
        "cores = host.cores()\n"
        "for threads in (1, len(cores), 1):\n"
        "    bound = host.use_threads(threads)\n"
        "    assert len(bound) == len(set(bound)) == threads and set(bound) <= set(cores), bound\n"
        "    assert os.sched_getaffinity(0) == {bound[0]}\n"
        "    assert host.cores() == cores\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "TVM_NUM_THREADS"}
    environment["PYTHONPATH"] = str(Path.cwd())
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr


def test_a_pool_that_was_started_too_small_is_reported():
    if len(host.cores()) < 2:
        pytest.skip("needs two cores")
    code = (
        "import tvm\n"
        "from dlas.hardware import host\n"
        "tvm.get_global_func('runtime.NumThreads')()\n"  # starts the pool
        "host.use_threads(2)\n"
    )
    environment = {**os.environ, "TVM_NUM_THREADS": "1", "PYTHONPATH": str(Path.cwd())}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert result.returncode != 0 and "TVM_NUM_THREADS must be at least 2" in result.stderr
