"""The outputs of a network in its training framework, and their accuracy."""

import numpy as np
import torch
from torch import Tensor, nn

from dlas import datasets
from dlas.datasets import Dataset, Normalized, Split
from dlas.errors import WrongError
from dlas.models import devices


def top1(model: nn.Module, split: Split, dataset: Dataset) -> float:
    """Return the top-1 accuracy of a network in percent.

    Parameters
    ----------
    model : nn.Module
        The network.
    split : Split
        Images and labels.
    dataset : Dataset
        The data set of the split, for its mean and standard deviation.

    Raises
    ------
    WrongError
        For logits that are not finite.
    """
    return top1_of(answers(model, split, dataset), split)


def top1_of(answers: np.ndarray, split: Split) -> float:
    """Return the percentage of answers, integers [images], that equal the labels of a split."""
    return 100.0 * float(np.mean(answers == split.labels))


def answers(model: nn.Module, split: Split, dataset: Dataset) -> np.ndarray:
    """Return the class that a network predicts for each image.

    Parameters
    ----------
    model, split, dataset
        As in `top1`.

    Returns
    -------
    np.ndarray
        uint16 [images].

    Raises
    ------
    WrongError
        For logits that are not finite.
    """
    outputs = logits(model, datasets.normalized(split, dataset))
    if not np.isfinite(outputs).all():
        half = any(weight.dtype == torch.float16 for weight in model.parameters())
        where = ", an activation is beyond float16's range" if half else ""
        raise WrongError(f"logits of the framework are not finite{where}")
    return np.argmax(outputs, axis=1).astype(np.uint16)


def logits(model: nn.Module, images: np.ndarray | Normalized, batch_size: int = 128) -> np.ndarray:
    """Return the logits of normalized images in evaluation mode.

    They are computed on the network's device, without TF32. A float16 network reads float16 images.

    Parameters
    ----------
    model : nn.Module
        The network.
    images : np.ndarray or Normalized
        float32 [N, 3, H, W].
    batch_size : int
        Images on the device at a time.

    Returns
    -------
    np.ndarray
        float32 [N, classes].
    """
    training = model.training
    model.eval()
    tensors = model.state_dict().values()
    dtype = next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.float32)
    # Channels last is faster, except for grouped convolutions in float16.
    grouped = any(getattr(module, "groups", 1) > 1 for module in model.modules())
    half = dtype == torch.float16
    layout = torch.contiguous_format if half and grouped else torch.channels_last
    device = devices.of(model)
    with torch.inference_mode(), devices.repeatable(device, tf32=False):
        parts = []
        for start in range(0, len(images), batch_size):
            batch = _batch(images, slice(start, start + batch_size), device)
            parts.append(model(batch.to(dtype).contiguous(memory_format=layout)))
    model.train(training)
    return torch.cat(parts).float().cpu().numpy()


def _batch(images: np.ndarray | Normalized, chosen: slice, device: torch.device) -> Tensor:
    """Return images, float32 [B, 3, H, W], on a device. A GPU receives uint8 and normalizes it."""
    if device.type == "cpu" or isinstance(images, np.ndarray):
        return torch.from_numpy(images[chosen]).to(device)
    raw = torch.from_numpy(images.images[chosen]).to(device)
    return devices.normalize(raw, images.mean, images.std)
