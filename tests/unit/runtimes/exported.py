"""A network of two layers in every form that runtimes load: what the tests of peers share."""

import os
from pathlib import Path

import numpy as np
import torch
from torch import nn

from dlas.models import accuracy, export

# By what runtimes say that they load.
FILES = {"onnx": "tiny.onnx", "pt2": "tiny.pt2"}
CORES = sorted(os.sched_getaffinity(0))


def export_network(folder: Path) -> Path:
    """Write the network in each form, its reference images and logits; return the folder."""
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 5)
    network = nn.Sequential(*layers).eval()
    images = np.random.default_rng(0).standard_normal((3, 3, 8, 8), "float32")
    export.write_onnx(network, images[:1], folder / FILES["onnx"])
    export.write_program(network, images[:1], folder / FILES["pt2"])
    np.savez(folder / "reference.npz", inputs=images, outputs=accuracy.logits(network, images))
    return folder
