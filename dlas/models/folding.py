"""Fold batch normalization into the previous layers, as deployed networks do."""

import copy

import torch
from torch import nn
from torch.fx.experimental.optimization import fuse
from torch.fx.proxy import TraceError

from dlas.errors import UnsupportedError


def fold(model: nn.Module) -> nn.Module:
    """Return a float32 copy in evaluation mode without the batch normalizations that can be folded.

    A batch normalization is folded if it follows a convolution or linear layer whose output nothing
    else reads. That layer takes over its scale and offset (Jacob et al., arXiv:1712.05877, section
    3.2). Others remain, such as those before the convolutions of a DenseNet. Layers keep their
    names; the model is unchanged.

    Raises
    ------
    UnsupportedError
        For a network that torch.fx cannot trace, as its operations depend on its input.
    """
    copied = copy.deepcopy(model).to("cpu", torch.float32).eval()
    try:
        folded: nn.Module = fuse(copied, inplace=True)
    except (TraceError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).split("\n")[0]
        raise UnsupportedError(
            f"the network {type(model).__name__} cannot be traced: {reason}; "
            "allowed: networks whose operations do not depend on their input"
        ) from error
    # Training leaves weights in channels_last.
    for parameter in folded.parameters():
        parameter.data = parameter.data.contiguous()
    return folded
