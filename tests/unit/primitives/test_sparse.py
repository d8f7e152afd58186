"""Kernels of sparse weights against PyTorch: any layer, pattern of zeros and threads."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from tvm.s_tir import Schedule
from tvm.target import Target

from dlas import primitives
from dlas.compiler.pipeline import compile_kernel
from dlas.hardware.platforms import Platform, status, target
from dlas.primitives import sparse_matrix
from dlas.primitives.arithmetic import SUMS
from dlas.primitives.convolution import Convolution
from dlas.primitives.layout import NCHW
from dlas.primitives.vector import vector_unit
from tests.unit.primitives.layers import (
    GENERAL,
    KINDS,
    TARGETS,
    Point,
    convolutions,
    expected_of,
    operands,
    points,
    run,
)

# Instruction sets with a dot product of bytes, and the widest x86 level without one.
WITH_BYTES = [
    target(platform)
    for platform in (
        Platform("vnni", {"kind": "llvm", "mcpu": "cascadelake"}, threads=1),
        Platform(
            "avx_vnni", {"kind": "llvm", "mcpu": "x86-64-v3", "mattr": ["+avxvnni"]}, threads=1
        ),
        Platform("avx512", {"kind": "llvm", "mcpu": "x86-64-v4"}, threads=1),
    )
    if status(platform) == "ok"
]
ONE = "one weight"  # of all; else the share of the weights, or of the blocks, that are left
FORMATS = ("csr", "bsr")
every_kernel = pytest.mark.parametrize(
    ("name", "weight_format"), [(name, each) for name in GENERAL for each in FORMATS]
)


def thinned(
    weight: np.ndarray, kept: float | str, empty_rows: bool = False, block: int = 1
) -> np.ndarray:
    """A weight with zeros in blocks of neighbouring output channels, in some rows nothing else."""
    generator = np.random.default_rng(1)
    shape = weight[::block].shape
    if kept == ONE:
        left = np.zeros(shape, bool)
        left.flat[generator.integers(left.size)] = True
    else:
        left = generator.random(shape) < kept
    if empty_rows:
        left[::2] = False
    left = left.repeat(block, axis=0)[: len(weight)]
    return np.where(left, weight, 0).astype(weight.dtype)


def scheduled(name, weight_format, layer, weight, dtype, described, threads=1, point=0):
    """A layer's kernel and its constants, scheduled for some threads."""
    vector = replace(vector_unit(Target(described), KINDS[dtype]), threads=threads)
    primitive, stored = primitives.load(name), primitives.load_format(weight_format)
    knobs = Point(point)
    dtype = vector.quantized if dtype == "uint8" else dtype
    kernel = stored.kernel(primitive, weight, layer, NCHW, dtype, vector, knobs)
    schedule = Schedule(kernel.function)
    stored.schedule(primitive, schedule, vector, knobs)
    return schedule.mod["main"], kernel.constants


def convolved(name, weight_format, layer, data, weight, described, threads, point=0) -> np.ndarray:
    """What a kernel makes of a layer."""
    dtype = str(data.dtype)
    function, constants = scheduled(
        name, weight_format, layer, weight, dtype, described, threads, point
    )
    shape = [int(extent) for extent in function.params[0].ty.shape]
    return run(function, [data.reshape(shape), *constants], described)


