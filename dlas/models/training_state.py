"""The state of a training after its last epoch, from which a training that was killed resumes."""

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
    """Return the SHA-256 of everything but code that the result of a training depends on."""
    digest = hashlib.sha256(repr((astuple(recipe), seed, threads)).encode())
    splits = [(split.images, split.labels) for split in (dataset.train, dataset.validation)]
    arrays = [*(array for split in splits for array in split), dataset.mean, dataset.std]
    arrays += [tensor.numpy() for tensor in model.state_dict().values()]
    for array in arrays:
        # Arrays may have many gigabytes, so they are not copied.
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def save(path: Path, key: str, state: dict[str, Any]) -> None:
    """Write a state of tensors, numbers and strings atomically."""
    with atomic_write(path) as temporary:
        torch.save({"key": key, **state}, temporary)


def read(path: Path, key: str) -> dict[str, Any] | None:
    """Return the state of the training with this key, None if there is none or if it is damaged.

    Only tensors, numbers and strings are loaded.
    """
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    # torch raises many kinds of errors for files that are no states.
    except Exception as error:
        LOG.warning("%s is damaged, so training starts anew: %s", path, str(error).split("\n")[0])
        return None
    return state if state.get("key") == key else None


def remove(path: Path) -> None:
    """Remove a state, and the temporary files beside it that a killed training left."""
    path.unlink(missing_ok=True)
    remove_stale(path)
