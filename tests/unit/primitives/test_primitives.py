"""Each primitive against PyTorch's convolution, on layers of any shape and on the vector units of this host."""

import re
from dataclasses import replace

import numpy as np
import pytest
import tvm
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from tvm import te, topi
from tvm.s_tir import Schedule
from tvm.target import Target

from dlas import primitives
from dlas.errors import StudyError
from dlas.primitives.arithmetic import HALF_PRODUCTS, SUMS, blocks_of_halves
from dlas.primitives.convolution import Convolution
from dlas.primitives.layout import NCHW, Layout, relayout
from dlas.primitives.vector import VectorUnit, computes, vector_unit
from tests.unit.primitives.layers import (
    KINDS,
    TARGETS,
    Point,
    convolutions,
    expected_of,
    operands,
    points,
    run,
)


def to_physical(values: np.ndarray, layout: Layout) -> np.ndarray:
    """A feature map [N, C, H, W] in another layout, by TVM's own compiled copy."""
    if layout == NCHW:
        return values
    data = te.placeholder(values.shape, str(values.dtype), name="data")
    moved = relayout(data, values.shape[1], NCHW, layout)
    return run(te.create_prim_func([data, moved]), [values], TARGETS[0])


def from_physical(values: np.ndarray, channels: int, layout: Layout) -> np.ndarray:
    data = te.placeholder(values.shape, str(values.dtype), name="data")
    moved = relayout(data, channels, layout, NCHW)
    return run(te.create_prim_func([data, moved]), [values], TARGETS[0])


def kernel(
    name: str,
    layer: Convolution,
    described: Target,
    dtype: str,
    epilogue: bool = False,
    weight: np.ndarray | None = None,
    point: int = 0,
) -> tuple:
    """Return a layer's scheduled kernel with one primitive, the layouts that it reads and writes, its packed weight."""
    primitive, vector = primitives.load(name), vector_unit(described, KINDS[dtype])
    data_layout = primitive.layout(layer.in_channels, vector)
    output_layout = primitive.layout(layer.out_channels, vector)
    packing = primitive.packing(layer, vector, Point(point))
    weight = np.zeros(layer.weight_shape, KINDS[dtype]) if weight is None else weight
    packed = primitive.pack_weight(weight, layer, data_layout, packing)
    arguments = [
        te.placeholder(data_layout.shape(*layer.in_shape), dtype, name="data"),
        te.placeholder(packed.shape, KINDS[dtype], name="weight"),
    ]
    result = primitive.convolve(*arguments, layer, data_layout, packing)
    if epilogue:
        broadcast = output_layout.per_channel(np.zeros((layer.out_channels, 1, 1)))
        arguments.append(te.placeholder(broadcast.shape, SUMS[dtype], name="bias"))
        result = topi.nn.relu(topi.add(result, arguments[-1]))
    schedule = Schedule(te.create_prim_func([*arguments, result]))
    primitive.schedule(schedule, vector, Point(point))
    return schedule.mod["main"], data_layout, output_layout, packed


def compute(
    name: str, layer: Convolution, described: dict, dtype: str, epilogue: bool, point: int
) -> tuple:
    """Run a layer with one primitive; also return what PyTorch makes of the same numbers in float64.

    And the sums of the products' magnitudes, to which rounding errors are relative.
    """
    data, weight, bias = operands(layer, dtype)
    function, data_layout, output_layout, packed = kernel(
        name, layer, Target(described), dtype, epilogue, weight, point
    )
    inputs = [to_physical(data, data_layout), packed]
    if epilogue:
        inputs.append(output_layout.per_channel(bias[:, None, None]))
    output = from_physical(run(function, inputs, described), layer.out_channels, output_layout)

    expected = expected_of(layer, data, weight)
    magnitude = expected_of(layer, np.abs(data), np.abs(weight))
    if epilogue:
        expected = np.maximum(expected + bias[:, None, None], 0)
    return output, expected, magnitude


