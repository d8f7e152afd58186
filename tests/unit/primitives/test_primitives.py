"""Layouts, blocks and layers: what all primitives are made of."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import te

from dlas import primitives
from dlas.errors import StudyError
from dlas.primitives.arithmetic import FP16_PRODUCTS, fp16_blocks
from dlas.primitives.convolution import Convolution
from dlas.primitives.layout import NCHW, Layout, relayout
from dlas.primitives.vector import VectorUnit
from tests.unit.primitives.layers import TARGETS, from_physical, run, to_physical


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


def test_macs_are_those_of_the_literature():
    assert Convolution(1, 3, 224, 224, 64, (7, 7), (2, 2), (3, 3, 3, 3)).macs == 118_013_952
    assert Convolution(1, 32, 112, 112, 32, (3, 3), (1, 1), (1, 1, 1, 1), 32).macs == 3_612_672


def test_an_unknown_primitive_is_named_with_those_allowed():
    with pytest.raises(StudyError, match="unknown primitive 'fft'; allowed: direct, gemm"):
        primitives.load("fft")


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
