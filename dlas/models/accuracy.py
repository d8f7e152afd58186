"""The outputs of a network in its training framework."""

import numpy as np
import torch
from torch import nn


def logits(model: nn.Module, images: np.ndarray, batch_size: int = 128) -> np.ndarray:
    """Return float32 [N, classes] for normalized images, float32 [N, 3, H, W], in evaluation
    mode."""
    training = model.training
    model.eval()
    with torch.inference_mode():
        parts = [
            model(batch.contiguous(memory_format=torch.channels_last))
            for batch in torch.from_numpy(images).split(batch_size)
        ]
    model.train(training)
    return torch.cat(parts).float().numpy()
