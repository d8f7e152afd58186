"""ONNX Runtime: an ONNX model on its CPU provider."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from onnxruntime import InferenceSession, OrtValue, SessionOptions

from dlas.plugins import RuntimePlugin
from dlas.runtimes.plugin import Run

PLUGIN = RuntimePlugin(label="ONNX Runtime", order=2, loads="onnx", line=(0, (1, 1)))


def open_network(path: Path, threads: int) -> Callable[[np.ndarray], Run]:
    """Load an ONNX model. See `Runtime`."""
    options = SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (given,), (wanted,) = session.get_inputs(), session.get_outputs()

    def bind(image: np.ndarray) -> Run:
        # The runtime owns this memory: an OrtValue does not keep the array alive that it is from.
        data = OrtValue.ortvalue_from_shape_and_type(image.shape, np.float32)
        data.update_inplace(image)
        logits = OrtValue.ortvalue_from_shape_and_type(wanted.shape, np.float32)
        binding = session.io_binding()
        binding.bind_ortvalue_input(given.name, data)
        binding.bind_ortvalue_output(wanted.name, logits)

        def run() -> np.ndarray:
            session.run_with_iobinding(binding)
            values: np.ndarray = logits.numpy()
            return values

        return run

    return bind
