"""Networks in the forms that other runtimes load: ONNX, and a program of PyTorch that needs no code of this project."""

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

from dlas.files import atomic_write


def write_onnx(model: nn.Module, image: np.ndarray, path: str | Path) -> None:
    """Write a network in evaluation mode as ONNX, for images of the shape of `image`, float32 [1, 3, H, W].

    Batch normalizations that follow a convolution are folded into it by the exporter.
    """
    with atomic_write(path) as temporary, warnings.catch_warnings():
        # The exporter, by tracing, is deprecated.
        warnings.simplefilter("ignore")
        inputs = (torch.from_numpy(image),)
        torch.onnx.export(model, inputs, str(temporary), input_names=["images"], dynamo=False)


def write_program(model: nn.Module, image: np.ndarray, path: str | Path) -> None:
    """Write a network in evaluation mode as PyTorch runs it eagerly, for images of the shape of `image`, as in ONNX.

    It is the program of `torch.export`: the operators that the model calls, one by one, none of
    them folded or fused.
    """
    with atomic_write(path) as temporary:
        torch.export.save(torch.export.export(model, (torch.from_numpy(image),)), temporary)
