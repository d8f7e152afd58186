"""The extension of each CPU, and its use by kernels and peak microbenchmarks."""

import re
from pathlib import Path

import numpy as np
import pytest
import tvm
from tvm.target import Target, codegen

from dlas import primitives
from dlas.compiler.layer import Layer
from dlas.hardware import peak
from dlas.primitives.convolution import Convolution
from dlas.primitives.instruction_sets import EXTENSIONS, extension
from dlas.primitives.plugin import unsupported
from dlas.primitives.vector import VectorUnit, native, vector_unit

DOCS = Path(__file__).parents[3] / "docs/reference/instruction-sets.md"
TRIPLES = {"x86_64": "x86_64-linux-gnu", "aarch64": "aarch64-linux-gnu"}
SSE, AVX, AVX512, NEON = "SSE2", "AVX", "AVX-512F", "Advanced SIMD"
# For float32, float16 and int8. What is not native has the name of the extension that it is widened
# to.
EXPECTED = {
    "x86-64-v2": (SSE, SSE, SSE),
    "sandybridge": (AVX, AVX, SSE),
    "x86-64-v3": (AVX, AVX, "AVX2"),
    "x86-64-v4": (AVX512, AVX512, AVX512),
    "cascadelake": (AVX512, AVX512, "AVX512-VNNI"),
    "sapphirerapids": (AVX512, "AVX512-FP16", "AVX512-VNNI"),
    "znver4": (AVX512, AVX512, "AVX512-VNNI"),
    "alderlake": (AVX, AVX, "AVX-VNNI"),
    "sierraforest": (AVX, AVX, "AVX-VNNI"),
    "arrowlake": (AVX, AVX, "AVX-VNNI"),
    "cortex-a73": (NEON, NEON, NEON),
    "carmel": (NEON, "FEAT_FP16", NEON),
    "cortex-a76": (NEON, "FEAT_FP16", "FEAT_DotProd"),
    "apple-m1": (NEON, "FEAT_FP16", "FEAT_DotProd"),
    "neoverse-v1": (NEON, "FEAT_FP16", "FEAT_I8MM"),
}
INSTRUCTIONS = {
    "AVX512-FP16": r"vfmadd\d+ph\s.*zmm",
    "AVX512-VNNI": r"\bvpdpbusd\s.*zmm",
    "AVX-VNNI": r"\{vex\}\s+vpdpbusd\s.*ymm",
    "FEAT_FP16": r"\bfmla\s+v\d+\.8h",
    "FEAT_I8MM": r"\busdot\s+v\d+\.4s, v\d+\.16b, v\d+\.16b",
    "FEAT_DotProd": r"\bsdot\s+v\d+\.4s, v\d+\.16b, v\d+\.16b",
    AVX512: r"vfmadd\d+ps\s.*zmm",
    AVX: r"v(fmadd\d+|mul)ps\s.*ymm",
    SSE: r"\bmulps\s.*xmm",
    NEON: r"\bfmla\s+v\d+\.4s",
}
CASES = [(cpu, dtype) for cpu in EXPECTED for dtype in peak.DTYPES]


def described(cpu, **others):
    architecture = "aarch64" if NEON in EXPECTED[cpu] else "x86_64"
    return {"kind": "llvm", "mtriple": TRIPLES[architecture], "mcpu": cpu, **others}


def expected(cpu, dtype):
    return EXPECTED[cpu][peak.DTYPES.index(dtype)]


def is_native(cpu, dtype):
    return dtype == "float32" or expected(cpu, dtype) not in (SSE, AVX, "AVX2", AVX512, NEON)


NATIVE = [case for case in CASES if case[1] != "float32" and is_native(*case)]
WIDENED = [case for case in CASES if not is_native(*case) and case[0] != "x86-64-v2"]


def kernel(name, cpu, dtype, channels=64):
    """Return the scheduled 3x3 convolution of one primitive."""
    primitive, dense = primitives.load(name), primitives.load_format("dense")
    unit = vector_unit(Target(described(cpu)), dtype)
    feature_map = unit.quantized if dtype == "int8" else dtype
    convolution = Convolution(1, channels, 32, 32, 64, (3, 3), (1, 1), (1, 1, 1, 1))
    layout = dense.layout(primitive, channels, unit)
    weight = np.zeros(convolution.weight_shape, dtype)
    layer = Layer(primitive, dense, weight, convolution, layout, feature_map, unit)
    return layer.scheduled(layer.kernel({}))


def count(pattern, function, cpu):
    """Return how often an instruction occurs in the assembly of a function."""
    target = Target(described(cpu) | {"opt-level": 2})
    assembly = tvm.compile(tvm.IRModule({"main": function}), target=target)
    return len(re.findall(pattern, assembly.mod.inspect_source("s")))


@pytest.mark.parametrize(("cpu", "dtype"), CASES)
def test_the_extension_of_a_cpu_follows_from_its_name(cpu, dtype):
    target = Target(described(cpu))
    assert extension(target, dtype).name == expected(cpu, dtype)
    assert native(target, dtype) == is_native(cpu, dtype)


