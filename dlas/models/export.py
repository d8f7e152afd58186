"""Export networks for other runtimes: as ONNX, and as a PyTorch program.

The program runs without this project's code.
"""

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

from dlas.files import atomic_write


def write_onnx(model: nn.Module, image: np.ndarray, path: str | Path) -> None:
    """Write a network in evaluation mode as ONNX.

    The exporter folds batch normalizations that follow a convolution.

    Parameters
    ----------
    model : nn.Module
        The network.
    image : np.ndarray
        float32 [1, 3, H, W], an image of the input's shape.
    path : str or Path
        The file.
    """
    with atomic_write(path) as temporary, warnings.catch_warnings():
        # The tracing exporter is deprecated.
        warnings.simplefilter("ignore")
        inputs = (torch.from_numpy(image),)
        torch.onnx.export(model, inputs, str(temporary), input_names=["images"], dynamo=False)


def write_program(model: nn.Module, image: np.ndarray, path: str | Path) -> None:
    """Write a network in evaluation mode as the program of `torch.export`.

    The program has the operators of eager PyTorch, none of them folded or fused.

    Parameters
    ----------
    model : nn.Module
        The network.
    image : np.ndarray
        float32 [1, 3, H, W], an image of the input's shape.
    path : str or Path
        The file.
    """
    with atomic_write(path) as temporary:
        torch.export.save(torch.export.export(model, (torch.from_numpy(image),)), temporary)
