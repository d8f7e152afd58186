"""float16 end to end: weights, biases and activations are IEEE 754 binary16.

The platform sets the precision of sums. torch's CPU kernels add the products of a convolution or
linear layer in float32 and round the output once; a compiled network states its own precision.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from dlas.compression import Task
from dlas.models.folding import fold
from dlas.plugins import TechniquePlugin

PLUGIN = TechniquePlugin(label="float16", order=3, dtype="float16", folds=True, colour="#CC79A7")


def compress(model: nn.Module, level: float | None, task: Task) -> nn.Module:
    """Return the network in float16, with batch normalizations folded in float32."""
    return fold(model).to(torch.float16)


def restore_architecture(model: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    """Return the float16 form of a folded architecture."""
    return model.to(torch.float16)
