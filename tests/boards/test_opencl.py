"""Every primitive's kernels for a Mali: built and run by PoCL on this machine's CPU."""

import os

import numpy as np
import pytest
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st

if os.environ.get("CI") != "true":
    for package in ("pyopencl", "pocl_binary_distribution"):
        pytest.importorskip(package, reason=f"{package}, of requirements-test.txt, is needed")

from tvm.target import Target

from dlas.compiler.build import complete, schedule_network
from dlas.compiler.check import largest_relative_error, relative_error_in_norm
from dlas.compiler.pipeline import compile_module
from tests.boards import opencl
from tests.boards.launches import Unseen, beyond_limits, lower, sources
from tests.boards.samples import (
    KINDS,
    LAYERS,
    TECHNIQUES,
    check,
    matrix_product,
    network,
    networks,
    sample,
    scheduled,
)

MALI = complete(
    {
        "kind": "opencl",
        "device": "mali",
        "max_threads_per_block": 256,
        "max_shared_memory_per_block": 32768,
        "thread_warp_size": 1,
        "host": {"kind": "llvm", "mtriple": "aarch64-linux-gnu", "mcpu": "cortex-a73"},
    }
)


def test_several_launches_share_memory_of_the_host_and_of_a_block():
    function = matrix_product()
    values = np.random.default_rng(0).standard_normal((48, 48)).astype("float32")
    lowered = lower(tvm.IRModule({"main": function}), MALI)
    (host,) = lowered.functions.values()
    assert [launch.blocks for launch in host.launches] == [(36, 1, 1), (6, 6, 1)]
    assert [launch.threads for launch in host.launches] == [(64, 1, 1), (8, 8, 1)]
    assert len(host.workspaces) == 1
    assert sorted(lowered.shared_bytes.values()) == [0, 4 * 8 * 48]
    output = opencl.run(function, [values], MALI)
    np.testing.assert_allclose(output, (2 * values) @ values, rtol=1e-4, atol=1e-4)


def test_the_kernels_are_those_that_a_library_holds():
    module = tvm.IRModule({"main": matrix_product()})
    (device,) = compile_module(module, MALI).mod.imports
    lowered = lower(module, MALI)
    assert sources(device.inspect_source()) == (lowered.preamble, lowered.sources)


def test_launches_beyond_the_limits_of_a_target_are_found():
    lowered = lower(tvm.IRModule({"main": matrix_product()}), MALI)
    for limit in ({"max_threads_per_block": 63}, {"max_shared_memory_per_block": 1535}):
        smaller = Target({"kind": "opencl"} | dict(MALI.attrs.items()) | limit)
        assert beyond_limits(lowered, MALI) == [] != beyond_limits(lowered, smaller)


# Always those that differ most; the others with `make test-boards`.
ALWAYS = ("3x3", "strided", "depthwise", "odd", "linear")


@pytest.mark.parametrize(("name", "weight_format", "dtype"), KINDS)
@pytest.mark.parametrize(
    "layer",
    [
        *ALWAYS,
        *(
            pytest.param(each, marks=pytest.mark.boards)
            for each in sorted(LAYERS.keys() - {*ALWAYS})
        ),
    ],
)
def test_a_kernel_computes_what_pytorch_computes(name, weight_format, dtype, layer):
    made = sample(name, weight_format, dtype, LAYERS[layer], MALI)
    check(opencl.run(made.function, made.inputs, MALI), made)


@pytest.mark.boards
@pytest.mark.parametrize(("name", "weight_format", "dtype"), KINDS)
@given(layer=st.sampled_from(sorted(LAYERS)), point=st.integers(1, 100))
@settings(max_examples=4, deadline=None, derandomize=True)
def test_so_does_every_point_of_its_space_within_the_limits(
    name, weight_format, dtype, layer, point
):
    made = sample(name, weight_format, dtype, LAYERS[layer], MALI, point)
    lowered = lower(tvm.IRModule({"main": made.function}), MALI)
    assert beyond_limits(lowered, MALI) == []
    check(opencl.Kernels(lowered).run("main", made.inputs), made)


def check_network(pair: tuple[str, str, int], technique: str, name: str) -> None:
    """Assert that a network agrees with its framework."""
    made, images, logits = network(*pair, technique, 0.125)
    outputs = opencl.run_network(schedule_network(made, name, "dense", MALI), images[:1], MALI)
    if technique == "int8":
        np.testing.assert_array_equal(outputs, logits[:1])
    elif technique == "float16":
        assert relative_error_in_norm(outputs, logits[:1]) < 2e-2
    else:
        assert largest_relative_error(outputs, logits[:1]) < 1e-4


def test_a_network_of_integers_is_exact():
    check_network(("mobilenet_v2", "small_input", 32), "int8", "spatial_pack")


@pytest.mark.boards
@pytest.mark.parametrize(
    ("pair", "name", "technique"), networks(("none", "float16", "int8"), in_turn=True)[::4]
)
def test_a_network_agrees_with_its_framework(pair, technique, name):
    check_network(pair, technique, name)


@pytest.fixture(scope="module")
def unseen() -> Unseen:
    return Unseen()


@pytest.mark.boards
@pytest.mark.parametrize(("pair", "name", "technique"), networks(TECHNIQUES))
def test_every_network_is_built_within_the_limits(pair, technique, name, unseen):
    lowered = lower(scheduled(pair, name, technique, MALI), MALI)
    assert beyond_limits(lowered, MALI) == []
    opencl.build(lowered.preamble, unseen.of(lowered))
