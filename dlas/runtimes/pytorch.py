"""PyTorch: a program of `torch.export`, run eagerly."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from dlas.plugins import RuntimePlugin
from dlas.runtimes.plugin import Run

PLUGIN = RuntimePlugin(label="PyTorch", order=1, loads="pt2", line="--")


def open_network(path: Path, threads: int) -> Callable[[np.ndarray], Run]:
    """Load a program of `torch.export`. See `Runtime`."""
    torch.set_num_threads(threads)
    # torch.export.load would otherwise run pickled code in the file.
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    module = torch.export.load(path).module()

    def bind(image: np.ndarray) -> Run:
        data = torch.from_numpy(image)
        return torch.inference_mode()(lambda: module(data).numpy())

    return bind
