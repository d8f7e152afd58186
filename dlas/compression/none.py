"""No compression: the baseline, in the same form as every technique."""

from torch import nn

from dlas.compression import Task


def compress(model: nn.Module, level: float | None, task: Task) -> nn.Module:
    """Return the trained network as it is."""
    return model.eval()
