"""Networks as bare loops: right in every primitive, format and dtype, or refused."""

import numpy as np
import pytest
import tvm_ffi
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tvm.s_tir import Schedule
from tvm.target import Target

from dlas import primitives
from dlas.compiler import libraries
from dlas.compiler.build import (
    build_library,
    complete,
    fuse_operators,
    kernel_names,
    schedule_network,
)
from dlas.compiler.library import load_library
from dlas.compiler.lowering import lower
from dlas.compiler.network import save_network
from dlas.compiler.schedulers import unscheduled, untuned
from dlas.errors import UnsupportedError
from dlas.hardware.platforms import Platform, target
from dlas.primitives.knobs import Knobs
from dlas.primitives.vector import processor, vector_unit
from tests.unit.compiler.imported import imported, network_of
from tests.unit.primitives.layers import (
    GENERAL,
    KINDS,
    TARGETS,
    convolutions,
    expected_of,
    from_physical,
    operands,
    run,
    to_physical,
)

HOST = target(Platform("host", threads=1))
LIMITS = {"max_threads_per_block": 256, "max_shared_memory_per_block": 32768}
GPUS = [
    {"kind": "cuda", "arch": "sm_72", **LIMITS, "host": {"kind": "llvm"}},
    {"kind": "opencl", "device": "mali", **LIMITS, "host": {"kind": "llvm"}},
]
every_primitive = pytest.mark.parametrize("primitive", GENERAL)
every_format = pytest.mark.parametrize("weight_format", ["dense", "csr"])


@every_format
@every_primitive
@given(
    layer=convolutions(),
    described=st.sampled_from(TARGETS),
    dtype=st.sampled_from(["float32", "float32", "float16", "uint8"]),
    kept=st.sampled_from([0.1, 1.0]),
)
@settings(max_examples=8, deadline=None, derandomize=True)
def test_bare_loops_compute_what_pytorch_computes(
    primitive, weight_format, layer, described, dtype, kept
):
    assume(dtype != "float16" or "x86-64-v2" not in described.values())  # it cannot widen them
    algorithm, stored = primitives.load(primitive), primitives.load_format(weight_format)
    vector = vector_unit(Target(described), KINDS[dtype])
    data, weight, _ = operands(layer, dtype)
    zero = np.random.default_rng(1).random(weight.shape) >= kept
    weight[zero] = 0
    layout = stored.layout(algorithm, layer.in_channels, vector)
    kernel = stored.kernel(algorithm, weight, layer, layout, dtype, vector, Knobs())
    schedule = Schedule(kernel.function)
    unscheduled.schedule(schedule, algorithm, stored, vector)
    shape = [int(extent) for extent in kernel.function.params[0].ty.shape]
    inputs = [to_physical(data, layout).reshape(shape), *kernel.constants]
    output = from_physical(
        run(schedule.mod["main"], inputs, described), layer.out_channels, kernel.layout
    )
    expected = expected_of(layer, data, weight)
    if dtype == "uint8":
        np.testing.assert_array_equal(output, expected)
    else:
        # Where the CPU has arithmetic on float16, products are added up in it, a block at a time.
        magnitude = expected_of(layer, np.abs(data), np.abs(weight)).max()
        tolerance = 1e-2 if vector.fp16 else 1e-5
        assert np.abs(output - expected).max() <= tolerance * max(1, magnitude)


@pytest.mark.parametrize(
    ("primitive", "weight_format", "technique"),
    [
        *((name, "dense", "none") for name in GENERAL),
        ("direct", "csr", "none"),
        ("gemm", "dense", "float16"),
        ("spatial_pack", "dense", "int8"),
        ("gemm", "csr", "int8"),
    ],
)
def test_an_unscheduled_network_agrees_with_its_framework(primitive, weight_format, technique):
    network, images, logits = imported("mobilenet_v2", "small_input", 32, technique)
    library = build_library(network, primitive, weight_format, HOST, scheduler=unscheduled)
    outputs = library.load().run(images)
    if technique == "int8":
        np.testing.assert_array_equal(outputs, logits)
    tolerance = {"none": 1e-4, "float16": 2e-2, "int8": 1e-5}[technique]
    assert np.linalg.norm(outputs - logits) <= tolerance * np.linalg.norm(logits)
    assert library.record()["scheduled_layers"] is None


@every_primitive
def test_every_kernel_keeps_the_loops_of_its_computation(primitive):
    network, compiled_for = network_of(16, 16), complete(HOST)
    vector = processor(compiled_for, network.dtype)
    methods = primitives.load(primitive), primitives.load_format("dense")
    bare = fuse_operators(lower(network, *methods, vector))
    ways = {
        way: schedule_network(network, primitive, "dense", compiled_for, scheduler=way)
        for way in (unscheduled, untuned)
    }
    for name in kernel_names(bare):

        def same(way, name=name):
            functions = (module[name].body for module in (ways[way], bare))
            return tvm_ffi.structural_equal(*functions, map_free_vars=True)

        assert same(unscheduled)
        assert "convolution" not in name or not same(untuned)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("network")
    found = folder / "network.json", folder / "parameters.safetensors"
    save_network(network_of(16, 16), *found)
    return found


def built(files, folder, described):
    asked = {
        f"gemm-dense/{tuning}": {"primitive": "gemm", "format": "dense", "tuning": tuning}
        for tuning in ("unscheduled", "untuned")
    }
    return libraries.build_libraries(files, asked, described, {}, folder, folder / "kernels")


def test_its_library_lies_beside_the_others_and_is_another_one(files, tmp_path):
    records = built(files, tmp_path, HOST)
    assert {record["status"] for record in records.values()} == {"ok"}
    assert records["gemm-dense/unscheduled"]["variant"] == ["gemm", "dense", "unscheduled"]
    images = np.random.default_rng(0).standard_normal((2, 3, 8, 8), "float32")
    outputs = [load_library(tmp_path / f"{name}.so").run(images) for name in records]
    np.testing.assert_allclose(*outputs, atol=1e-4)
    # No kernel of one is taken for the other's.
    kernels = [file.stem for file in (tmp_path / "kernels").glob("**/*.o")]
    convolutions = [name for name in kernels if "convolution" in name]
    assert len(convolutions) == 2 * 3


@pytest.mark.parametrize("described", GPUS, ids=lambda gpu: gpu["kind"])
def test_a_gpu_is_declined_with_the_reason(described):
    with pytest.raises(UnsupportedError, match=r"^bare loops give a GPU no threads$"):
        schedule_network(
            network_of(16), "direct", "dense", complete(described), scheduler=unscheduled
        )


def test_the_reason_is_the_status_of_the_row_and_stops_no_other(files, tmp_path):
    records = built(files, tmp_path, GPUS[1])
    assert records["gemm-dense/unscheduled"]["status"] == (
        "unsupported: bare loops give a GPU no threads"
    )
    assert not (tmp_path / "gemm-dense/unscheduled.so").exists()
    assert records["gemm-dense/untuned"]["status"] == "ok"
