"""A weight format: under each primitive its kernels compute what PyTorch computes."""

import numpy as np
import pytest
from tvm.s_tir import Schedule
from tvm.target import Target

from dlas import primitives
from dlas.primitives.arithmetic import SUMS
from dlas.primitives.plugin import load_format, unsupported
from dlas.primitives.vector import vector_unit
from tests.unit.primitives.layers import (
    EXAMPLES,
    GENERAL,
    KINDS,
    TARGETS,
    Point,
    expected_of,
    from_physical,
    operands,
    run,
    to_physical,
)

KIND = "format"


def declined(name, primitive, layer, dtype):
    vector = vector_unit(Target(TARGETS[0]), KINDS[dtype])
    plugins = load_format(name), primitives.load(primitive)
    return next(filter(None, (unsupported(each, layer, dtype, vector) for each in plugins)), None)


def test_it_supports_a_layer(name):
    reasons = [
        declined(name, primitive, layer, dtype)
        for primitive in GENERAL
        for layer, dtype in EXAMPLES
    ]
    assert None in reasons, f"it declines every layer: {set(reasons)}"


@pytest.mark.parametrize("primitive", GENERAL)
@pytest.mark.parametrize(("layer", "dtype"), EXAMPLES[::3], ids=str)
def test_it_computes_a_layer_as_pytorch_does(name, primitive, layer, dtype):
    if reason := declined(name, primitive, layer, dtype):
        pytest.skip(f"declined: {reason}")
    weight_format, convolve = load_format(name), primitives.load(primitive)
    vector, decide = vector_unit(Target(TARGETS[0]), KINDS[dtype]), Point(0)
    data, weight, _ = operands(layer, dtype)
    weight[np.random.default_rng(1).random(weight.shape) < 0.7] = 0

    layout = weight_format.layout(convolve, layer.in_channels, vector)
    kernel = weight_format.kernel(convolve, weight, layer, layout, dtype, vector, decide)
    schedule = Schedule(kernel.function)
    weight_format.schedule(convolve, schedule, vector, decide)
    shape = [int(extent) for extent in kernel.function.params[0].ty.shape]
    physical = to_physical(data, layout).reshape(shape)
    output = run(schedule.mod["main"], [physical, *kernel.constants], TARGETS[0])
    output = output.reshape(kernel.layout.shape(*layer.out_shape))
    output = from_physical(output, layer.out_channels, kernel.layout)

    expected = expected_of(layer, data, weight)
    assert output.shape == expected.shape and output.dtype == SUMS[dtype]
    error = np.abs(output - expected).max() / max(1, np.abs(expected).max())
    assert error <= {"float32": 1e-5, "float16": 1e-2, "uint8": 0}[dtype]
