"""A training that was killed: its state after the last epoch, from which the same training goes on to the same end."""

import hashlib
import logging
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from dlas.datasets import Dataset
from dlas.files import remove_torn, whole

if TYPE_CHECKING:
    from dlas.models.training import Recipe

LOG = logging.getLogger("dlas")


def key_of(model: nn.Module, dataset: Dataset, recipe: "Recipe", seed: int, threads: int) -> str:
    """Return what tells a training from every other one: a digest of all that its result depends on but code."""
    digest = hashlib.sha256(repr((astuple(recipe), seed, threads)).encode())
    splits = [(split.images, split.labels) for split in (dataset.train, dataset.validation)]
    arrays = [*(array for split in splits for array in split), dataset.mean, dataset.std]
    arrays += [tensor.numpy() for tensor in model.state_dict().values()]
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)  # of many gigabytes, so not copied
    return digest.hexdigest()


def save(path: Path, key: str, state: dict[str, Any]) -> None:
    """Write a state of tensors, numbers and texts, whole or not at all."""
    with whole(path) as temporary:
        torch.save({"key": key, **state}, temporary)


def read(path: Path, key: str) -> dict[str, Any] | None:
    """Return the state of the training with this key; None where there is none, or only a damaged one.

    Nothing but tensors, numbers and texts is loaded.
    """
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of several kinds, for what is no such file
        LOG.warning("%s is damaged, so training starts anew: %s", path, str(error).split("\n")[0])
        return None
    return state if state.get("key") == key else None


def remove(path: Path) -> None:
    """Remove a state, and what writes of it that were killed have left beside it."""
    path.unlink(missing_ok=True)
    remove_torn(path)
