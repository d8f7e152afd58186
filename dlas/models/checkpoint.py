"""Trained weights on disk: safetensors, whole or not at all."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from dlas.errors import StudyError
from dlas.files import whole


def save(model: nn.Module, path: str | Path) -> None:
    """Write parameters and buffers of the model."""
    tensors = {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    with whole(path) as temporary:
        save_file(tensors, temporary)


def load(model: nn.Module, path: str | Path) -> None:
    """Read what `save` wrote into a model of the same architecture, width and classes.

    Raises StudyError where the file is missing, truncated or of another model; the model is
    unchanged then.
    """
    if not Path(path).is_file():
        raise StudyError(f"the checkpoint {path} does not exist")
    try:
        found = load_file(path)
    except (SafetensorError, OSError) as error:
        raise StudyError(
            f"the checkpoint {path} is truncated or not a safetensors file: {error}"
        ) from error
    wanted = model.state_dict()
    for name in sorted(wanted.keys() | found.keys()):
        has = list(found[name].shape) if name in found else "absent"
        needs = list(wanted[name].shape) if name in wanted else "absent"
        if has != needs:
            raise StudyError(
                f"the checkpoint {path} is of another model: {name} is {has}; allowed: {needs}"
            )
    model.load_state_dict(found)
