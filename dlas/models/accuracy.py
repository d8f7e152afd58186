"""The outputs of a network in its training framework."""

import numpy as np
import torch
from torch import nn

from dlas.datasets import Normalized


def logits(model: nn.Module, images: np.ndarray | Normalized, batch_size: int = 128) -> np.ndarray:
    """Return float32 [N, classes] for normalized images, float32 [N, 3, H, W], in evaluation mode.

    So many of them are in memory at a time. A network in half precision reads the images in half precision.
    """
    training = model.training
    model.eval()
    tensors = model.state_dict().values()
    dtype = next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.float32)
    # Channels last is faster but for grouped convolutions in half precision.
    grouped = any(getattr(module, "groups", 1) > 1 for module in model.modules())
    half = dtype == torch.float16
    layout = torch.contiguous_format if half and grouped else torch.channels_last
    with torch.inference_mode():
        parts = []
        for start in range(0, len(images), batch_size):
            batch = torch.from_numpy(images[start : start + batch_size])
            parts.append(model(batch.to(dtype).contiguous(memory_format=layout)))
    model.train(training)
    return torch.cat(parts).float().numpy()
