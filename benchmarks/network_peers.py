"""Peers of a network: other runtimes, in float32 and quantized by the runtimes' own tools.

Each runs in a subprocess on one core, and is checked before it is timed. A peer that is not
installed, fails, hangs or is wrong has the reason in its row.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.network_contenders import TOLERANCES, Contender, Workload
from dlas import registry
from dlas.errors import FailedError
from dlas.hardware import host
from dlas.hardware.contenders import Machine, checked_peers
from dlas.models import accuracy
from dlas.models.export import write_onnx, write_program
from dlas.runtimes.peer import started

# The largest error from rounding to integers, relative to the largest logit.
INT8_TOLERANCE = 0.1
TOLERANCE = {"float32": TOLERANCES["float32"], "int8": INT8_TOLERANCE}


@contextmanager
def peers(work: Workload) -> Iterator[list[Contender]]:
    """Yield every runtime in float32; for a case with int8, also the runtimes with an int8 tool."""
    with TemporaryDirectory() as folder, ExitStack() as stack:
        reference = Path(folder, "reference.npz")
        logits = accuracy.logits(work.model, work.image)
        np.savez(reference, inputs=work.image, outputs=logits)
        machine, found = Machine(), []
        networks = {"float32": exported(work, Path(folder))}
        if "int8" in work.case.forms:
            networks["int8"], reasons = quantized(work, networks["float32"]["onnxruntime"])
            found += [peer(name, "int8", status=reason) for name, reason in reasons.items()]
        for dtype, files in networks.items():
            processes = stack.enter_context(started(files, reference, host.cores_for(1)))
            right, wrong = checked_peers(machine, processes, reference, TOLERANCE[dtype])
            for name in files:
                status = wrong.get(name, "ok")
                found.append(peer(name, dtype, right[name].time if name in right else None, status))
        yield found


def peer(
    name: str,
    dtype: str,
    time: Callable[[int], Sequence[float]] | None = None,
    status: str = "ok",
) -> Contender:
    """Return the contender of a peer: timed by its process, or with a status."""
    sample = None if time is None else lambda number: time(number)[0]
    return Contender(name, "", "dense", dtype, 0.0, "", sample, status)


def exported(work: Workload, folder: Path) -> dict[str, Path]:
    """Export a network for each runtime; return the files by runtime."""
    forms = {"onnx": write_onnx, "pt2": write_program}
    files = {form: folder / f"float32.{form}" for form in forms}
    for form, file in files.items():
        forms[form](work.model, work.image, file)
    return {
        name: files[registry.describe("runtime", name).loads] for name in registry.names("runtime")
    }


def quantized(work: Workload, exported: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """Quantize an ONNX model with the runtimes' tools, in subprocesses as tools start threads.

    Returns
    -------
    dict of str to Path
        The quantized models by runtime.
    dict of str to str
        The status of each tool that failed.
    """
    tools = {"onnxruntime": quantize_for_onnxruntime, "openvino": quantize_for_openvino}
    files, reasons = {}, {}
    for name, tool in tools.items():
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            try:
                files[name] = process.submit(tool, exported, work.images).result()
            except Exception as error:
                reasons[name] = FailedError(f"its quantization: {error}").status
    return files, reasons


def quantize_for_onnxruntime(model: Path, images: np.ndarray) -> Path:
    """Write an ONNX model in 8-bit integers beside it, as ONNX Runtime recommends.

    Activations are uint8, weights int8 with a scale per channel, in the QDQ format. ONNX Runtime
    turns it into integer operators on loading; all supported operators are quantized, so feature
    maps stay integers from layer to layer. The model has all shapes, so symbolic shape inference is
    skipped.
    """
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Images(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.feeds = iter([{"images": image[None]} for image in images])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.feeds, None)

    prepared, path = model.with_suffix(".prepared"), model.with_name("int8.onnx")
    quant_pre_process(model, prepared, skip_symbolic_shape=True)
    quantize_static(
        prepared,
        path,
        Images(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    return path


def quantize_for_openvino(model: Path, images: np.ndarray) -> Path:
    """Write an ONNX model in 8-bit integers beside it for OpenVINO, by NNCF with its defaults."""
    import nncf
    import openvino

    calibration = nncf.Dataset([image[None] for image in images])
    network = openvino.Core().read_model(model)
    path = model.with_name("int8.xml")
    openvino.save_model(nncf.quantize(network, calibration), path, compress_to_fp16=False)
    return path
