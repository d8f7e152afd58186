"""Batch normalization folded into the layers before it, as every deployed network has it."""

import copy

import torch
from torch import nn
from torch.fx.experimental.optimization import fuse
from torch.fx.proxy import TraceError

from dlas.errors import UnsupportedError


def fold(model: nn.Module) -> nn.Module:
    """Return a float32 copy in evaluation mode without the batch normalizations that can be folded.

    These directly follow a convolution or linear layer that nothing else reads, which takes over
    their scale and offset (Jacob et al., arXiv:1712.05877, section 3.2). Others, such as those
    before the convolutions of a DenseNet, remain. Layers keep their names; the model is unchanged.
    Raises UnsupportedError for a network whose operations depend on its input, which torch.fx
    cannot trace.
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
    # Training leaves them in channels_last.
    for parameter in folded.parameters():
        parameter.data = parameter.data.contiguous()
    return folded
