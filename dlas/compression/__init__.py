"""Layer 3 of the stack: model optimizations, one file each.

A technique is found by the name of its file, which defines

- `compress(model, level, task) -> network`: `model` is the float32 network of the ladder's level
  before (the trained network for the first level) and may be changed in place; `level` is None for
  a technique without a ladder. The compressed network is returned in evaluation mode.
- where its checkpoints do not fit the uncompressed architecture, `shell(model, state) -> network`:
  that architecture (`models.build`), changed so that the tensors of a checkpoint fit.

Its description (`PLUGIN`, see `dlas.plugins`) says which type it computes in and whether it makes weights zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from dlas import registry
from dlas.errors import StudyError

if TYPE_CHECKING:  # the elbow is chosen without torch, and lies in this package
    from torch import nn

    from dlas.datasets import Dataset
    from dlas.models.training import Recipe


@dataclass(frozen=True)
class Task:
    """What a technique works with besides the network.

    Techniques choose on `dataset.train` and `.validation`, never on `.test`. `settings` is the
    technique's own section of the config without its levels, `recipe` how to fine-tune.
    `baseline_macs` are those of the uncompressed network for one image, to which levels refer. In
    the file `kept` fine-tuning keeps its state, see `training.train`.
    """

    dataset: Dataset
    settings: Mapping[str, Any]
    recipe: Recipe
    seed: int
    threads: int
    progress: bool
    baseline_macs: int
    kept: Path | None = None


def names() -> tuple[str, ...]:
    """Return the names of all techniques."""
    return registry.names("compression")


def load(name: str) -> ModuleType:
    """Return the technique `name`; StudyError for an unknown one."""
    return registry.load("compression", name)


def restore(name: str, model: nn.Module, path: str | Path) -> nn.Module:
    """Return the network in a checkpoint of technique `name`, in evaluation mode.

    `model` is the uncompressed architecture (`models.build`) and may be changed in place. Raises
    StudyError for an unknown technique and where the checkpoint is missing, truncated or of another
    model.
    """
    from dlas.models import checkpoint  # torch: not for those who choose the elbow

    technique = load(name)
    state = checkpoint.read(path)
    if hasattr(technique, "shell"):
        model = technique.shell(model, state)
    checkpoint.fill(model, state, path)
    return model.eval()


def check_level(meaning: str, level: float | None) -> float:
    """Return the level of a ladder of shares, e.g. sparsities; StudyError outside (0, 1)."""
    if level is None or not 0 < level < 1:
        raise StudyError(f"the {meaning} {level} is not allowed; it must be above 0 and below 1")
    return level
