"""Layers of any shape, their operands and their kernels, shared by the primitives' tests."""

from zlib import crc32

import numpy as np
import torch
import tvm
from hypothesis import strategies as st
from tvm import te, topi
from tvm.s_tir import Schedule
from tvm.target import Target

from dlas import primitives
from dlas.compiler.pipeline import compile_module
from dlas.hardware.platforms import Platform, status, target
from dlas.primitives.arithmetic import SUMS
from dlas.primitives.convolution import Convolution
from dlas.primitives.knobs import Knobs
from dlas.primitives.layout import NCHW, Layout, relayout
from dlas.primitives.vector import vector_unit

PLATFORMS = [
    Platform("host", threads=1),
    Platform("avx2", {"kind": "llvm", "mcpu": "x86-64-v3"}, threads=1),
    Platform("sse", {"kind": "llvm", "mcpu": "x86-64-v2"}, threads=1),
]
TARGETS = [target(platform) for platform in PLATFORMS if status(platform) == "ok"]
# The primitives that compute every layer in every format and type; Winograd's has tests of its own.
GENERAL = tuple(name for name in primitives.names() if name != "winograd")
# A weight's type by its feature map's; it is what the network computes in.
KINDS = {"float32": "float32", "float16": "float16", "uint8": "int8"}


# Layers of the literature, each with the type of its feature map.
EXAMPLES = [
    (Convolution(1, 3, 32, 32, 64, (3, 3), (1, 1), (1, 1, 1, 1)), "float32"),
    (Convolution(1, 3, 64, 64, 32, (7, 7), (2, 2), (3, 3, 3, 3)), "float32"),
    (Convolution(1, 32, 56, 56, 64, (1, 1)), "float32"),
    (Convolution(1, 64, 7, 7, 96, (1, 1), (2, 2)), "float32"),
    (Convolution(1, 48, 2, 2, 40, (3, 3), (1, 1), (1, 1, 1, 1)), "float32"),
    (Convolution(1, 72, 1, 1, 10, (1, 1)), "float32"),
    (Convolution(1, 96, 16, 16, 96, (5, 5), (2, 2), (2, 2, 2, 2), groups=96), "float32"),
    (Convolution(1, 30, 16, 16, 24, (3, 3), (1, 1), (1, 1, 1, 1)), "float16"),
    (Convolution(1, 97, 9, 9, 48, (3, 3), (2, 2), (1, 1, 1, 1)), "float16"),
    (Convolution(1, 30, 16, 16, 24, (3, 3), (1, 1), (1, 1, 1, 1)), "uint8"),
    (Convolution(1, 3, 32, 32, 64, (3, 3), (1, 1), (1, 1, 1, 1)), "uint8"),
    (Convolution(1, 70, 1, 1, 10, (1, 1)), "uint8"),
]


class Point(Knobs):
    """Any point of a kernel's space, the default one for 0."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def choose(self, name, options):
        if self.number:
            self.chosen[name] = crc32(f"{name} {self.number}".encode())
        return super().choose(name, options)


points = st.integers(0, 20)


@st.composite
def convolutions(draw):
    """Any layer that a primitive must express: grouped, depthwise, strided, padded unevenly."""
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    group_in = draw(st.integers(1, 20))
    group_out = draw(st.integers(1, 36))
    if draw(st.booleans()) and groups == 1:  # depthwise
        groups, group_in, group_out = draw(st.integers(2, 40)), 1, 1
    kernel = (draw(st.sampled_from([1, 2, 3, 5, 7])), draw(st.sampled_from([1, 3, 5])))
    padding = tuple(draw(st.integers(0, 3)) for _ in range(4))
    smallest = [
        max(1, size - before - after)
        for size, before, after in zip(kernel, padding[:2], padding[2:], strict=True)
    ]
    return Convolution(
        batch=draw(st.sampled_from([1, 1, 1, 2])),
        in_channels=groups * group_in,
        height=draw(st.integers(smallest[0], 18)),
        width=draw(st.integers(smallest[1], 34)),
        out_channels=groups * group_out,
        kernel=kernel,
        stride=(draw(st.integers(1, 2)), draw(st.integers(1, 2))),
        padding=padding,
        groups=groups,
    )


def run(function: tvm.tirx.PrimFunc, inputs: list[np.ndarray], described: dict) -> np.ndarray:
    """Compile a kernel whose last argument is its output, and run it once."""
    module = tvm.IRModule({"main": function.with_attr("global_symbol", "main")})
    library = compile_module(module, Target(described))
    result = function.params[-1]
    shape = [int(extent) for extent in result.shape]
    output = tvm.runtime.tensor(np.full(shape, 77, str(result.dtype)))
    library["main"](*(tvm.runtime.tensor(np.ascontiguousarray(x)) for x in inputs), output)
    return output.numpy()


def operands(layer: Convolution, dtype: str) -> list[np.ndarray]:
    """Feature map, weight and bias of a layer; the bias in the type of the sums."""
    generator = np.random.default_rng(0)
    shapes = [
        layer.in_shape,
        layer.weight_shape,
        (layer.out_channels,),
    ]
    if dtype == "uint8":
        ranges = ((0, 256, "uint8"), (-127, 128, "int8"), (-(10**6), 10**6, "int32"))
        return [
            generator.integers(low, high, shape, kind)
            for shape, (low, high, kind) in zip(shapes, ranges, strict=True)
        ]
    kinds = (dtype, dtype, SUMS[dtype])
    return [
        generator.standard_normal(shape, "float32").astype(kind)
        for shape, kind in zip(shapes, kinds, strict=True)
    ]


def expected_of(layer: Convolution, data: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """What PyTorch makes of a layer, in float64."""
    top, left, bottom, right = layer.padding
    padded = torch.nn.functional.pad(
        torch.from_numpy(data).double(), (left, right, top, bottom), value=layer.border
    )
    kernel = torch.from_numpy(weight).double()
    convolved = torch.nn.functional.conv2d(padded, kernel, stride=layer.stride, groups=layer.groups)
    return convolved.numpy()


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
    """Return a layer's scheduled kernel, its input and output layouts, and its packed weight."""
    primitive, vector = primitives.load(name), vector_unit(described, KINDS[dtype])
    data_layout = primitive.layout(layer.in_channels, vector)
    output_layout = primitive.layout(layer.out_channels, vector)
    packing = primitive.packing(layer, vector, Point(point))
    weight = np.zeros(layer.weight_shape, KINDS[dtype]) if weight is None else weight
    packed = primitive.pack_weight(weight, layer, data_layout, packing)
    arguments = [
        te.placeholder(data_layout.shape(*layer.in_shape), dtype, name="data"),
        te.placeholder(packed.shape, str(packed.dtype), name="weight"),
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
    """Run a layer with one primitive; also return PyTorch's float64 result.

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
