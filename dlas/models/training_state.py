"""The state of a training after its last epoch, from which a killed training resumes."""

import hashlib
import logging
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from dlas.datasets import Dataset
from dlas.files import atomic_write, remove_stale

if TYPE_CHECKING:
    from dlas.models.training import Recipe

LOG = logging.getLogger("dlas")


def key_of(model: nn.Module, dataset: Dataset, recipe: "Recipe", seed: int, threads: int) -> str:
    """Return the SHA-256 of all inputs, except code, that determine the result of a training.

    The model's tensors must be on the CPU; the other parameters are those of `training.train`.
    """
    digest = hashlib.sha256(repr((astuple(recipe), seed, threads)).encode())
    splits = [(split.images, split.labels) for split in (dataset.train, dataset.validation)]
    arrays = [*(array for split in splits for array in split), dataset.mean, dataset.std]
    arrays += [tensor.numpy() for tensor in model.state_dict().values()]
    for array in arrays:
        # Arrays may have many gigabytes, so this avoids copies.
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def save(path: Path, key: str, state: dict[str, Any]) -> None:
    """Write the state of the training with this key atomically: tensors, numbers and strings."""
    with atomic_write(path) as temporary:
        torch.save({"key": key, **state}, temporary)


def read(path: Path, key: str) -> dict[str, Any] | None:
    """Read the state of a training.

    Only tensors, numbers and strings are loaded.

    Parameters
    ----------
    path : Path
        The file.
    key : str
        The result of `key_of`.

    Returns
    -------
    dict or None
        The state; None if there is none, if it is damaged, or if it has another key.
    """
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    # torch raises errors of many types for other files.
    except Exception as error:
        LOG.warning("%s is damaged, so training starts anew: %s", path, str(error).split("\n")[0])
        return None
    return state if state.get("key") == key else None


def remove(path: Path) -> None:
    """Remove a state, and the temporary files that a killed training left beside it."""
    path.unlink(missing_ok=True)
    remove_stale(path)
