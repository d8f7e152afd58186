"""No compression: the baseline, in the same form as every technique."""

from torch import nn

from dlas.compression import Task
from dlas.plugins import TechniquePlugin

PLUGIN = TechniquePlugin(label="no compression", order=0, colour="#0072B2")


def compress(model: nn.Module, level: float | None, task: Task) -> nn.Module:
    """Return the trained network unchanged, in evaluation mode."""
    return model.eval()
