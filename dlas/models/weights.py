"""Weights that are not trained here: torchvision's, or a file of the user."""

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from dlas.errors import StudyError
from dlas.models import checkpoint, plugin
from dlas.models.vision import models

# ImageNet's classes; published weights have them in the order of their WordNet IDs.
CLASSES = 1000


def published(name: str) -> tuple[str, str]:
    """Return the URL of torchvision's weights, and the first digits of their SHA-256.

    `name` is torchvision's, such as "ResNet50_Weights.IMAGENET1K_V2". The digits are in the file's
    name.
    """
    url: str = models.get_weight(name).url
    digits = re.search(r"-([0-9a-f]{8,64})\.pth$", url)
    assert digits, f"{url} tells no checksum"
    return url, digits[1]


def check_classes(names: Sequence[str]) -> None:
    """Raise StudyError unless class names are ImageNet's, in the order of published weights."""
    numbers = [name for name in names if re.fullmatch(r"n\d{8}", name)]
    if len(names) != CLASSES or sorted(numbers) != list(names):
        raise StudyError(
            f"imagenet1k is of the {CLASSES} classes of ImageNet, named n01440764 and so on, in "
            f"ascending order; "
            f"this data set has {len(names)} classes, the first of them {names[0]}"
        )


def load(model: nn.Module, name: str, path: str | Path) -> None:
    """Fill a model with the weights of a file.

    Parameters
    ----------
    model : nn.Module
        The model. It is unchanged after an error.
    name : str
        Its architecture.
    path : str or Path
        A .safetensors file, or a .pth file of tensors by name, of this study or of torchvision.

    Raises
    ------
    StudyError
        If the file is missing, damaged, has other content than finite tensors, or is of another
        model.
    """
    tensors = read(path)
    architecture = plugin.load(name)
    if isinstance(architecture, plugin.RenamedArchitecture):
        tensors = architecture.renamed(tensors)
    # Only training needs these counters, and old files lack them.
    counts = {
        key: tensor
        for key, tensor in model.state_dict().items()
        if key.endswith("num_batches_tracked")
    }
    checkpoint.fill(model, counts | tensors, path)


def read(path: str | Path) -> dict[str, Tensor]:
    """Return the tensors of a .safetensors or .pth file by name, on the CPU.

    No code in the file is run.

    Raises
    ------
    StudyError
        If the file is missing, damaged, or has other content than finite tensors.
    """
    if Path(path).suffix == ".safetensors":
        return checkpoint.read(path)
    if not Path(path).is_file():
        raise StudyError(f"the weights {path} do not exist")
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    # torch raises errors of several types for other files.
    except Exception as error:
        reason = f"{type(error).__name__} {error}".splitlines()[0]
        raise StudyError(
            f"the weights {path} are damaged or hold more than tensors: {reason}"
        ) from error
    if not isinstance(tensors, dict) or not all(
        isinstance(key, str) and isinstance(tensor, Tensor) for key, tensor in tensors.items()
    ):
        raise StudyError(
            f"the weights {path} are not tensors by name; allowed: what torch.save writes of a "
            f"state_dict()"
        )
    checkpoint.check_finite(tensors, f"the weights {path}")
    return dict(tensors)