@pytest.mark.parametrize(
    ("cpu", "mattr", "dtype", "name"),
    [
        ("cortex-a73", ["+fullfp16"], "float16", "FEAT_FP16"),
        ("cortex-a73", ["+i8mm"], "int8", "FEAT_I8MM"),
        ("neoverse-v1", ["-i8mm"], "int8", "FEAT_DotProd"),
        ("neoverse-v1", ["-fullfp16"], "float16", NEON),
        ("znver4", ["-avx512vnni"], "int8", AVX512),
        ("znver4", ["-avx512f"], "int8", "AVX2"),
        ("sapphirerapids", ["-avx512fp16"], "float16", AVX512),
        ("sapphirerapids", ["-avx512vl"], "int8", "AVX-VNNI"),
    ],
)
def test_attributes_add_to_a_cpu_and_take_from_it(cpu, mattr, dtype, name):
    assert extension(Target(described(cpu, mattr=mattr)), dtype).name == name


def test_an_architecture_has_one_table_under_each_of_its_names_and_others_have_plain_vectors():
    apple = Target({"kind": "llvm", "mtriple": "arm64-apple-darwin", "mcpu": "apple-m1"})
    assert extension(apple, "int8").name == "FEAT_DotProd"
    other = Target({"kind": "llvm", "mtriple": "riscv64-linux-gnu"})
    assert vector_unit(other, "float16") == VectorUnit(lanes=4, registers=16, threads=1)
    assert not native(other, "float16") and not native(other, "int8")


@pytest.mark.parametrize("architecture", EXTENSIONS)
def test_llvm_knows_every_feature(architecture):
    target = {"kind": "llvm", "mtriple": TRIPLES[architecture]}
    for one in EXTENSIONS[architecture]:
        added = Target(target | {"mattr": [f"+{feature}" for feature in one.features]})
        assert codegen.llvm_get_cpu_features(added).issuperset(one.features), one.name


@pytest.mark.parametrize(
    ("dtype", "cuda", "opencl"),
    [("float32", True, True), ("float16", None, None), ("int8", True, None)],
)
def test_a_gpu_is_native_where_its_kernels_do_not_widen(dtype, cuda, opencl):
    limits = {"max_threads_per_block": 256, "max_shared_memory_per_block": 32768}
    assert native(Target({"kind": "cuda", "arch": "sm_80", **limits}), dtype) is cuda
    assert native(Target({"kind": "opencl", **limits}), dtype) is opencl


@pytest.mark.parametrize("channels", [64, 3])
@pytest.mark.parametrize(("cpu", "dtype"), NATIVE)
@pytest.mark.parametrize("name", primitives.names())
def test_a_kernel_uses_the_instruction_of_the_extension(name, cpu, dtype, channels):
    pattern = INSTRUCTIONS[expected(cpu, dtype)]
    if name == "winograd":  # it declines whatever is not float32's
        shape = Convolution(1, channels, 32, 32, 64, (3, 3), (1, 1), (1, 1, 1, 1))
        unit = vector_unit(Target(described(cpu)), dtype)
        assert unsupported(primitives.load(name), shape, dtype, unit)
        return
    found = count(pattern, kernel(name, cpu, dtype, channels), cpu)
    if name == "direct" and dtype == "int8":  # neighbouring channels are a plane apart
        assert found == 0
    else:
        assert found >= 8


@pytest.mark.parametrize(("cpu", "dtype"), WIDENED)
def test_a_kernel_widens_where_its_cpu_has_no_extension(cpu, dtype):
    natives = r"vpdpbusd|vfmadd\d+ph|\bu?sdot|\bfmla\s+v\d+\.8h"
    assert count(natives, kernel("gemm", cpu, dtype, 16), cpu) == 0


@pytest.mark.parametrize(("cpu", "dtype"), CASES)
def test_the_peak_is_that_of_the_instruction_that_kernels_use(cpu, dtype):
    """A dtype that is widened has the peak of float32, whose registers are at least as wide."""
    target, measured = described(cpu), dtype if is_native(cpu, dtype) else "float32"
    function, lanes, _ = peak.microbenchmark(target, 1, 12, 1000, measured)
    assert lanes >= vector_unit(Target(target), dtype).lanes
    assert count(INSTRUCTIONS[expected(cpu, measured)], function, cpu) >= 12


def test_a_rate_is_measured_of_each_native_dtype_alone(monkeypatch):
    rates = {"float32": 1.0, "float16": 2.0, "int8": 4.0}
    monkeypatch.setattr(
        peak, "measure_arithmetic", lambda target, threads, dtype, board: rates[dtype]
    )
    for cpu, (half, integer) in {
        "neoverse-v1": (2, 4), "carmel": (2, 1), "arrowlake": (1, 4), "x86-64-v3": (1, 1),
    }.items():  # fmt: skip
        found = peak.measure_each_arithmetic(described(cpu), 1)
        assert found == {"float32": 1, "float16": half, "int8": integer}


def test_the_documentation_has_the_table():
    rows = [
        f"| {architecture} | {one.dtype} | {one.name} | "
        f"{', '.join(f'`{name}`' for name in one.features)} "
        f"| {one.registers} of {one.bits} bits | "
        f"{f'`{one.dot_product}`' if one.dot_product else 'multiply-add'} |"
        for architecture, table in EXTENSIONS.items()
        for one in table
    ]
    assert "\n".join(rows) + "\n\n" in DOCS.read_text(), "\n".join(rows)
