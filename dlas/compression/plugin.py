"""The interface of a technique's file, and the input of its functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from dlas import registry
from dlas.errors import StudyError

# Jobs that only choose the elbow, which is in this package, do not import torch.
if TYPE_CHECKING:
    from torch import Tensor, nn

    from dlas.datasets import Dataset
    from dlas.models.training import Recipe


@dataclass(frozen=True)
class Task:
    """The input of a technique besides the network.

    Attributes
    ----------
    dataset : Dataset
        Techniques choose on `train` and `validation`, never on `test`.
    settings : mapping
        The technique's section of the config without its levels.
    recipe : Recipe
        Fine-tuning recipe.
    seed : int
        Seed of all random draws.
    threads : int
        CPU threads.
    progress : bool
        Whether to draw a progress bar.
    baseline_macs : int
        Multiply-accumulate operations of the uncompressed network for one image, to which levels
        refer.
    resume_from : Path, optional
        File with the state of fine-tuning, see `training.train`.
    """

    dataset: Dataset
    settings: Mapping[str, Any]
    recipe: Recipe
    seed: int
    threads: int
    progress: bool
    baseline_macs: int
    resume_from: Path | None = None


class Technique(Protocol):
    """A compression technique: a module of this package."""

    def compress(self, model: nn.Module, level: float | None, task: Task) -> nn.Module:
        """Compress a network to one level.

        Parameters
        ----------
        model : nn.Module
            The float32 network of the ladder's previous level. The first level starts from the
            trained network, or from the network of the previous step. It may be changed in place.
        level : float or None
            The level; None for a technique without a ladder.
        task : Task
            Data set, settings and fine-tuning recipe.

        Returns
        -------
        nn.Module
            The compressed network in evaluation mode.

        Raises
        ------
        RowError
            For a network that cannot be compressed to this level. The level's record has the
            reason.
        """


@runtime_checkable
class ReshapingTechnique(Technique, Protocol):
    """A technique whose checkpoints do not fit the uncompressed architecture."""

    def restore_architecture(self, model: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
        """Change the uncompressed architecture to fit the tensors of a checkpoint.

        Parameters
        ----------
        model : nn.Module
            The uncompressed architecture (`models.build`), changed by the previous steps, and
            folded if any step folds. It may be changed in place.
        state : mapping of str to Tensor
            The tensors of the checkpoint by name.

        Returns
        -------
        nn.Module
            The changed architecture.
        """


def names() -> tuple[str, ...]:
    """Return the names of all techniques."""
    return registry.names("compression")


def load(name: str) -> Technique:
    """Import a technique's module; raise StudyError for an unknown one."""
    return cast("Technique", registry.load("compression", name))


def restore(steps: Sequence[str], model: nn.Module, path: str | Path) -> nn.Module:
    """Read a checkpoint that techniques made.

    Parameters
    ----------
    steps : sequence of str
        The techniques in order; empty for the trained network.
    model : nn.Module
        The uncompressed architecture (`models.build`), which may be changed in place.
    path : str or Path
        The checkpoint.

    Returns
    -------
    nn.Module
        The compressed network in evaluation mode.

    Raises
    ------
    StudyError
        For an unknown technique, and for a checkpoint that is missing, truncated or of another
        model.
    RowError
        For a checkpoint that has an error instead of a network, and for tensors that are not
        finite.
    """
    # These modules import torch.
    from dlas.models import checkpoint
    from dlas.models.folding import fold

    state = checkpoint.read(path)
    if any(registry.describe("compression", step).folds for step in steps):
        model = fold(model)
    for technique in map(load, steps):
        if isinstance(technique, ReshapingTechnique):
            model = technique.restore_architecture(model, state)
    checkpoint.fill(model, state, path)
    return model.eval()


def check_level(meaning: str, level: float | None) -> float:
    """Return the level of a ladder of shares; raise StudyError outside (0, 1).

    Parameters
    ----------
    meaning : str
        The quantity for the message, e.g. "sparsity".
    level : float or None
        The level.
    """
    if level is None or not 0 < level < 1:
        raise StudyError(f"the {meaning} {level} is not allowed; it must be above 0 and below 1")
    return level
