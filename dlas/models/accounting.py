"""The size and the arithmetic of a network."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def parameters(model: nn.Module) -> int:
    """Return the number of parameters (running statistics of batch normalization are none)."""
    return sum(parameter.numel() for parameter in model.parameters())


def nonzero_parameters(model: nn.Module) -> int:
    """Return the number of parameters that are not exactly zero."""
    return sum(int(parameter.count_nonzero()) for parameter in model.parameters())


def model_bytes(model: nn.Module) -> int:
    """Return the size of the parameters as they are stored, in bytes."""
    return sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())


def macs(model: nn.Module, input_shape: Sequence[int]) -> int:
    """Return the multiply-accumulate operations of one inference on `input_shape` [B, 3, H, W].

    Convolutions and linear layers count, as in the literature; torch counts two operations for
    each.
    """
    training = model.training
    model.eval()
    first = next(model.parameters())
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(*input_shape, dtype=first.dtype))
    model.train(training)
    return counter.get_total_flops() // 2
