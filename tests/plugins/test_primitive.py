"""A primitive against PyTorch's convolution, on the layers and vector units it supports."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st
from tvm.target import Target

from dlas import primitives
from dlas.primitives.arithmetic import FP16_PRODUCTS, SUMS
from dlas.primitives.convolution import Convolution
from dlas.primitives.plugin import unsupported
from dlas.primitives.vector import native, vector_unit
from tests.unit.primitives.layers import (
    EXAMPLES,
    KINDS,
    TARGETS,
    compute,
    convolutions,
    points,
)

KIND = "primitive"


def declined(name, layer, described, dtype):
    """Return the reason why the primitive declines a layer, None if it supports it."""
    vector = vector_unit(Target(described), KINDS[dtype])
    return unsupported(primitives.load(name), layer, dtype, vector)


def check(name, layer, described, dtype, epilogue, point):
    if dtype == "uint8":
        layer = replace(layer, border=7)  # what stands for zero there
    output, expected, magnitude = compute(name, layer, described, dtype, epilogue, point)
    assert output.shape == expected.shape
    assert output.dtype == SUMS[dtype]
    if dtype == "uint8":
        np.testing.assert_array_equal(output, expected)
    elif dtype == "float16" and native(Target(described), dtype):
        # Each product and each of the additions to it in float16 rounds to the nearest (Higham,
        # Accuracy and Stability of Numerical Algorithms, 2002, section 4.2).
        roundings = (FP16_PRODUCTS + 1) * 2.0**-11
        assert (np.abs(output - expected) <= roundings / (1 - roundings) * magnitude + 1e-5).all()
    else:
        assert np.abs(output - expected).max() <= 1e-5 * max(1, np.abs(expected).max())


def test_it_supports_a_layer(name):
    reasons = [declined(name, layer, TARGETS[0], dtype) for layer, dtype in EXAMPLES]
    assert None in reasons, f"it declines every layer: {set(reasons)}"
    assert all(reason is None or (isinstance(reason, str) and reason) for reason in reasons)


@pytest.mark.parametrize(("layer", "dtype"), EXAMPLES, ids=str)
def test_it_computes_a_layer_of_the_literature_as_pytorch_does(name, layer, dtype):
    if reason := declined(name, layer, TARGETS[0], dtype):
        pytest.skip(f"declined: {reason}")
    check(name, layer, TARGETS[0], dtype, epilogue=True, point=0)


@given(
    layer=convolutions(),
    described=st.sampled_from(TARGETS),
    dtype=st.sampled_from(["float32", "float16", "uint8"]),
    epilogue=st.booleans(),
    point=points,
)
@settings(max_examples=30, deadline=None, derandomize=True)
def test_it_computes_any_layer_as_pytorch_does(name, layer, described, dtype, epilogue, point):
    assume(dtype != "float16" or "x86-64-v2" not in described.values())  # it cannot widen them
    if reason := declined(name, layer, described, dtype):
        event(f"declined: {reason}")
        return
    check(name, layer, described, dtype, epilogue, point)


@pytest.mark.skipif(not native(Target(TARGETS[0]), "float16"), reason="this CPU widens float16")
def test_thousands_of_float16_products_lose_no_more_than_one_block(name):
    layer = Convolution(1, 512, 8, 8, 64, (3, 3), (1, 1), (1, 1, 1, 1))
    if reason := declined(name, layer, TARGETS[0], "float16"):
        pytest.skip(f"declined: {reason}")
    output, expected, _ = compute(name, layer, TARGETS[0], "float16", False, 0)
    error = np.linalg.norm(output - expected) / np.linalg.norm(expected)
    # Rounding errors that are random add up as the square root of their number; half a unit in the
    # last place each.
    assert 1e-5 < error < 2.0**-12 * np.sqrt(FP16_PRODUCTS)
