"""OpenVINO: an ONNX model, or one in OpenVINO's own format, on the CPU plugin."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from openvino import Core, Tensor

from dlas.plugins import RuntimePlugin
from dlas.runtimes.plugin import Run

PLUGIN = RuntimePlugin(label="OpenVINO", order=3, loads="onnx", line=(0, (3, 1, 1, 1)))


def open_network(path: Path, threads: int) -> Callable[[np.ndarray], Run]:
    """Load an ONNX model, or OpenVINO's own .xml. See `Runtime`."""
    options = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        # Without it, some CPUs compute float32 networks in bfloat16.
        "INFERENCE_PRECISION_HINT": "f32",
    }
    compiled = Core().compile_model(path, "CPU", options)

    def bind(image: np.ndarray) -> Run:
        request = compiled.create_infer_request()
        request.set_input_tensor(Tensor(image.copy()))
        logits = request.get_output_tensor()

        def run() -> np.ndarray:
            request.infer()
            values: np.ndarray = logits.data
            return values

        return run

    return bind
