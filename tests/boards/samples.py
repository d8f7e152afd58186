"""Layers and networks for a GPU's kernels to compute, and what they must make of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any
from zlib import crc32

import numpy as np
import pytest
import tvm
from tvm import te, tirx
from tvm.s_tir import Schedule
from tvm.target import Target

from dlas import primitives
from dlas.compiler.build import schedule_network
from dlas.compiler.layer import Layer
from dlas.compiler.network import Network
from dlas.primitives.convolution import Convolution
from dlas.primitives.layout import Layout
from dlas.primitives.vector import processor
from tests.unit.compiler.imported import PAIRS, imported
from tests.unit.primitives.layers import GENERAL, expected_of, operands

KEPT = 0.3  # of the weights in sparse formats
DTYPES = {
    "dense": ("float32", "float16", "int8"),
    "csr": ("float32", "int8"),
    "bsr": ("float32", "int8"),
}
KINDS = [
    (primitive, weight_format, dtype)
    for primitive in GENERAL
    for weight_format, dtypes in DTYPES.items()
    for dtype in dtypes
]
LAYERS = {
    "3x3": Convolution(1, 16, 9, 9, 24, (3, 3), (1, 1), (1, 1, 1, 1)),
    "1x1": Convolution(1, 32, 7, 7, 40, (1, 1)),
    "strided": Convolution(1, 12, 15, 13, 16, (3, 3), (2, 2), (1, 1, 1, 1)),
    "strided 1x1": Convolution(1, 16, 8, 8, 32, (1, 1), (2, 2)),
    "stem": Convolution(1, 3, 16, 16, 16, (7, 7), (2, 2), (3, 3, 3, 3)),
    "depthwise": Convolution(1, 24, 11, 11, 24, (3, 3), (1, 1), (1, 1, 1, 1), groups=24),
    "strided depthwise": Convolution(1, 20, 8, 8, 20, (5, 5), (2, 2), (2, 2, 2, 2), groups=20),
    "grouped": Convolution(1, 12, 6, 6, 18, (3, 3), (1, 1), (1, 1, 1, 1), groups=3),
    "odd": Convolution(1, 7, 5, 11, 5, (3, 1), (1, 2), (2, 0, 0, 1)),
    "linear": Convolution(1, 70, 1, 1, 10, (1, 1)),
    "small map": Convolution(1, 64, 2, 2, 48, (3, 3), (1, 1), (1, 1, 1, 1)),
}

TECHNIQUES = ("none", "csr", "float16", "int8")


def networks(techniques: Sequence[str], in_turn: bool = False) -> list[Any]:
    """Return every network with every primitive under every technique, as parameters of a test.

    If `in_turn`, each network with each primitive has one technique, and all techniques have turns.
    One process tests one network, which it imports once.
    """
    return [
        pytest.param(
            pair,
            name,
            technique,
            marks=pytest.mark.xdist_group("-".join(pair[:2])),
            id="-".join((*pair[:2], name, technique)),
        )
        for number, pair in enumerate(PAIRS)
        for position, name in enumerate(GENERAL)
        for turn, technique in enumerate(techniques)
        if not in_turn or turn == (number + position) % len(techniques)
    ]


@dataclass(frozen=True)
class Sample:
    """A scheduled kernel, its operands, and the expected float64 or integers in its layout.

    `counts` says which of the output's numbers do: others fill up a last block of channels.
    """

    function: tirx.PrimFunc
    inputs: list[np.ndarray]
    expected: np.ndarray
    counts: np.ndarray


def sample(
    name: str,
    weight_format: str,
    dtype: str,
    convolution: Convolution,
    target: Target,
    point: int = 0,
) -> Sample:
    """Return a layer of batch 1 in a primitive, at a point of its space; 0 is the default one."""
    primitive, stored = primitives.load(name), primitives.load_format(weight_format)
    unit = processor(target, dtype)
    feature = unit.quantized if dtype == "int8" else dtype
    if dtype == "int8":
        convolution = replace(convolution, border=7)  # what stands for zero there
    data, weight, _ = operands(convolution, "uint8" if dtype == "int8" else dtype)
    if feature == "int8":
        data = (data.astype("int16") - 128).astype("int8")
    if weight_format != "dense":
        kept = np.random.default_rng(1).random(weight.shape) < KEPT
        weight = np.where(kept, weight, 0).astype(weight.dtype)
    data_layout = stored.layout(primitive, convolution.in_channels, unit)
    layer = Layer(primitive, stored, weight, convolution, data_layout, feature, unit)
    kernel = layer.kernel(chosen(layer, point))
    shape = [int(extent) for extent in kernel.function.params[0].shape]
    expected = expected_of(convolution, data, weight)
    return Sample(
        layer.scheduled(kernel),
        [physical(data, data_layout).reshape(shape), *kernel.constants],
        physical(expected, kernel.layout),
        physical(np.ones(expected.shape, bool), kernel.layout),
    )


def physical(values: np.ndarray, layout: Layout) -> np.ndarray:
    """Return a feature map [1, C, H, W] in a layout."""
    return np.ascontiguousarray(layout.per_channel(values[0]))


def chosen(layer: Layer, point: int) -> dict[str, int]:
    """Return some point of a layer's space for each number, the default one for 0."""
    if not point:
        return {}
    return {
        name: crc32(f"{name} {point}".encode()) % len(options)
        for name, options in layer.space.items()
    }


