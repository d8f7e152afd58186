"""The layers of the kernel benchmark, and random operands with an exact share of zeros."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from dlas import models
from dlas.primitives.convolution import Convolution

# (channels, height and width) of the layers in apache/tvm pull request 8605, "Sparse Conv2d
# Implementation for 3x3 kernels": 3x3 layers of ten images that keep channels and size.
PULL_REQUEST_8605 = ((64, 56), (128, 28), (256, 14), (512, 7))
NETWORKS = (("resnet18", 32, "small_input"), ("resnet18", 224, "large_input"))
POINTWISE = ("mobilenet_v2", 32, "small_input")


@dataclass(frozen=True)
class Layer:
    """A convolution and its source, such as a network."""

    source: str
    convolution: Convolution

    @property
    def name(self) -> str:
        """Source, kernel, channels and input size; stride and batch if they are not 1."""
        layer = self.convolution
        rows, columns = layer.kernel
        stride = f" stride {layer.stride[0]}" if layer.stride != (1, 1) else ""
        batch = f" batch {layer.batch}" if layer.batch > 1 else ""
        channels = f"{layer.in_channels}-{layer.out_channels}"
        size = f"{layer.height}x{layer.width}"
        return f"{self.source} {rows}x{columns} {channels} at {size}{stride}{batch}"


def all_layers() -> list[Layer]:
    """Return every layer of the benchmark."""
    pointwise = [layer for layer in network_layers(*POINTWISE) if layer.convolution.pointwise]
    reported = [
        Layer("pull_request_8605", Convolution(10, c, s, s, c, (3, 3), (1, 1), (1, 1, 1, 1)))
        for c, s in PULL_REQUEST_8605
    ]
    resnet18 = [layer for network in NETWORKS for layer in network_layers(*network)]
    return [*resnet18, *pointwise, *reported]


def network_layers(model: str, size: int, stem: str) -> Iterator[Layer]:
    """Yield the distinct convolutions of a network of width 1, in the order in which they run."""
    network = models.build(model, 10, 1.0, stem).eval()
    found: dict[Convolution, None] = {}

    def note(module: nn.Module, inputs: tuple[torch.Tensor], _: torch.Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        batch, channels, height, width = inputs[0].shape
        (rows, columns), (down, across) = module.kernel_size, module.stride
        top, left = (int(extent) for extent in module.padding)
        shape = Convolution(
            batch,
            channels,
            height,
            width,
            module.out_channels,
            kernel=(rows, columns),
            stride=(down, across),
            padding=(top, left, top, left),
            groups=module.groups,
        )
        found.setdefault(shape)

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(note)
    with torch.inference_mode():
        network(torch.zeros(1, 3, size, size))
    yield from (Layer(f"{model}_{size}", shape) for shape in found)


def operands(layer: Convolution, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Return random operands of a layer.

    Parameters
    ----------
    layer : Convolution
        The layer.
    dtype : str
        float32, float16 or int8.

    Returns
    -------
    np.ndarray
        The feature map [N, C, H, W]; uint8 for int8.
    np.ndarray
        The dense weight.
    """
    generator = np.random.default_rng(0)
    shape = layer.in_shape
    if dtype == "int8":
        data = generator.integers(0, 256, shape, "uint8")
        return data, generator.integers(-127, 128, layer.weight_shape, "int8")
    data = generator.standard_normal(shape, "float32")
    weight = generator.standard_normal(layer.weight_shape, "float32")
    return data.astype(dtype), weight.astype(dtype)


def zeros_of(size: int, sparsity: float) -> int:
    """Return the number of zeros among `size` weights."""
    return round(sparsity * size)


def thinned(weight: np.ndarray, sparsity: float, block: int = 1) -> np.ndarray:
    """Return the weight with this share of zeros, at random places.

    A higher share has all zeros of a lower one. Zeros come in blocks of neighbouring output
    channels, whose number must be a multiple of `block`.
    """
    rows = weight.reshape(len(weight) // block, block, -1).copy()
    blocks = rows.swapaxes(0, 1).reshape(block, -1)
    order = np.random.default_rng(1).permutation(blocks.shape[1])
    blocks[:, order[: zeros_of(blocks.shape[1], sparsity)]] = 0
    return np.ascontiguousarray(
        blocks.reshape(block, len(rows), -1).swapaxes(0, 1).reshape(weight.shape)
    )
