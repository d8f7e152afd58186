"""Weights that are not trained here: those that torchvision publishes, or a file of the user's."""

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from dlas.errors import StudyError
from dlas.models import checkpoint, plugin
from dlas.models.vision import models

# The classes of ImageNet, in the order of their WordNet numbers.
CLASSES = 1000


def published(name: str) -> tuple[str, str]:
    """Return the address of weights that torchvision publishes, and the first digits of their SHA-256.

    `name` is torchvision's, such as "ResNet50_Weights.IMAGENET1K_V2". The digits are part of the
    name of the file.
    """
    url: str = models.get_weight(name).url
    digits = re.search(r"-([0-9a-f]{8,64})\.pth$", url)
    assert digits, f"{url} tells no checksum"
    return url, digits[1]


def check_classes(names: Sequence[str]) -> None:
    """Raise a StudyError unless a data set has ImageNet's classes in the order in which published weights have them."""
    numbers = [name for name in names if re.fullmatch(r"n\d{8}", name)]
    if len(names) != CLASSES or sorted(numbers) != list(names):
        raise StudyError(
            f"imagenet1k is of the {CLASSES} classes of ImageNet, named n01440764 and so on, in "
            f"ascending order; "
            f"this data set has {len(names)} classes, the first of them {names[0]}"
        )


def load(model: nn.Module, name: str, path: str | Path) -> None:
    """Fill a model of the architecture `name` with the weights of a file.

    That is a .safetensors file or a .pth file of tensors by name, of this study or of torchvision.
    Raises StudyError where it is missing, damaged, holds anything else than finite tensors or is of
    another model; the model is unchanged then.
    """
    tensors = read(path)
    architecture = plugin.load(name)
    if isinstance(architecture, plugin.RenamedArchitecture):
        tensors = architecture.renamed(tensors)
    # They serve training alone, and files from before they were counted lack them.
    counts = {
        key: tensor
        for key, tensor in model.state_dict().items()
        if key.endswith("num_batches_tracked")
    }
    checkpoint.fill(model, counts | tensors, path)


def read(path: str | Path) -> dict[str, Tensor]:
    """Return the tensors of a .safetensors or .pth file by name, on the CPU; no code of the file is run.

    Raises StudyError where it is missing, damaged or holds anything else than finite tensors.
    """
    if Path(path).suffix == ".safetensors":
        return checkpoint.read(path)
    if not Path(path).is_file():
        raise StudyError(f"the weights {path} do not exist")
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    # Of several kinds, for what is no such file.
    except Exception as error:
        reason = f"{type(error).__name__} {error}".splitlines()[0]
        raise StudyError(
            f"the weights {path} are damaged or hold more than tensors: {reason}"
        ) from error
    if not isinstance(tensors, dict) or not all(
        isinstance(key, str) and isinstance(tensor, Tensor) for key, tensor in tensors.items()
    ):
        raise StudyError(
            f"the weights {path} are no tensors by name; allowed: what torch.save writes of a "
            f"state_dict()"
        )
    checkpoint.check_finite(tensors, f"the weights {path}")
    return dict(tensors)
