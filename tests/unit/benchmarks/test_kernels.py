"""The layer benchmark: its layers, weights and rows, and where sparse kernels break even."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from tvm.target import Target

from benchmarks import break_even
from benchmarks.contenders import (
    BLOCK_SPARSITIES,
    COLUMNS,
    SPARSITIES,
    Contender,
    check,
    cost,
    measure,
    own_kernels,
    pytorch,
)
from benchmarks.interleaved import ratios_to, take_turns, write
from benchmarks.layers import Layer, all_layers, network_layers, operands, thinned
from benchmarks.roofline import Roofline
from dlas.hardware.platforms import Platform, target
from dlas.primitives.convolution import Convolution
from tests.unit.primitives.layers import GENERAL

SMALL = Layer("resnet18_32", Convolution(1, 6, 8, 8, 20, (3, 3), (1, 1), (1, 1, 1, 1)))
HOST = target(Platform("host", threads=1))


def test_the_layers_are_those_of_the_networks():
    layers = all_layers()
    assert len({layer.name for layer in layers}) == len(layers)
    sources = Counter(layer.source for layer in layers)
    assert sources["resnet18_32"] == sources["resnet18_224"] == 11
    assert sources["pull_request_8605"] == 4
    shapes = {layer.convolution for layer in layers}
    assert Convolution(1, 3, 224, 224, 64, (7, 7), (2, 2), (3, 3, 3, 3)) in shapes
    assert Convolution(1, 512, 4, 4, 512, (3, 3), (1, 1), (1, 1, 1, 1)) in shapes
    mobilenet = [one.convolution for one in layers if one.source == "mobilenet_v2_32"]
    assert all(shape.pointwise for shape in mobilenet)
    assert any(shape.depthwise for shape in (one.convolution for one in mobilenet_layers()))


def mobilenet_layers() -> list[Layer]:
    return list(network_layers("mobilenet_v2", 32, "small_input"))


@pytest.mark.parametrize("sparsity", SPARSITIES)
def test_a_weight_has_its_share_of_zeros_exactly(sparsity):
    _, weight = operands(SMALL.convolution, "float32")
    left = thinned(weight, sparsity)
    assert np.count_nonzero(left) == weight.size - round(sparsity * weight.size)
    np.testing.assert_array_equal(left[left != 0], weight[left != 0])
    assert not thinned(weight, 1.0)[left == 0].any()
    blocks = thinned(weight, sparsity, 4).reshape(-1, 4, *weight.shape[1:])
    assert ((blocks == 0).all(axis=1) == (blocks == 0).any(axis=1)).all()
    assert (blocks[:, 0] == 0).sum() == round(sparsity * weight.size / 4)
    assert not thinned(weight, 0.995)[left == 0].any()  # zeros stay zeros as the share grows


def test_a_row_for_each_contender_of_a_layer(tmp_path):
    contenders = [*pytorch(SMALL), *own_kernels(SMALL, Target(HOST))]
    table = measure(SMALL, contenders, Roofline(HOST), range(3), seconds=1e-4)
    assert list(table) == COLUMNS and set(table["layer"]) == {SMALL.name}
    kernels = table[table["runtime"] == "dlas"].groupby(["primitive", "format", "dtype"]).size()
    assert kernels["winograd", "dense", "float32"] == 1
    for primitive in GENERAL:
        assert kernels[primitive, "csr", "float32"] == len(SPARSITIES)
        assert kernels[primitive, "bsr", "float32"] == len(BLOCK_SPARSITIES)
        for dtype in ("float32", "float16", "int8"):
            assert kernels[primitive, "dense", dtype] == 1
    peer = table.query("runtime == 'pytorch' and format == 'dense'")
    assert peer["ratio_to_pytorch_float32"].tolist() == [1]
    assert (table[["latency_ms", "gflops", "limit_ms", "peak_gflops"]] > 0).all(axis=None)
    assert set(table["limit"]) <= {"arithmetic", "bandwidth"}
    write(table, tmp_path / "kernels.csv")
    assert list(pd.read_csv(tmp_path / "kernels.csv")) == COLUMNS


def test_operations_are_those_of_non_zeros_and_bytes_those_that_are_stored():
    def of(sparsity: float, weight_format: str, dtype: str) -> tuple[float, float]:
        return cost(
            SMALL.convolution, Contender(dtype, sparsity, "", "", weight_format, lambda: None)
        )

    features, weights = 6 * 64 + 20 * 64, 20 * 6 * 9
    assert of(0, "dense", "float32") == (2 * 64 * weights, 4 * (features + weights))
    assert of(0, "dense", "int8") == (2 * 64 * weights, features + weights)
    assert of(0.9, "csr", "float32") == (2 * 64 * weights / 10, 4 * features + 6 * weights / 10)


def test_a_wrong_result_stops_the_benchmark():
    with pytest.raises(SystemExit, match=r"a kernel is wrong by 0\.5; allowed: 0\.0001"):
        check(np.array([1.0, 2.0]), np.array([2.0, 2.0]), 1e-4, "a kernel")


def test_ratios_are_of_pairs_and_every_turn_samples_all():
    """A drift that doubles every turn leaves the ratio as it is."""
    calls: list[int] = []

    def sampler(place: int, seconds: float):
        def sample(number: int) -> float:
            calls.append(place)
            return seconds * 2 ** ((len(calls) + 1) // 2)

        return sample

    samples = take_turns([sampler(0, 1.0), sampler(1, 3.0)], range(5), seconds=1e-3)
    assert samples.shape == (5, 2)
    assert Counter(calls[6:]) == {0: 5, 1: 5}
    np.testing.assert_allclose(ratios_to(samples, 0), [1, 3])


def test_the_break_even_is_where_the_line_crosses_one():
    levels = [0.0, 0.5, 0.9, 0.99]
    assert break_even.break_even(pd.Series([1.8, 1.3, 0.9, 0.81], levels)) == pytest.approx(0.8)
    assert break_even.break_even(pd.Series([0.9, 1.1, 0.9, 0.8], levels)) == pytest.approx(0.7)
    assert break_even.break_even(pd.Series([0.9, 0.8, 0.7, 0.6], levels)) == 0
    assert np.isnan(break_even.break_even(pd.Series([4.0, 3, 2, 1.5], levels)))


def timed(layer: str, factor: float) -> list[dict]:
    """Rows of one layer as if a sparse kernel took `factor` times its share of the non-zeros."""
    rows = [("float32", 0.0, "pytorch", "", "dense", 1.0)]
    rows += [("float32", 0.0, "onnxruntime", "", "dense", 0.8)]
    for index, primitive in enumerate(GENERAL):
        times = {"float32": 0.5, "float16": 0.4, "int8": 0.2}
        for dtype, ratio in times.items():
            rows.append((dtype, 0.0, "dlas", primitive, "dense", ratio * (1 + index)))
        for sparsity in SPARSITIES:
            ratio = factor * (1 - sparsity) * (1 + index)
            rows.append(("float32", sparsity, "dlas", primitive, "csr", ratio))
    rows += [("float32", s, "pytorch", "", "csr", 4 * (1 - s)) for s in SPARSITIES]
    names = ["dtype", "sparsity", "runtime", "primitive", "format", break_even.RATIO]
    return [{"layer": layer, **dict(zip(names, row, strict=True))} for row in rows]


def test_the_summary_and_the_figure_are_of_resnet18s_3x3_layers():
    rows = [timed("resnet18_32 3x3 64-64 at 32x32", 1.0)]
    rows += [timed("resnet18_224 3x3 64-64 at 56x56", 4.0), timed("mobilenet_v2_32 1x1 a", 99.0)]
    table = pd.DataFrame([row for some in rows for row in some])
    said = break_even.summary(table)
    assert "ResNet18's 3x3 layers (2)" in said
    assert "against PyTorch dense: 50 %" in said  # the geometric mean of 1 and 4 is 2
    assert "against ONNX Runtime dense: 60 %" in said
    assert "against this project's fastest dense primitive: 75 %" in said
    assert "dlas int8: 0.200, 0.400 of its float32" in said
    assert "slowest layer at 90 %: resnet18_224 3x3 64-64 at 56x56, 0.400" in said
    (axis,) = break_even.draw(table).axes
    assert axis.get_yscale() == "log"
    assert len(axis.get_lines()) == len(GENERAL) + 1 + 3
