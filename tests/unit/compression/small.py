"""A dataset and networks that are small enough to be compressed in a test."""

import numpy as np
import torch
from torch import nn

from dlas import datasets
from dlas.compression import Task
from dlas.models import accounting
from dlas.models.training import Recipe

RECIPE = Recipe("sgd", 0.02, 5e-4, epochs=1, batch_size=8)
FROZEN = Recipe("sgd", 1e-30, 0.0, epochs=1, batch_size=8)  # weights stay as they are


def dataset(size=8, count=16):
    """Return a dataset of `count` random images of 4 classes in each split."""
    generator = np.random.default_rng(0)

    def split():
        images = generator.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
        return datasets.Split(images, np.arange(count, dtype=np.int64) % 4)

    return datasets.assemble(split(), split(), split(), tuple("abcd"))


def task(settings, model=None, recipe=RECIPE, size=8, count=16):
    """Return the task of a technique with `settings` on a network that is not compressed yet."""
    macs = accounting.macs(model, (1, 3, size, size)) if model else 0
    return Task(dataset(size, count), settings, recipe, 0, 1, False, macs)


def network(seed=0, middle=8):
    """Return a network with a stem, a depthwise convolution, a normalization and a classifier."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(3, middle, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(middle, middle, 3, padding=1, groups=middle, bias=False),
            nn.BatchNorm2d(middle),
            nn.Conv2d(middle, 16, 1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(16, 4),
        )
