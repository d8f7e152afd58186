"""Winograd's algorithm: exact enough at every size of tile, and chosen where it pays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm.target import Target

from dlas.compiler.build import build_library
from dlas.compiler.check import largest_relative_error
from dlas.compiler.schedulers import plugin, unscheduled
from dlas.compiler.tuning.settings import Settings
from dlas.errors import UnsupportedError
from dlas.hardware.devices import device_opener
from dlas.primitives import winograd
from dlas.primitives.convolution import Convolution
from dlas.primitives.knobs import Knobs
from dlas.primitives.vector import vector_unit
from tests.unit.compiler.imported import imported, network_of
from tests.unit.primitives.layers import PLATFORMS, TARGETS, compute

SAME = (1, 1, 1, 1)
SETTINGS = Settings(
    "evolutionary",
    {"layer": 3, "network": 9},
    3,
    {"repeats": 2, "min_repeat_ms": 0.2, "timeout_s": 60},
    {"finalists": 1, "repeats": 5},
)


def layer(channels, size, outputs=None, **shape):
    return Convolution(1, channels, size, size, outputs or channels, (3, 3), padding=SAME, **shape)


@pytest.mark.parametrize("outputs", [2, 4])
def test_the_matrices_convolve_a_row(outputs):
    """The one-dimensional algorithm with exact numbers: A^T [(G g) * (B^T d)]."""
    generator = np.random.default_rng(0)
    kernel, data = generator.integers(-9, 9, 3), generator.integers(-9, 9, outputs + 2)
    products = (np.array(winograd.WEIGHT[outputs]) @ kernel) * (winograd.INPUT[outputs] @ data)
    expected = [kernel @ data[place : place + 3] for place in range(outputs)]
    np.testing.assert_allclose(winograd.OUTPUT[outputs] @ products, expected, rtol=1e-12)


@given(
    shape=st.builds(
        Convolution,
        batch=st.sampled_from([1, 1, 2]),
        in_channels=st.integers(16, 40),
        height=st.integers(3, 15),
        width=st.integers(3, 19),
        out_channels=st.integers(1, 40),
        kernel=st.just((3, 3)),
        padding=st.tuples(*[st.integers(0, 2)] * 4),
    ),
    described=st.sampled_from(TARGETS),
    outputs=st.sampled_from([2, 4]),
    dtype=st.sampled_from(["float32", "float16"]),
    epilogue=st.booleans(),
    point=st.integers(0, 20),
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_any_layer_in_tiles_of_any_size(shape, described, outputs, dtype, epilogue, point):
    if dtype == "float16" and "x86-64-v2" in described.values():  # it cannot widen them
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "ranked_outputs", lambda _: [outputs])
        output, expected, _ = compute("winograd", shape, described, dtype, epilogue, point)
    assert np.abs(output - expected).max() <= 2e-5 * max(1, np.abs(expected).max())


@pytest.mark.parametrize(("outputs", "bound"), [(0, 1e-6), (2, 6e-7), (4, 4e-6)])
def test_the_error_that_the_documentation_states(monkeypatch, outputs, bound):
    """Root mean square over that of the results, on a layer of 256 channels."""
    monkeypatch.setattr(winograd, "ranked_outputs", lambda _: [outputs])
    output, expected, _ = compute("winograd", layer(256, 16), TARGETS[0], "float32", False, 0)
    error = np.linalg.norm(output - expected) / np.linalg.norm(expected)
    assert error < bound


@pytest.mark.parametrize(
    ("shape", "first"),
    [
        (layer(64, 32), 4),
        (layer(64, 56), 4),
        (layer(128, 28), 4),
        (layer(256, 8), 2),
        (layer(512, 4), 0),
        (layer(3, 32, 64), 0),
        (layer(64, 32, stride=(2, 2)), 0),
        (layer(64, 32, groups=64), 0),
        (Convolution(1, 64, 32, 32, 64, (1, 1)), 0),
    ],
    ids=str,
)
def test_large_maps_get_large_tiles_and_layers_that_do_not_fit_none(shape, first):
    ranked = winograd.ranked_outputs(shape)
    assert ranked[0] == first
    fits = shape.kernel == (3, 3) and shape.stride == (1, 1) and shape.groups == 1
    assert sorted(ranked) == ([0, 2, 4] if fits and shape.in_channels >= 16 else [0])


def test_panels_fit_into_a_cache_and_leave_work_to_each_thread():
    assert winograd._panels(14, winograd.PANEL_BYTES // 2, threads=1)[0] == 2
    assert winograd._panels(14, 2 * winograd.PANEL_BYTES, threads=1)[0] == 1
    assert winograd._panels(8, 1, threads=1)[0] == 8
    assert winograd._panels(8, 1, threads=4)[0] == 2
    assert sorted(winograd._panels(14, 1, threads=1)) == [1, 2, 7, 14]


def test_a_library_says_how_many_layers_are_its_own():
    network, images, expected = imported("resnet18", "small_input", 32, width=0.25)
    library = build_library(network, "winograd", "dense", TARGETS[0])
    plain = build_library(network, "spatial_pack", "dense", TARGETS[0])
    assert 0 < library.record()["primitive_layers"] < plain.record()["primitive_layers"] == 21
    assert largest_relative_error(library.load().run(images), expected) < 1e-4


@pytest.mark.parametrize(
    ("weight_format", "channels", "reason"),
    [
        ("csr", (16, 16), "leaves no weight zero; allowed: dense"),
        ("dense", (16,), "no layer that winograd computes"),
    ],
)
def test_what_it_declines_is_unsupported(weight_format, channels, reason):
    with pytest.raises(UnsupportedError, match=reason):
        build_library(network_of(*channels), "winograd", weight_format, TARGETS[0])


@pytest.mark.parametrize(
    "pair",
    [
        ("vgg16", "small_input", 32),
        ("resnet50", "large_input", 64),
        ("densenet161", "large_input", 64),
    ],
    ids=lambda pair: pair[0],
)
def test_networks_agree_with_their_framework(pair):
    network, images, expected = imported(*pair, width=0.25)
    library = build_library(network, "winograd", "dense", TARGETS[0])
    assert library.primitive_layers >= 6
    assert largest_relative_error(library.load().run(images), expected) < 1e-4


@pytest.mark.parametrize("way", ["autotuned", "auto_scheduled"])
def test_searches_find_correct_code(way, tmp_path):
    network = network_of(16, 16)
    images = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype("float32")
    expected = build_library(network, "spatial_pack", "dense", TARGETS[0]).load().run(images)
    outcome = plugin.load_searching(way).tune(
        network,
        "winograd",
        "dense",
        TARGETS[0],
        SETTINGS,
        records=tmp_path,
        seed=0,
        opener=device_opener(PLATFORMS[0]),
    )
    library = build_library(network, "winograd", "dense", TARGETS[0], outcome.choices)
    assert library.scheduled_layers is not None
    assert largest_relative_error(library.load().run(images), expected) < 1e-5


def test_the_bare_loops_are_right():
    network = network_of(16, 16)
    images = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype("float32")
    expected = build_library(network, "spatial_pack", "dense", TARGETS[0]).load().run(images)
    library = build_library(network, "winograd", "dense", TARGETS[0], scheduler=unscheduled)
    assert largest_relative_error(library.load().run(images), expected) < 1e-5


def test_integers_are_declined():
    vector = vector_unit(Target(TARGETS[0]), "int8")
    assert "8-bit integers" in winograd.supports(layer(64, 32), "uint8", vector)
    assert winograd.packing(layer(512, 4), vector, Knobs()).outputs == 0
