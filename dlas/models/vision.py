"""torchvision's architectures, importable beside a CPU build of torch, and shared functions."""

import torch
from torch import nn

try:
    from torchvision import models
except RuntimeError:
    # torchvision's wheel for CUDA loads no operators beside a CPU build of torch, then looks for
    # these two. Classification calls neither, but both must be declared.
    _library = torch.library.Library("torchvision", "DEF")
    for _operator in ("nms", "qnms"):
        _library.define(f"{_operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    from torchvision import models

from torchvision.models._utils import _make_divisible

__all__ = ["channels", "initialize", "models"]


def channels(published: int, width: float) -> int:
    """Return the number of channels at a width, divisible by 8 and at least 90 % of the product.

    Width 1 keeps the published number. The rule is that of MobileNetV2's authors
    (arXiv:1801.04381).

    Parameters
    ----------
    published : int
        Channels of the published network.
    width : float
        The factor.
    """
    divisible: int = published if width == 1 else _make_divisible(published * width, 8)
    return divisible


def initialize(network: nn.Module) -> None:
    """Draw the weights of all convolutions as torchvision does (He et al., arXiv:1502.01852)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
