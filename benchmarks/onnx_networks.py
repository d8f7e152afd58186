"""ONNX Runtime on a network: exported from PyTorch in float32, and quantized to 8-bit integers by its own tools."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from benchmarks.contenders import check
from benchmarks.interleaved import repeated
from benchmarks.network_contenders import TOLERANCES, Contender, Workload
from benchmarks.onnx_layers import bound
from dlas.models import accuracy
from dlas.models.export import write_onnx

# Of the largest logit: what rounding to integers changes.
INT8_TOLERANCE = 0.1


def onnx_runtime(work: Workload) -> Iterator[Contender]:
    """Yield the network in float32 and, of a case that is compressed, in int8."""
    expected = accuracy.logits(work.model, work.image)
    with tempfile.TemporaryDirectory() as folder:
        exported, quantized = Path(folder) / "float32.onnx", Path(folder) / "int8.onnx"
        write_onnx(work.model, work.image, exported)
        files = [("float32", exported, TOLERANCES["float32"])]
        if work.case.compressed:
            quantize(exported, work.images, quantized)
            files.append(("int8", quantized, INT8_TOLERANCE))
        for dtype, file, tolerance in files:
            run, output = bound(file.read_bytes(), work.image, np.empty_like(expected))
            run()
            check(output.numpy(), expected, tolerance, f"{work.case.name}: ONNX Runtime {dtype}")
            yield Contender("onnxruntime", "", "dense", dtype, 0.0, "", repeated(run))


def quantize(model: Path, images: np.ndarray, path: Path) -> None:
    """Write an ONNX model in 8-bit integers, prepared and quantized as ONNX Runtime recommends.

    Activations are uint8, weights int8 with a scale for each channel, in the QDQ format, which ONNX Runtime turns into
    integer operators when it loads the model: all that it has, so that feature maps stay integers from layer to layer.
    The model's own shapes suffice: their symbolic inference would add nothing.
    """
    prepared = path.with_suffix(".prepared")
    quant_pre_process(model, prepared, skip_symbolic_shape=True)
    quantize_static(
        prepared,
        path,
        Images(images),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


class Images(CalibrationDataReader):  # type: ignore[misc]
    """Images [N, C, H, W] one by one, as calibration reads them."""

    def __init__(self, images: np.ndarray) -> None:
        self.feeds = iter([{"images": image[None]} for image in images])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.feeds, None)