@every_kernel
@given(
    layer=convolutions(),
    described=st.sampled_from([*TARGETS, *WITH_BYTES]),
    dtype=st.sampled_from(["float32", "float32", "float16", "uint8"]),
    kept=st.sampled_from([0.0, ONE, 0.02, 0.1, 0.5, 1.0]),
    empty_rows=st.booleans(),
    block=st.sampled_from([1, 4]),
    threads=st.integers(2, 5),
)
@example(
    Convolution(1, 64, 56, 56, 64, (3, 3), (1, 1), (1, 1, 1, 1)),
    TARGETS[0],
    "float32",
    0.1,
    False,
    1,
    2,
)
@example(
    Convolution(1, 3, 64, 64, 32, (7, 7), (2, 2), (3, 3, 3, 3)),
    TARGETS[0],
    "float32",
    1.0,
    False,
    1,
    2,
)
@example(Convolution(1, 32, 16, 16, 24, (1, 1)), TARGETS[0], "float32", 0.2, False, 1, 2)
@example(Convolution(1, 24, 7, 7, 40, (1, 1)), TARGETS[0], "float32", 0.2, True, 1, 2)
@example(Convolution(1, 64, 8, 8, 64, (1, 1), (2, 2)), TARGETS[0], "float32", 0.2, False, 1, 2)
@example(
    Convolution(1, 96, 4, 4, 40, (3, 3), (1, 1), (1, 1, 1, 1)),
    TARGETS[0],
    "float32",
    0.1,
    False,
    4,
    2,
)
@example(
    Convolution(1, 96, 2, 2, 40, (3, 3), (1, 1), (1, 1, 1, 1)),
    TARGETS[0],
    "float32",
    0.1,
    True,
    4,
    2,
)
@example(Convolution(1, 72, 1, 1, 10, (1, 1)), TARGETS[0], "float32", 0.3, False, 1, 3)
@example(
    Convolution(1, 40, 9, 9, 40, (3, 3), (2, 2), (1, 1, 1, 1), groups=40),
    TARGETS[0],
    "float32",
    1.0,
    False,
    1,
    2,
)
@example(
    Convolution(1, 40, 14, 13, 40, (5, 5), (2, 2), (2, 2, 2, 2), groups=40),
    [*TARGETS, *WITH_BYTES][-1],
    "uint8",
    1.0,
    False,
    1,
    2,
)
@example(
    Convolution(1, 33, 16, 16, 25, (3, 3), (1, 1), (1, 1, 1, 1)),
    TARGETS[0],
    "uint8",
    0.2,
    False,
    4,
    2,
)
@settings(max_examples=16, deadline=None, derandomize=True)
def test_a_sparse_kernel_computes_what_pytorch_computes_with_any_number_of_threads(
    name, weight_format, layer, described, dtype, kept, empty_rows, block, threads
):
    zeros = kept, empty_rows, block
    check(name, weight_format, layer, described, dtype, zeros, threads, point=0)


@every_kernel
@given(
    layer=convolutions(),
    described=st.sampled_from([*TARGETS, *WITH_BYTES]),
    dtype=st.sampled_from(["float32", "float16", "uint8"]),
    kept=st.sampled_from([0.02, 0.1, 0.5, 1.0]),
    threads=st.integers(2, 5),
    point=points,
)
@settings(max_examples=10, deadline=None, derandomize=True)
def test_so_does_every_point_of_its_space(
    name, weight_format, layer, described, dtype, kept, threads, point
):
    check(name, weight_format, layer, described, dtype, (kept,), threads, point)


def check(name, weight_format, layer, described, dtype, zeros, threads, point):
    assume(dtype != "float16" or "x86-64-v2" not in described.values())  # it cannot widen them
    if dtype == "uint8":
        layer = replace(layer, border=7)
    data, weight, _ = operands(layer, dtype)
    weight = thinned(weight, *zeros)
    output = convolved(name, weight_format, layer, data, weight, described, 1, point)
    expected = expected_of(layer, data, weight)
    assert output.shape == expected.shape and output.dtype == SUMS[dtype]
    if dtype == "uint8":
        np.testing.assert_array_equal(output, expected)
    else:
        assert np.abs(output - expected).max() <= 1e-5 * max(1, np.abs(expected).max())
    shared = convolved(name, weight_format, layer, data, weight, described, threads, point)
    np.testing.assert_array_equal(shared, output)


# Code for it is made, not run: the instruction is there, and nothing widens bytes to multiply them
# one by one.
DOT_PRODUCTS = {
    "cascadelake": ("x86_64", r"\bvpdpbusd\s.*zmm", "vpmulld"),
    "alderlake": ("x86_64", r"\bvpdpbusd\s.*ymm", "vpmulld"),
    "cortex-a76": ("aarch64", r"\bsdot\s", r"\bmla\s+v\d+\.4s"),
    "cortex-a510": ("aarch64", r"\busdot\s", r"\bmla\s+v\d+\.4s"),
}