def check(output: np.ndarray, sample: Sample) -> None:
    """Assert that a kernel has returned what it must."""
    assert output.shape == sample.expected.shape
    output, expected = output[sample.counts], sample.expected[sample.counts]
    if output.dtype == np.int32:
        np.testing.assert_array_equal(output, expected)
    else:
        assert output.dtype == np.float32
        assert np.abs(output - expected).max() <= 1e-5 * max(1, np.abs(expected).max())


def matrix_product(size: int = 48, tile: int = 8) -> tirx.PrimFunc:
    """Return a kernel of two launches: a matrix doubled, and the product of that with the matrix.

    A block of threads makes a tile of the product, and shares the rows that it reads.
    """
    data = te.placeholder((size, size), name="data")
    doubled = te.compute((size, size), lambda i, j: 2 * data[i, j], name="doubled")
    step = te.reduce_axis((0, size), "step")
    product = te.compute(
        (size, size),
        lambda i, j: te.sum(doubled[i, step] * data[step, j], axis=step),
        name="product",
    )
    function = te.create_prim_func([data, product]).with_attr("global_symbol", "main")
    schedule = Schedule(function)
    elements = schedule.fuse(*schedule.get_loops(schedule.get_sblock("doubled")))
    for loop, thread in zip(schedule.split(elements, [None, 64]), ("block", "thread"), strict=True):
        schedule.bind(loop, f"{thread}Idx.x")
    sums = schedule.get_sblock("product")
    rows = schedule.cache_read(sums, 0, "shared")
    row, column, _ = schedule.get_loops(sums)
    (up, y), (left, x) = (schedule.split(loop, [None, tile]) for loop in (row, column))
    schedule.reorder(up, left, y, x)
    schedule.bind(up, "blockIdx.y")
    schedule.bind(left, "blockIdx.x")
    schedule.bind(y, "threadIdx.y")
    schedule.bind(x, "threadIdx.x")
    schedule.compute_at(rows, x)
    shared = schedule.fuse(*schedule.get_loops(rows)[-2:])
    _, y, x = schedule.split(shared, [None, tile, tile])
    schedule.bind(y, "threadIdx.y")
    schedule.bind(x, "threadIdx.x")
    return schedule.mod["main"]


@cache
def network(
    name: str, stem: str, size: int, technique: str, width: float
) -> tuple[Network, np.ndarray, np.ndarray]:
    """Return a network of random weights, two images, and the logits that it must make of them."""
    return imported(name, stem, size, technique, width)


def scheduled(
    pair: tuple[str, str, int], name: str, technique: str, target: Target
) -> tvm.IRModule:
    """Return a network of the study with one primitive; csr is a technique here."""
    weight_format = "csr" if technique == "csr" else "dense"
    made, _, _ = network(*pair, "none" if technique == "csr" else technique, 0.25)
    return schedule_network(made, name, weight_format, target)
