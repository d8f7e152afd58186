"""Tensors by name in a safetensors file, or a status that explains why there are none."""

from pathlib import Path
from typing import Any, Literal

import safetensors.numpy
from safetensors import safe_open

from dlas.errors import of_status
from dlas.files import atomic_write

STATUS = "status"


def write_status(path: str | Path, status: str) -> None:
    """Write a file with a status and no tensors, atomically."""
    with atomic_write(path) as temporary:
        safetensors.numpy.save_file({}, temporary, {STATUS: status})


def read(path: str | Path, framework: Literal["np", "pt"]) -> dict[str, Any]:
    """Return the tensors of a file.

    Parameters
    ----------
    path : str or Path
        The file.
    framework : {"np", "pt"}
        Whether to return NumPy arrays or PyTorch tensors.

    Returns
    -------
    dict of str to np.ndarray or Tensor
        The tensors by name.

    Raises
    ------
    SafetensorError, OSError
        For a file that is truncated or not a safetensors file.
    RowError
        For a file of `write_status`, with its status.
    """
    with safe_open(path, framework) as file:
        status = (file.metadata() or {}).get(STATUS)
        tensors: dict[str, Any] = file.get_tensors()
    if status and not tensors:
        raise of_status(status)
    return tensors