@pytest.mark.parametrize("weight_format", FORMATS)
@pytest.mark.parametrize(("groups", "kept"), [(1, 0.2), (1, 1.0), (32, 1.0)])
@pytest.mark.parametrize("cpu", DOT_PRODUCTS)
def test_int8_is_multiplied_by_dot_products(cpu, groups, kept, weight_format):
    """In sparse layers, dense ones and depthwise ones."""
    architecture, instruction, widened = DOT_PRODUCTS[cpu]
    described = {"kind": "llvm", "mtriple": f"{architecture}-linux-gnu", "mcpu": cpu}
    border = -3 if instruction.startswith(r"\bsdot") else 7  # of int8 and of uint8
    layer = Convolution(1, 32, 8, 8, 32, (3, 3), (1, 1), (1, 1, 1, 1), groups, border)
    weight = thinned(operands(layer, "uint8")[1], kept)
    function, _ = scheduled("direct", weight_format, layer, weight, "uint8", Target(described))
    named = function.with_attr("global_symbol", "layer")
    assembly = compile_kernel(named, Target(described)).inspect_source("asm")
    assert re.search(instruction, assembly)
    assert not re.search(widened, assembly)


def matrix_of(weight: np.ndarray, layer: Convolution, chunks: int, block: int = 1) -> tuple:
    planes = primitives.load("direct").planes(layer)
    vector = vector_unit(Target(TARGETS[0]), "float32")
    blocks = sparse_matrix.stored_blocks(weight, "float32", block, 1)
    nonzeros = np.count_nonzero(blocks.any(axis=-1))
    tile = sparse_matrix.ranked_tiles(layer, planes, vector, nonzeros, block)[0]
    return tile, sparse_matrix.compress(blocks, layer, planes, tile, chunks)


@given(
    kept=st.floats(0, 1),
    out_channels=st.integers(1, 60),
    chunks=st.integers(1, 8),
    block=st.sampled_from([1, 4]),
)
@settings(max_examples=30, deadline=None, derandomize=True)
def test_a_matrix_has_the_non_zeros_and_little_else(kept, out_channels, chunks, block):
    """Work is in proportion to the nonzeros: rows are padded by less than the interleaving."""
    layer = Convolution(1, 48, 6, 6, out_channels, (3, 3), (1, 1), (1, 1, 1, 1))
    weight = thinned(operands(layer, "float32")[1], kept, block=block)
    tile, matrix = matrix_of(weight, layer, chunks, block)
    assert sorted(matrix.values[matrix.values != 0]) == sorted(weight[weight != 0])
    assert len(matrix.values) == block * len(matrix.offsets)
    rows, stored = len(matrix.pointers) - 1, np.count_nonzero(weight[::block])
    assert matrix.pointers[-1] <= stored + rows * (tile.interleaved - 1)
    assert matrix.bounds[0] == 0 and matrix.bounds[-1] == -(-out_channels // block)
    assert len(matrix.bounds) == chunks + 1 and (np.diff(matrix.bounds) >= 0).all()


@pytest.mark.parametrize("weight_format", FORMATS)
def test_a_format_stores_blocks_of_the_size_that_it_describes(weight_format):
    layer = Convolution(1, 8, 6, 6, 8, (3, 3))
    weight = thinned(operands(layer, "float32")[1], 0.3)
    _, constants = scheduled("direct", weight_format, layer, weight, "float32", TARGETS[0])
    _, offsets, values, _ = constants
    assert len(values) == primitives.load_format(weight_format).PLUGIN.block * len(offsets)


def test_bytes_of_neighbouring_channels_are_one_column():
    weight = np.arange(1, 7, dtype=np.int8).reshape(1, 6, 1, 1)
    blocks = sparse_matrix.stored_blocks(weight, "uint8", 4, 4)
    assert blocks.shape == (1, 2, 1, 1, 4) and blocks.dtype == np.int32
    assert blocks[0, :, 0, 0, 0].copy().view(np.int8).tolist() == [1, 2, 3, 4, 5, 6, 0, 0]
    assert not blocks[..., 1:].any()


def test_chunks_of_channels_have_nearly_equal_work_where_rows_differ():
    """The first half of the rows has nine in ten of the non-zeros."""
    layer = Convolution(1, 64, 4, 4, 256, (3, 3), (1, 1), (1, 1, 1, 1))
    weight = operands(layer, "float32")[1]
    weight[:128] = thinned(weight[:128], 0.45)
    weight[128:] = thinned(weight[128:], 0.05)
    _, matrix = matrix_of(weight, layer, chunks=4)
    sizes = np.diff(matrix.pointers).reshape(-1, 256).sum(axis=0)
    work = [sizes[a:b].sum() for a, b in zip(matrix.bounds, matrix.bounds[1:], strict=False)]
    assert max(work) < 1.15 * np.mean(work)
    assert np.diff(matrix.bounds)[-1] > 2 * np.diff(matrix.bounds)[0]
