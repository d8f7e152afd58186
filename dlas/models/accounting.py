"""The size and the arithmetic of a network: float32, float16 or int8, pruned or not."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

# Bytes of an int32.
_INT32 = 4


def summarize(model: nn.Module, input_shape: Sequence[int]) -> dict[str, int]:
    """Return the parameters, operations and bytes of a network.

    Parameters
    ----------
    model : nn.Module
        The network.
    input_shape : sequence of int
        Shape of one inference: [B, 3, H, W].

    Returns
    -------
    dict of str to int
        "params", "nonzero_params", "macs", "nonzero_macs" and "model_bytes".
    """
    return {
        "params": parameters(model),
        "nonzero_params": nonzero_parameters(model),
        "macs": macs(model, input_shape),
        "nonzero_macs": nonzero_macs(model, input_shape),
        "model_bytes": model_bytes(model),
    }


def parameters(model: nn.Module) -> int:
    """Return the number of parameters, without the running statistics of batch normalization."""
    return sum(parameter.numel() for parameter in model.parameters())


def nonzero_parameters(model: nn.Module) -> int:
    """Return the number of parameters that are not exactly zero."""
    return sum(int(parameter.count_nonzero()) for parameter in model.parameters())


def model_bytes(model: nn.Module) -> int:
    """Return the stored size of everything that inference needs, in bytes.

    That is parameters, running statistics and quantization parameters. A convolution or linear
    layer's weight is stored dense or as CSR, whichever is smaller.
    """
    return sum(
        min(_dense_bytes(tensor), csr_bytes(tensor))
        if name.rpartition(".")[2] == "weight" and tensor.ndim > 1
        else _dense_bytes(tensor)
        for name, tensor in model.state_dict().items()
        # Only training needs this counter.
        if not name.endswith("num_batches_tracked")
    )


def csr_bytes(weight: Tensor) -> int:
    """Return the bytes of a weight [K, ...] as a CSR matrix with a row for each output channel.

    Each nonzero weight has a value in the weight's type and an int32 column index. The matrix has
    K + 1 int32 row pointers.
    """
    nonzero = int(weight.count_nonzero())
    return nonzero * (weight.element_size() + _INT32) + (len(weight) + 1) * _INT32


def macs(model: nn.Module, input_shape: Sequence[int]) -> int:
    """Return the multiply-accumulate operations of one inference.

    Only convolutions and linear layers count, as in the literature. torch counts two operations for
    each.

    Parameters
    ----------
    model : nn.Module
        The network; its mode is restored.
    input_shape : sequence of int
        [B, 3, H, W].
    """
    return _counted(model, input_shape).get_total_flops() // 2


def nonzero_macs(model: nn.Module, input_shape: Sequence[int]) -> int:
    """Return the `macs` of the weights that are not exactly zero, on [B, 3, H, W]."""
    found = 0.0
    for name, count in macs_of_layers(model, input_shape).items():
        weight = model.get_parameter(f"{name}.weight")
        found += count * int(weight.count_nonzero()) / weight.numel()
    return round(found)


def macs_of_layers(model: nn.Module, input_shape: Sequence[int]) -> dict[str, int]:
    """Return the `macs` of each convolution and linear layer, quantized or not.

    Parameters
    ----------
    model, input_shape
        As in `macs`.

    Returns
    -------
    dict of str to int
        By the layer's name in the model.
    """
    counted = _counted(model, input_shape).get_flop_counts()
    # torch's names start with the class of the model.
    prefix = f"{type(model).__name__}."
    return {
        name: sum(counted[prefix + name].values()) // 2
        for name, layer in model.named_modules()
        if isinstance(getattr(layer, "weight", None), Tensor) and prefix + name in counted
    }


def _counted(model: nn.Module, input_shape: Sequence[int]) -> Any:
    training = model.training
    model.eval()
    floating = [weight.dtype for weight in model.parameters() if weight.is_floating_point()]
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(*input_shape, dtype=floating[0]))
    model.train(training)
    return counter


def _dense_bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
