"""ncnn: an ONNX model, converted by its program pnnx."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import ncnn
import numpy as np
import onnx

from dlas.plugins import RuntimePlugin
from dlas.runtimes.conversion import convert
from dlas.runtimes.plugin import Run

PLUGIN = RuntimePlugin(label="ncnn", order=4, loads="onnx", line=(0, (5, 1)))


def open_network(path: Path, threads: int) -> Callable[[np.ndarray], Run]:
    """Load an ONNX model. See `Runtime`."""
    net = ncnn.Net()
    net.opt.num_threads = threads
    # All runtimes compute in float32.
    for option in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
        setattr(net.opt, f"use_{option}", False)
    with TemporaryDirectory() as folder:
        converted = Path(folder, "network")
        files = [converted.with_suffix(suffix) for suffix in (".ncnn.param", ".ncnn.bin")]
        shape = f"inputshape=[{','.join(map(str, input_shape(path)))}]f32"
        options = [f"ncnnparam={files[0]}", f"ncnnbin={files[1]}", "fp16=0"]
        # The program writes more files beside its input, which is a link in the temporary folder.
        copied = converted.with_suffix(".onnx")
        copied.symlink_to(path.resolve())
        convert(["pnnx", copied, shape, *options], folder)
        net.load_param(str(files[0]))
        net.load_model(str(files[1]))
    (given,), (wanted,) = net.input_names(), net.output_names()

    def bind(image: np.ndarray) -> Run:
        data = ncnn.Mat(image[0]).clone()

        def run() -> np.ndarray:
            extractor = net.create_extractor()
            extractor.input(given, data)
            _, logits = extractor.extract(wanted)
            return np.array(logits)[None]

        return run

    return bind


def input_shape(path: Path) -> tuple[int, ...]:
    """Return the shape [N, C, H, W] of an ONNX model's input."""
    model = onnx.load(path, load_external_data=False)
    (image,) = model.graph.input
    return tuple(int(extent.dim_value) for extent in image.type.tensor_type.shape.dim)
