"""MNN: an ONNX model, converted by MNN's program."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import MNN
import numpy as np

from dlas.plugins import RuntimePlugin
from dlas.runtimes.conversion import convert
from dlas.runtimes.plugin import Run

PLUGIN = RuntimePlugin(label="MNN", order=5, loads="onnx", line=(0, (5, 1, 1, 1)))


def open_network(path: Path, threads: int) -> Callable[[np.ndarray], Run]:
    """Load an ONNX model. See `Runtime`."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "network.mnn")
        options = ["--modelFile", str(path.resolve()), "--MNNModel", str(file), "--bizCode", "dlas"]
        convert(["mnnconvert", "-f", "ONNX", *options], folder)
        interpreter = MNN.Interpreter(str(file))
    # High precision is float32; a lower one allows bfloat16.
    session = interpreter.createSession(
        {"numThread": threads, "backend": "CPU", "precision": "high"}
    )
    given, wanted = interpreter.getSessionInput(session), interpreter.getSessionOutput(session)

    def bind(image: np.ndarray) -> Run:
        data = tensor(image.copy())
        logits = np.empty(wanted.getShape(), np.float32)
        copied = tensor(logits)

        def run() -> np.ndarray:
            given.copyFrom(data)
            interpreter.runSession(session)
            wanted.copyToHostTensor(copied)
            return np.array(copied.getNumpyData(), dtype=np.float32).reshape(logits.shape)

        return run

    return bind


def tensor(values: np.ndarray) -> MNN.Tensor:
    """Return an array as an MNN tensor with the layout NCHW."""
    return MNN.Tensor(values.shape, MNN.Halide_Type_Float, values, MNN.Tensor_DimensionType_Caffe)