@pytest.mark.parametrize("name", primitives.names())
@given(
    layer=convolutions(),
    described=st.sampled_from(TARGETS),
    dtype=st.sampled_from(["float32", "float16", "uint8"]),
    epilogue=st.booleans(),
    point=points,
)
@example(
    Convolution(1, 3, 32, 32, 64, (3, 3), (1, 1), (1, 1, 1, 1)), TARGETS[0], "float32", True, 0
)
@example(
    Convolution(1, 3, 64, 64, 32, (7, 7), (2, 2), (3, 3, 3, 3)), TARGETS[0], "float32", True, 0
)
@example(Convolution(1, 32, 56, 56, 64, (1, 1)), TARGETS[0], "float32", True, 0)
@example(Convolution(1, 64, 7, 7, 96, (1, 1), (2, 2)), TARGETS[0], "float32", False, 0)
@example(Convolution(1, 48, 2, 2, 40, (3, 3), (1, 1), (1, 1, 1, 1)), TARGETS[0], "float32", True, 0)
@example(Convolution(1, 72, 1, 1, 10, (1, 1)), TARGETS[0], "float32", True, 0)
@example(Convolution(1, 30, 16, 16, 24, (3, 3), (1, 1), (1, 1, 1, 1)), TARGETS[0], "uint8", True, 0)
@example(
    Convolution(1, 30, 16, 16, 24, (3, 3), (1, 1), (1, 1, 1, 1)), TARGETS[0], "float16", True, 0
)
@example(Convolution(1, 3, 32, 32, 64, (3, 3), (1, 1), (1, 1, 1, 1)), TARGETS[0], "uint8", True, 0)
@example(Convolution(1, 70, 1, 1, 10, (1, 1)), TARGETS[0], "uint8", True, 0)
@example(Convolution(1, 97, 9, 9, 48, (3, 3), (2, 2), (1, 1, 1, 1)), TARGETS[0], "float16", True, 0)
@example(
    Convolution(1, 96, 16, 16, 96, (5, 5), (2, 2), (2, 2, 2, 2), groups=96),
    TARGETS[0],
    "float32",
    True,
    0,
)
@settings(max_examples=45, deadline=None, derandomize=True)
def test_a_primitive_computes_what_pytorch_computes(name, layer, described, dtype, epilogue, point):
    if dtype == "uint8":
        layer = replace(layer, border=7)  # what stands for zero there
    assume(dtype != "float16" or "x86-64-v2" not in described.values())  # it cannot widen them
    output, expected, magnitude = compute(name, layer, described, dtype, epilogue, point)
    assert output.shape == expected.shape
    assert output.dtype == SUMS[dtype]
    if dtype == "uint8":
        np.testing.assert_array_equal(output, expected)
    elif dtype == "float16" and computes(Target(described), dtype):
        # Each product and each of the additions to it in float16 rounds to the nearest (Higham, Accuracy and
        # Stability of Numerical Algorithms, 2002, section 4.2).
        roundings = (HALF_PRODUCTS + 1) * 2.0**-11
        assert (np.abs(output - expected) <= roundings / (1 - roundings) * magnitude + 1e-5).all()
    else:
        assert np.abs(output - expected).max() <= 1e-5 * max(1, np.abs(expected).max())


def assembly(name: str, layer: Convolution, described: dict, dtype: str) -> str:
    """Return the assembly of a layer's kernel, for any target."""
    target = Target({"kind": "llvm", "opt-level": 2, **described})
    module = tvm.IRModule({"main": kernel(name, layer, target, dtype)[0]})
    return tvm.compile(module, target=target).mod.inspect_source("s")


SPR, ZEN4, ALDER_LAKE, AVX2 = (
    {"mtriple": "x86_64-linux-gnu", "mcpu": cpu}
    for cpu in ("sapphirerapids", "znver4", "alderlake", "x86-64-v3")
)
ZEN4_TARGET = Target({"kind": "llvm", **ZEN4})
ARM = {"mtriple": "aarch64-linux-gnu", "mattr": ["+neon", "+i8mm", "+fullfp16"]}


@pytest.mark.parametrize("name", primitives.names())
@pytest.mark.parametrize(
    ("dtype", "described", "instruction"),
    [
        ("uint8", SPR, r"vpdpbusd\s.*zmm"),
        ("uint8", ZEN4, r"vpdpbusd\s.*zmm"),
        ("uint8", ALDER_LAKE, r"\{vex\}\s+vpdpbusd\s.*ymm"),
        ("uint8", ARM, r"usdot\s+v\d+\.4s, v\d+\.16b, v\d+\.16b"),
        ("float16", SPR, r"vfmadd\d+ph\s.*zmm"),
        ("float16", ARM, r"fmla\s+v\d+\.8h"),
    ],
)
@pytest.mark.parametrize("channels", [64, 3])
def test_a_kernel_uses_the_arithmetic_of_its_target(name, dtype, described, instruction, channels):
    layer = Convolution(1, channels, 32, 32, 64, (3, 3), (1, 1), (1, 1, 1, 1))
    found = len(re.findall(instruction, assembly(name, layer, described, dtype)))
    if name == "direct" and dtype == "uint8":  # neighbouring channels are a plane apart
        assert found == 0
    else:
        assert found >= 8


@pytest.mark.parametrize("name", primitives.names())
@pytest.mark.parametrize(
    ("dtype", "described"), [("uint8", AVX2), ("float16", AVX2), ("float16", ZEN4)]
)
def test_a_kernel_widens_where_its_target_has_no_such_arithmetic(name, dtype, described):
    layer = Convolution(1, 16, 8, 8, 16, (3, 3), (1, 1), (1, 1, 1, 1))
    code = assembly(name, layer, described, dtype)
    assert not re.search(r"vpdpbusd|vfmadd\d+ph", code)
    assert re.search({"uint8": r"vpmaddwd|vpmull", "float16": r"vfmadd\d+ps"}[dtype], code)


