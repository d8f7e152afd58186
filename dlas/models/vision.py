"""torchvision's architectures, importable beside a CPU build of torch, and the rounding of channels."""

import torch

try:
    from torchvision import models
except RuntimeError:
    # torchvision's wheel for CUDA loads no operators beside a CPU build of torch, then looks for these two.
    # Classification needs neither; they only have to be declared.
    _library = torch.library.Library("torchvision", "DEF")
    for _operator in ("nms", "qnms"):
        _library.define(f"{_operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    from torchvision import models

from torchvision.models._utils import _make_divisible

__all__ = ["channels", "models"]


def channels(published: int, width: float) -> int:
    """Return the number of channels at a width: divisible by 8 and not more than 10 % below the product.

    The published number itself at width 1. The rule is that of MobileNetV2's authors (arXiv:1801.04381).
    """
    divisible: int = published if width == 1 else _make_divisible(published * width, 8)
    return divisible
