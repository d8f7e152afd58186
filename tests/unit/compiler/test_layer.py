"""The space of a layer's code: every option computes the same, and does what it is for."""

import numpy as np
import pytest
import tvm
import tvm_ffi
from tvm.target import Target

from dlas import primitives
from dlas.compiler.build import complete
from dlas.compiler.layer import Layer, workload_hash
from dlas.compiler.pipeline import compile_module
from dlas.hardware.platforms import Platform, target
from dlas.primitives.convolution import Convolution
from dlas.primitives.vector import vector_unit
from tests.unit.primitives.layers import GENERAL

AVX2 = target(Platform("avx2", {"kind": "llvm", "mcpu": "x86-64-v3"}, threads=1))
# Weights of a register tile are more than the first-level cache has room for.
DEEP = Convolution(1, 128, 8, 8, 64, (3, 3), (1, 1), (1, 1, 1, 1))


def layer_of(primitive: str, weight_format: str, dtype: str = "float32") -> Layer:
    algorithm, stored = primitives.load(primitive), primitives.load_format(weight_format)
    kind = "int8" if dtype == "uint8" else dtype
    vector = vector_unit(Target(AVX2), kind)
    generator = np.random.default_rng(0)
    weight = generator.integers(-9, 10, DEEP.weight_shape).astype(kind)
    layout = stored.layout(algorithm, DEEP.in_channels, vector)
    return Layer(algorithm, stored, weight, DEEP, layout, dtype, vector)


def compiled(layer: Layer, chosen: dict) -> tuple:
    kernel = layer.kernel(chosen)
    module = tvm.IRModule({"main": layer.scheduled(kernel)})
    return kernel, compile_module(module, complete(AVX2)).mod


def output(layer: Layer, chosen: dict) -> np.ndarray:
    kernel, library = compiled(layer, chosen)
    first, *_, last = (parameter.ty for parameter in kernel.function.params)
    data = np.random.default_rng(1).integers(0, 9, [int(extent) for extent in first.shape])
    result = tvm.runtime.tensor(np.zeros([int(e) for e in last.shape], str(last.dtype)))
    arrays = (data.astype(layer.dtype), *kernel.constants)
    library["main"](*(tvm.runtime.tensor(array) for array in arrays), result)
    return result.numpy()


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize(
    ("primitive", "weight_format"), [(name, "dense") for name in GENERAL] + [("direct", "csr")]
)
def test_every_option_of_every_choice_computes_the_same(primitive, weight_format, dtype):
    """On small integers, whose sums are exact in any order."""
    layer = layer_of(primitive, weight_format, dtype)
    expected = output(layer, {})
    assert np.abs(expected).max() > 100
    for name, options in layer.space.items():
        for option in options[1 : 4 if name == "tile" else None]:
            np.testing.assert_array_equal(
                output(layer, {name: option}), expected, f"{name} {option}"
            )


@pytest.mark.parametrize("primitive", ["gemm", "spatial_pack"])
def test_weights_are_prefetched_where_that_is_chosen(primitive):
    layer = layer_of(primitive, "dense")
    assert "prefetch" not in compiled(layer, {})[1].inspect_source("s")
    assert "prefetch" in compiled(layer, {"prefetch": 1})[1].inspect_source("s")


def test_register_tiles_share_the_weights_of_some_channels_where_that_is_chosen():
    layer = layer_of("spatial_pack", "dense")
    assert len(layer.space["blocking"]) > 1
    for blocking in layer.space["blocking"][1:]:
        assert (
            layer.scheduled(layer.kernel({"blocking": blocking})).script()
            != layer.scheduled(layer.kernel({})).script()
        )


def test_the_default_is_the_first_point_and_carries_nothing():
    layer = layer_of("gemm", "dense")
    assert next(layer.points()) == layer.defaults == dict.fromkeys(layer.space, 0)
    plain, default = (layer.kernel(chosen).function for chosen in ({}, layer.defaults))
    assert tvm_ffi.structural_equal(plain, default)


def test_a_workload_is_named_by_its_code_and_its_target():
    one, same = layer_of("gemm", "dense"), layer_of("gemm", "dense")
    assert workload_hash(one, AVX2) == workload_hash(same, AVX2)
    assert workload_hash(one, AVX2) != workload_hash(one, AVX2 | {"num-cores": 2})
    assert workload_hash(one, AVX2) != workload_hash(layer_of("direct", "dense"), AVX2)
    assert workload_hash(one, AVX2) != workload_hash(layer_of("gemm", "dense", "uint8"), AVX2)