@given(
    channels=st.integers(1, 50),
    source=st.sampled_from([NCHW, Layout("NHWC"), Layout("NCHWc", 4), Layout("NCHWc", 16)]),
    destination=st.sampled_from([NCHW, Layout("NHWC"), Layout("NCHWc", 8), Layout("NCHWc", 16)]),
)
@settings(max_examples=20, deadline=None, derandomize=True)
def test_a_feature_map_survives_any_change_of_layout(channels, source, destination):
    values = np.arange(channels * 15, dtype="float32").reshape(1, channels, 3, 5)
    there = to_physical(values, source)
    assert there.shape == source.shape(1, channels, 3, 5)
    data = te.placeholder(there.shape, name="data")
    moved = relayout(data, channels, source, destination)
    here = run(te.create_prim_func([data, moved]), [there], TARGETS[0])
    np.testing.assert_array_equal(from_physical(here, channels, destination), values)


@given(channels=st.integers(1, 2048), lanes=st.sampled_from([4, 8, 16]))
def test_a_block_wastes_at_most_half_of_a_vector(channels, lanes):
    block = VectorUnit(lanes, 32, 1).block(channels)
    assert 1 <= block <= lanes
    filled = -(-channels // block) * block
    assert filled - channels < max(4, filled / 2)


def test_the_vector_unit_follows_the_target():
    lanes = {
        cpu: vector_unit(Target({"kind": "llvm", "mcpu": cpu}), "float32").lanes
        for cpu in ("x86-64-v4", "x86-64-v3", "x86-64-v2")
    }
    assert lanes == {"x86-64-v4": 16, "x86-64-v3": 8, "x86-64-v2": 4}
    arm = {"kind": "llvm", "mtriple": "aarch64-linux-gnu", "mattr": ["+neon"]}
    assert vector_unit(Target(arm), "float32") == VectorUnit(lanes=4, registers=32, threads=1)


def test_the_vector_unit_follows_the_numbers_that_the_target_computes_in():
    units = {
        (cpu, dtype): vector_unit(Target({"kind": "llvm", "mcpu": cpu}), dtype)
        for cpu in ("sapphirerapids", "znver4", "alderlake", "x86-64-v4")
        for dtype in ("float16", "int8")
    }
    with_halves = {cpu for (cpu, dtype), unit in units.items() if unit.halves}
    with_dot_products = {cpu for (cpu, dtype), unit in units.items() if unit.dot_product}
    assert with_halves == {"sapphirerapids"}
    assert with_dot_products == {"sapphirerapids", "znver4", "alderlake"}
    assert units["sapphirerapids", "float16"].lanes == 32
    assert units["znver4", "float16"] == vector_unit(ZEN4_TARGET, "float32")


@given(extents=st.lists(st.integers(1, 600), min_size=1, max_size=4))
def test_a_block_of_float16_products_is_bounded_and_divides_its_reduction(extents):
    steps = blocks_of_halves(extents)
    assert 1 <= np.prod(steps) <= HALF_PRODUCTS
    assert all(extent % step == 0 for extent, step in zip(extents, steps, strict=True))


@pytest.mark.skipif(not computes(Target(TARGETS[0]), "float16"), reason="this CPU widens float16")
@pytest.mark.parametrize("name", primitives.names())
def test_thousands_of_float16_products_lose_no_more_than_one_block(name):
    layer = Convolution(1, 512, 8, 8, 64, (3, 3), (1, 1), (1, 1, 1, 1))
    output, expected, _ = compute(name, layer, TARGETS[0], "float16", False, 0)
    error = np.linalg.norm(output - expected) / np.linalg.norm(expected)
    # Rounding errors that are random add up as the square root of their number; half a unit in the last place each.
    assert 1e-5 < error < 2.0**-12 * np.sqrt(HALF_PRODUCTS)


def test_macs_are_those_of_the_literature():
    assert Convolution(1, 3, 224, 224, 64, (7, 7), (2, 2), (3, 3, 3, 3)).macs == 118_013_952
    assert Convolution(1, 32, 112, 112, 32, (3, 3), (1, 1), (1, 1, 1, 1), 32).macs == 3_612_672


def test_an_unknown_primitive_is_named_with_those_allowed():
    with pytest.raises(StudyError, match="unknown primitive 'winograd'; allowed: direct, gemm"):
        primitives.load("winograd")


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ({"in_channels": 10, "groups": 4}, "must be multiples of the groups, 4"),
        ({"height": 2, "width": 2, "kernel": (3, 3)}, "kernel is larger than the padded input"),
    ],
)
def test_a_layer_that_is_none_is_refused(layer, message):
    shape = {"batch": 1, "in_channels": 8, "height": 8, "width": 8, "out_channels": 8}
    with pytest.raises(StudyError, match=message):
        Convolution(**(shape | {"kernel": (1, 1)} | layer))
