"""Trainings that are fast enough for a test."""

import pandas as pd
import torch
from torch import nn

from dlas.models import training

SGD = {
    "optimizer": "sgd",
    "learning_rate": 0.05,
    "weight_decay": 5e-4,
    "epochs": 2,
    "batch_size": 32,
}


def trained(dataset, recipe, seed=0, resume_from=None):
    """Train a network of two convolutions, fast enough for a test; return it and the history."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(
            *(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()),
            *(nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU()),
            *(nn.Flatten(), nn.Dropout(0.1), nn.Linear(32 * 16, 10)),
        )
    history = training.train(model, dataset, recipe, seed, progress=False, resume_from=resume_from)
    return model, pd.DataFrame(history)


def plainly_trained(dataset, recipe, normalizes=False, resume_from=None):
    """Train a network without dropout, which draws in each process; return it and the history."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        normalization = nn.BatchNorm2d(16) if normalizes else nn.Identity()
        model = nn.Sequential(
            *(nn.Conv2d(3, 16, 3, stride=2, padding=1), normalization, nn.ReLU()),
            *(nn.Flatten(), nn.Linear(16 * 16, 10)),
        )
    history = training.train(model, dataset, recipe, 0, progress=False, resume_from=resume_from)
    return model, pd.DataFrame(history)
