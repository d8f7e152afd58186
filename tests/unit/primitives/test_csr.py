"""Kernels of CSR weights against PyTorch's convolution: any layer, any pattern of zeros, any number of threads."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from tvm.s_tir import Schedule
from tvm.target import Target

from dlas import primitives
from dlas.primitives import csr
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

ONE = "one weight"  # of all; else the share of the weights that are left


def thinned(weight: np.ndarray, kept: float | str, empty_rows: bool) -> np.ndarray:
    """A weight with zeros, in some rows nothing else."""
    generator = np.random.default_rng(1)
    if kept == ONE:
        left = np.zeros(weight.size, bool)
        left[generator.integers(weight.size)] = True
        left = left.reshape(weight.shape)
    else:
        left = generator.random(weight.shape) < kept
    if empty_rows:
        left[::2] = False
    return np.where(left, weight, 0).astype(weight.dtype)


def convolved(name, layer, data, weight, described, threads, point=0) -> np.ndarray:
    """What a kernel makes of a layer, scheduled for some threads."""
    vector = replace(vector_unit(Target(described), KINDS[str(data.dtype)]), threads=threads)
    primitive = primitives.load(name)
    decide = Point(point)
    kernel = csr.kernel(primitive, weight, layer, NCHW, str(data.dtype), vector, decide)
    schedule = Schedule(kernel.function)
    csr.schedule(primitive, schedule, vector, decide)
    shape = [int(extent) for extent in kernel.function.params[0].ty.shape]
    return run(schedule.mod["main"], [data.reshape(shape), *kernel.constants], described)


@pytest.mark.parametrize("name", GENERAL)
@given(
    layer=convolutions(),
    described=st.sampled_from(TARGETS),
    dtype=st.sampled_from(["float32", "float32", "float16", "uint8"]),
    kept=st.sampled_from([0.0, ONE, 0.02, 0.1, 0.5, 1.0]),
    empty_rows=st.booleans(),
    threads=st.integers(2, 5),
)
@example(
    Convolution(1, 64, 56, 56, 64, (3, 3), (1, 1), (1, 1, 1, 1)),
    TARGETS[0],
    "float32",
    0.1,
    False,
    2,
)
@example(
    Convolution(1, 3, 64, 64, 32, (7, 7), (2, 2), (3, 3, 3, 3)),
    TARGETS[0],
    "float32",
    1.0,
    False,
    2,
)
@example(Convolution(1, 32, 16, 16, 24, (1, 1)), TARGETS[0], "float32", 0.2, False, 2)
@example(Convolution(1, 24, 7, 7, 40, (1, 1)), TARGETS[0], "float32", 0.2, True, 2)
@example(Convolution(1, 64, 8, 8, 64, (1, 1), (2, 2)), TARGETS[0], "float32", 0.2, False, 2)
@example(
    Convolution(1, 96, 4, 4, 40, (3, 3), (1, 1), (1, 1, 1, 1)), TARGETS[0], "float32", 0.1, False, 2
)
@example(
    Convolution(1, 96, 2, 2, 40, (3, 3), (1, 1), (1, 1, 1, 1)), TARGETS[0], "float32", 0.1, True, 2
)
@example(Convolution(1, 72, 1, 1, 10, (1, 1)), TARGETS[0], "float32", 0.3, False, 3)
@example(
    Convolution(1, 40, 9, 9, 40, (3, 3), (2, 2), (1, 1, 1, 1), groups=40),
    TARGETS[0],
    "float32",
    1.0,
    False,
    2,
)
@settings(max_examples=16, deadline=None, derandomize=True)
def test_a_sparse_kernel_computes_what_pytorch_computes_with_any_number_of_threads(
    name, layer, described, dtype, kept, empty_rows, threads
):
    check(name, layer, described, dtype, kept, empty_rows, threads, point=0)


@pytest.mark.parametrize("name", GENERAL)
@given(
    layer=convolutions(),
    described=st.sampled_from(TARGETS),
    dtype=st.sampled_from(["float32", "float16", "uint8"]),
    kept=st.sampled_from([0.02, 0.1, 0.5]),
    threads=st.integers(2, 5),
    point=points,
)
@settings(max_examples=10, deadline=None, derandomize=True)
def test_so_does_every_point_of_its_space(name, layer, described, dtype, kept, threads, point):
    check(name, layer, described, dtype, kept, False, threads, point)


def check(name, layer, described, dtype, kept, empty_rows, threads, point):
    assume(dtype != "float16" or "x86-64-v2" not in described.values())  # it cannot widen them
    if dtype == "uint8":
        layer = replace(layer, border=7)
    data, weight, _ = operands(layer, dtype)
    weight = thinned(weight, kept, empty_rows)
    output = convolved(name, layer, data, weight, described, 1, point)
    expected = expected_of(layer, data, weight)
    assert output.shape == expected.shape and output.dtype == SUMS[dtype]
    if dtype == "uint8":
        np.testing.assert_array_equal(output, expected)
    else:
        assert np.abs(output - expected).max() <= 1e-5 * max(1, np.abs(expected).max())
    shared = convolved(name, layer, data, weight, described, threads, point)
    np.testing.assert_array_equal(shared, output)


def matrix_of(weight: np.ndarray, layer: Convolution, chunks: int) -> tuple:
    primitive = primitives.load("direct")
    vector = vector_unit(Target(TARGETS[0]), "float32")
    planes = primitive.planes(layer)
    tile = csr.ranked_tiles(layer, planes, vector, np.count_nonzero(weight))[0]
    return tile, csr.compress(weight, layer, planes, tile, chunks)


@given(kept=st.floats(0, 1), out_channels=st.integers(1, 60), chunks=st.integers(1, 8))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_a_matrix_has_the_non_zeros_and_little_else(kept, out_channels, chunks):
    """Work is in proportion to the non-zeros: each row is filled up by less than what is interleaved."""
    layer = Convolution(1, 48, 6, 6, out_channels, (3, 3), (1, 1), (1, 1, 1, 1))
    weight = thinned(operands(layer, "float32")[1], kept, empty_rows=False)
    tile, matrix = matrix_of(weight, layer, chunks)
    assert sorted(matrix.values[matrix.values != 0]) == sorted(weight[weight != 0])
    rows = len(matrix.pointers) - 1
    assert matrix.pointers[-1] <= np.count_nonzero(weight) + rows * (tile.interleaved - 1)
    assert matrix.bounds[0] == 0 and matrix.bounds[-1] == out_channels
    assert len(matrix.bounds) == chunks + 1 and (np.diff(matrix.bounds) >= 0).all()


def test_chunks_of_channels_have_nearly_equal_work_where_rows_differ():
    """The first half of the rows has nine in ten of the non-zeros."""
    layer = Convolution(1, 64, 4, 4, 256, (3, 3), (1, 1), (1, 1, 1, 1))
    weight = operands(layer, "float32")[1]
    weight[:128] = thinned(weight[:128], 0.45, False)
    weight[128:] = thinned(weight[128:], 0.05, False)
    _, matrix = matrix_of(weight, layer, chunks=4)
    sizes = np.diff(matrix.pointers).reshape(-1, 256).sum(axis=0)
    work = [sizes[a:b].sum() for a, b in zip(matrix.bounds, matrix.bounds[1:], strict=False)]
    assert max(work) < 1.15 * np.mean(work)
    assert np.diff(matrix.bounds)[-1] > 2 * np.diff(matrix.bounds)[0]
