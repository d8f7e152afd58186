"""Each primitive against PyTorch's convolution, on layers of any shape and on the vector units of this host."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from layers import TARGETS, convolutions, operands, run
from tvm import te, topi
from tvm.s_tir import Schedule
from tvm.target import Target

from dlas import primitives
from dlas.errors import StudyError
from dlas.primitives.arithmetic import SUMS
from dlas.primitives.convolution import Convolution
from dlas.primitives.layout import NCHW, Layout, relayout
from dlas.primitives.vector import VectorUnit, vector_unit


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


def compute(name: str, layer: Convolution, described: dict, dtype: str, epilogue: bool) -> tuple:
    """Run a layer with one primitive; also return what PyTorch makes of the same numbers in float64."""
    primitive, vector = primitives.load(name), vector_unit(Target(described))
    data, weight, bias = operands(layer, dtype)

    data_layout = primitive.layout(layer.in_channels, vector)
    output_layout = primitive.layout(layer.out_channels, vector)
    packing = primitive.packing(layer, vector)
    packed = primitive.pack_weight(weight, layer, data_layout, packing)
    inputs = [to_physical(data, data_layout), packed]
    arguments = [
        te.placeholder(x.shape, str(x.dtype), name=f"argument{i}") for i, x in enumerate(inputs)
    ]
    result = primitive.convolve(*arguments, layer, data_layout, packing)
    if epilogue:
        inputs.append(output_layout.per_channel(bias[:, None, None]))
        arguments.append(te.placeholder(inputs[-1].shape, SUMS[dtype], name="bias"))
        result = topi.nn.relu(topi.add(result, arguments[-1]))
    schedule = Schedule(te.create_prim_func([*arguments, result]))
    primitive.schedule(schedule, vector)
    output = from_physical(
        run(schedule.mod["main"], inputs, described), layer.out_channels, output_layout
    )

    top, left, bottom, right = layer.padding
    padded = torch.nn.functional.pad(
        torch.from_numpy(data).double(), (left, right, top, bottom), value=layer.border
    )
    expected = torch.nn.functional.conv2d(
        padded, torch.from_numpy(weight).double(), stride=layer.stride, groups=layer.groups
    )
    if epilogue:
        expected = (expected + torch.from_numpy(bias)[:, None, None]).relu()
    return output, expected.numpy()


@pytest.mark.parametrize("name", primitives.names())
@given(
    layer=convolutions(),
    described=st.sampled_from(TARGETS),
    dtype=st.sampled_from(["float32", "float16", "uint8"]),
    epilogue=st.booleans(),
)
@example(Convolution(1, 3, 32, 32, 64, (3, 3), (1, 1), (1, 1, 1, 1)), TARGETS[0], "float32", True)
@example(Convolution(1, 3, 64, 64, 32, (7, 7), (2, 2), (3, 3, 3, 3)), TARGETS[0], "float32", True)
@example(Convolution(1, 32, 56, 56, 64, (1, 1)), TARGETS[0], "float32", True)
@example(Convolution(1, 64, 7, 7, 96, (1, 1), (2, 2)), TARGETS[0], "float32", False)
@example(Convolution(1, 48, 2, 2, 40, (3, 3), (1, 1), (1, 1, 1, 1)), TARGETS[0], "float32", True)
@example(Convolution(1, 72, 1, 1, 10, (1, 1)), TARGETS[0], "float32", True)
@example(Convolution(1, 30, 16, 16, 24, (3, 3), (1, 1), (1, 1, 1, 1)), TARGETS[0], "uint8", True)
@example(Convolution(1, 30, 16, 16, 24, (3, 3), (1, 1), (1, 1, 1, 1)), TARGETS[0], "float16", True)
@example(
    Convolution(1, 96, 16, 16, 96, (5, 5), (2, 2), (2, 2, 2, 2), groups=96),
    TARGETS[0],
    "float32",
    True,
)
@settings(max_examples=45, deadline=None, derandomize=True)
def test_a_primitive_computes_what_pytorch_computes(name, layer, described, dtype, epilogue):
    if dtype == "uint8":
        layer = replace(layer, border=7)  # what stands for zero there
    assume(dtype != "float16" or "x86-64-v2" not in described.values())  # it cannot widen them
    output, expected = compute(name, layer, described, dtype, epilogue)
    assert output.shape == expected.shape
    assert output.dtype == SUMS[dtype]
    if dtype == "uint8":
        np.testing.assert_array_equal(output, expected)
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


def test_the_vector_unit_follows_the_target():
    lanes = {
        cpu: vector_unit(Target({"kind": "llvm", "mcpu": cpu})).lanes
        for cpu in ("x86-64-v4", "x86-64-v3", "x86-64-v2")
    }
    assert lanes == {"x86-64-v4": 16, "x86-64-v3": 8, "x86-64-v2": 4}
    arm = {"kind": "llvm", "mtriple": "aarch64-linux-gnu", "mattr": ["+neon"]}
    assert vector_unit(Target(arm)) == VectorUnit(lanes=4, registers=32, threads=1)


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
