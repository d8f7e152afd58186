"""Weights on disk, as safetensors."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dlas.errors import StudyError
from dlas.files import atomic_write


def save(model: nn.Module, path: str | Path) -> None:
    """Write parameters and buffers of the model."""
    tensors = {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    with atomic_write(path) as temporary:
        save_file(tensors, temporary)


def load(model: nn.Module, path: str | Path) -> None:
    """Read what `save` wrote into a model of the same architecture, width and classes.

    Raises StudyError where the file is missing, truncated or of another model; the model is
    unchanged then.
    """
    fill(model, read(path), path)


def read(path: str | Path) -> dict[str, Tensor]:
    """Return the tensors that `save` wrote, by name; StudyError where the file is missing or
    truncated."""
    if not Path(path).is_file():
        raise StudyError(f"the checkpoint {path} does not exist")
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise StudyError(
            f"the checkpoint {path} is truncated or not a safetensors file: {error}"
        ) from error
    return tensors


def fill(model: nn.Module, tensors: Mapping[str, Tensor], path: str | Path) -> None:
    """Copy the tensors read from `path` into a model with exactly these names, shapes and types.

    Raises StudyError where they are of another model; the model is unchanged then.
    """
    wanted = model.state_dict()
    for name in sorted(wanted.keys() | tensors.keys()):
        has, needs = _form(tensors.get(name)), _form(wanted.get(name))
        if has != needs:
            raise StudyError(
                f"the checkpoint {path} is of another model: {name} is {has}; allowed: {needs}"
            )
    model.load_state_dict(tensors)


def _form(tensor: Tensor | None) -> str:
    if tensor is None:
        return "absent"
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
