"""The exponential and the logistic function: bounds, special values, vector code, bits."""

import numpy as np
import pytest
import torch
import tvm
from tvm import te
from tvm.s_tir import Schedule

from dlas.compiler import exponential, integer_reference
from dlas.compiler.between import schedule_between
from dlas.compiler.build import build_library, complete
from dlas.compiler.check import largest_relative_error, relative_error_in_norm
from dlas.compiler.importer import import_network, reference_outputs
from dlas.compiler.pipeline import compile_kernel
from dlas.primitives.vector import vector_unit
from tests.unit.primitives.layers import GENERAL, TARGETS

FUNCTIONS = {
    exponential.exp: integer_reference.exponential,
    exponential.sigmoid: integer_reference.sigmoid,
}
CORTEX_A73 = {"kind": "llvm", "mtriple": "aarch64-linux-gnu", "mcpu": "cortex-a73"}
# One of 509 float32 bit patterns, of all exponents and both signs, NaN among them; a multiple of 16
# values.
SAMPLE = np.arange(0, 1 << 32, 509, dtype=np.uint64)[: 1 << 23].astype(np.uint32).view(np.float32)


def compiled(function, values, described):
    """Return a compiled kernel of one function over values, scheduled as in a network."""
    data = te.placeholder(values.shape, str(values.dtype), name="data")
    schedule = Schedule(te.create_prim_func([data, function(data)]))
    described = complete(described)
    schedule_between(schedule, vector_unit(described, "float32"))
    return compile_kernel(schedule.mod["main"].with_attr("global_symbol", "kernel"), described)


def run(function, values, described):
    output = tvm.runtime.tensor(np.empty_like(values))
    compiled(function, values, described)["kernel"](tvm.runtime.tensor(values), output)
    return output.numpy()


every_target = pytest.mark.parametrize("described", TARGETS, ids=lambda each: each["mcpu"])
every_function = pytest.mark.parametrize("function", FUNCTIONS, ids=lambda each: each.__name__)


@pytest.mark.parametrize(
    ("function", "bound", "lowest", "highest"),
    [(exponential.exp, 1e-7, -87.3, 88.3), (exponential.sigmoid, 1.5e-7, -87.3, np.inf)],
    ids=["exp", "sigmoid"],
)
def test_the_relative_error_is_within_the_bound(function, bound, lowest, highest):
    values = SAMPLE[(lowest <= SAMPLE) & (highest >= SAMPLE)]
    values = values[: len(values) // 16 * 16]
    wide = values.astype(np.float64)
    exact = np.exp(wide) if function is exponential.exp else 1 / (1 + np.exp(-wide))
    errors = np.abs(run(function, values, TARGETS[0]) / exact - 1)
    assert len(values) > 1 << 22
    assert bound / 2 < errors.max() <= bound


@every_target
@every_function
def test_the_integer_reference_has_the_same_bits(function, described):
    outputs, expected = run(function, SAMPLE, described), FUNCTIONS[function](SAMPLE)
    nan = np.isnan(SAMPLE)
    np.testing.assert_array_equal(outputs[~nan].view("int32"), expected[~nan].view("int32"))
    assert np.isnan(outputs[nan]).all()
    assert np.isnan(expected[nan]).all()


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_infinities_large_numbers_and_nan(dtype):
    large = np.finfo(dtype).max
    values = np.array([-np.inf, -large, 0, large, np.inf, np.nan], dtype)
    exp, sigmoid = (run(function, values, TARGETS[0]) for function in FUNCTIONS)
    np.testing.assert_array_equal(exp, [0, 0, 1, np.inf, np.inf, np.nan])
    np.testing.assert_array_equal(sigmoid, [0, 0, 0.5, 1, 1, np.nan])


@every_function
def test_float16_is_float32_rounded_once(function):
    values = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    with np.errstate(over="ignore", invalid="ignore"):
        expected = FUNCTIONS[function](values.astype(np.float32)).astype(np.float16)
    np.testing.assert_array_equal(run(function, values, TARGETS[0]), expected)


@pytest.mark.parametrize(
    ("described", "instruction"),
    [(described, "mulps") for described in TARGETS] + [(CORTEX_A73, "fmul\tv")],
    ids=lambda each: each["mcpu"] if isinstance(each, dict) else "",
)
@every_function
def test_no_element_calls_the_c_library(function, described, instruction):
    code = compiled(function, SAMPLE[:1024], described).inspect_source("asm")
    assert "expf" not in code
    assert "roundeven" not in code
    assert instruction in code


class Activations(torch.nn.Module):
    """A convolution with the activations of MobileNetV3 and EfficientNet, and an exponential."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleList(
            torch.nn.Conv2d(inputs, 16, 3, padding=1) for inputs in (3, 16, 16, 16)
        )
        self.activations = torch.nn.ModuleList(
            [torch.nn.Hardswish(), torch.nn.SiLU(), torch.nn.Hardsigmoid()]
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        for layer, activation in zip(self.layers, self.activations, strict=False):
            images = activation(layer(images))
        return self.layers[-1](images).exp().mean((2, 3))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("primitive", GENERAL)
def test_a_network_of_these_functions_agrees_with_its_framework(primitive, dtype):
    torch.manual_seed(0)
    model = Activations().eval().to(getattr(torch, dtype))
    network = import_network(model, (1, 3, 9, 10))
    images = np.random.default_rng(0).standard_normal((2, 3, 9, 10)).astype(np.float32)
    logits = reference_outputs(model, network, images)
    outputs = build_library(network, primitive, "dense", TARGETS[0]).load().run(images)
    if dtype == "float32":
        assert largest_relative_error(outputs, logits) < 1e-6
    assert relative_error_in_norm(outputs, logits) < 2e-3
