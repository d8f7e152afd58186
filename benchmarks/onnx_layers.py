"""ONNX Runtime on a layer: a model of one operator, one thread, input and output bound once."""

from collections.abc import Callable, Iterator

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from benchmarks.contenders import TOLERANCES, Contender, check, expected_of
from benchmarks.layers import Layer, operands
from dlas.primitives.convolution import Convolution

OPSET, FORMAT = 17, 8
# The zero point of the output is the middle of its range.
MIDDLE = np.uint8(128)


def onnx_runtime(layer: Layer) -> Iterator[Contender]:
    """Yield the dense convolution in float32, and in 8-bit integers with a scale per channel."""
    shape = layer.convolution
    data, weight = operands(shape, "float32")
    run, output = session("Conv", shape, data, {"weight": weight})
    expected = expected_of(data, weight, shape)
    run()
    check(output.numpy(), expected, TOLERANCES["float32"], f"{layer.name}: ONNX Runtime")
    yield Contender("float32", 0.0, "onnxruntime", "", "dense", run)

    data, weight = operands(shape, "int8")
    sums = expected_of(data, weight, shape)
    scale = (127 / np.abs(sums).max(axis=(0, 2, 3))).astype("float32")
    constants = {
        "data_scale": np.float32(1),
        "data_zero_point": np.uint8(0),
        "weight": weight,
        "weight_scale": scale,
        "weight_zero_point": np.zeros(len(scale), "int8"),
        "output_scale": np.float32(1),
        "output_zero_point": MIDDLE,
    }
    run, output = session("QLinearConv", shape, data, constants)
    expected = np.rint(sums * scale[:, None, None]) + float(MIDDLE)
    run()
    # Runtimes differ in the rounding of halves.
    step = 1 / expected.max()
    check(output.numpy().astype(float), expected, 1.01 * step, f"{layer.name}: QLinearConv")
    yield Contender("int8", 0.0, "onnxruntime", "", "dense", run)


def session(
    operator: str, layer: Convolution, data: np.ndarray, constants: dict[str, np.ndarray]
) -> tuple[Callable[[], object], onnxruntime.OrtValue]:
    """Return one run of a model of a single convolution, and its output."""
    element = TensorProto.UINT8 if data.dtype == "uint8" else TensorProto.FLOAT
    node = helper.make_node(
        operator,
        ["data", *constants],
        ["output"],
        kernel_shape=layer.kernel,
        strides=layer.stride,
        pads=layer.padding,
        group=layer.groups,
    )
    graph = helper.make_graph(
        [node],
        "layer",
        [helper.make_tensor_value_info("data", element, data.shape)],
        [helper.make_tensor_value_info("output", element, layer.out_shape)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=FORMAT
    )
    onnx.checker.check_model(model)
    return bound(model.SerializeToString(), data, np.empty(layer.out_shape, data.dtype))


def bound(
    model: bytes, data: np.ndarray, output: np.ndarray
) -> tuple[Callable[[], object], onnxruntime.OrtValue]:
    """Return one run of an ONNX model on one thread, and its output; both tensors are bound."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    running = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    (given,), (wanted,) = running.get_inputs(), running.get_outputs()
    # The runtime owns this memory: an OrtValue made from an array would not keep the array alive.
    feature = onnxruntime.OrtValue.ortvalue_from_shape_and_type(data.shape, data.dtype)
    feature.update_inplace(data)
    result = onnxruntime.OrtValue.ortvalue_from_numpy(output)
    binding = running.io_binding()
    binding.bind_ortvalue_input(given.name, feature)
    binding.bind_ortvalue_output(wanted.name, result)
    return lambda: running.run_with_iobinding(binding), result
