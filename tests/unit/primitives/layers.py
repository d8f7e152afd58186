"""Layers of any shape, their operands, and what runs a kernel once: what the tests of primitives share."""

from zlib import crc32

import numpy as np
import torch
import tvm
from hypothesis import strategies as st
from tvm.target import Target

from dlas.compiler.pipeline import compile_module
from dlas.hardware.platforms import Platform, status, target
from dlas.primitives.arithmetic import SUMS
from dlas.primitives.convolution import Convolution
from dlas.primitives.decisions import Decisions

PLATFORMS = [
    Platform("host", threads=1),
    Platform("avx2", {"kind": "llvm", "mcpu": "x86-64-v3"}, threads=1),
    Platform("sse", {"kind": "llvm", "mcpu": "x86-64-v2"}, threads=1),
]
TARGETS = [target(platform) for platform in PLATFORMS if status(platform) == "ok"]
# A weight's type by its feature map's; it is what the network computes in.
KINDS = {"float32": "float32", "float16": "float16", "uint8": "int8"}


class Point(Decisions):
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
