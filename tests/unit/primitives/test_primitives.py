"""Each primitive against PyTorch's convolution, on layers of any shape and on the vector units of this host."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from tvm import te, topi
from tvm.s_tir import Schedule
from tvm.target import Target

from dlas import primitives
from dlas.errors import StudyError
from dlas.primitives.arithmetic import FP16_PRODUCTS, SUMS, fp16_blocks
from dlas.primitives.convolution import Convolution
from dlas.primitives.layout import NCHW, Layout, relayout
from dlas.primitives.vector import VectorUnit, native, vector_unit
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
@settings(max_examples=30, deadline=None, derandomize=True)
def test_a_primitive_computes_what_pytorch_computes(name, layer, described, dtype, epilogue, point):
    if dtype == "uint8":
        layer = replace(layer, border=7)  # what stands for zero there
    assume(dtype != "float16" or "x86-64-v2" not in described.values())  # it cannot widen them
    output, expected, magnitude = compute(name, layer, described, dtype, epilogue, point)
    assert output.shape == expected.shape
    assert output.dtype == SUMS[dtype]
    if dtype == "uint8":
        np.testing.assert_array_equal(output, expected)
    elif dtype == "float16" and native(Target(described), dtype):
        # Each product and each of the additions to it in float16 rounds to the nearest (Higham, Accuracy and
        # Stability of Numerical Algorithms, 2002, section 4.2).
        roundings = (FP16_PRODUCTS + 1) * 2.0**-11
        assert (np.abs(output - expected) <= roundings / (1 - roundings) * magnitude + 1e-5).all()
    else:
        assert np.abs(output - expected).max() <= 1e-5 * max(1, np.abs(expected).max())


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


@given(extents=st.lists(st.integers(1, 600), min_size=1, max_size=4))
def test_a_block_of_float16_products_is_bounded_and_divides_its_reduction(extents):
    steps = fp16_blocks(extents)
    assert 1 <= np.prod(steps) <= FP16_PRODUCTS
    assert all(extent % step == 0 for extent, step in zip(extents, steps, strict=True))


@pytest.mark.skipif(not native(Target(TARGETS[0]), "float16"), reason="this CPU widens float16")
@pytest.mark.parametrize("name", primitives.names())
def test_thousands_of_float16_products_lose_no_more_than_one_block(name):
    layer = Convolution(1, 512, 8, 8, 64, (3, 3), (1, 1), (1, 1, 1, 1))
    output, expected, _ = compute(name, layer, TARGETS[0], "float16", False, 0)
    error = np.linalg.norm(output - expected) / np.linalg.norm(expected)
    # Rounding errors that are random add up as the square root of their number; half a unit in the last place each.
    assert 1e-5 < error < 2.0**-12 * np.sqrt(FP16_PRODUCTS)


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
