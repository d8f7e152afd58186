"""Weights on disk, as safetensors: finite numbers, or the reason why there are none."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, float16, nn

from dlas import tensor_files
from dlas.errors import FailedError, StudyError
from dlas.files import atomic_write


def save(model: nn.Module, path: str | Path) -> None:
    """Write parameters and buffers of a model; raise FailedError if one is not finite."""
    state = {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    check_finite(state, f"the checkpoint {path}")
    with atomic_write(path) as temporary:
        save_file(state, temporary)


def load(model: nn.Module, path: str | Path) -> None:
    """Read a checkpoint of `save` into a model of the same architecture, width and classes.

    Raises
    ------
    StudyError
        If the file is missing, truncated or of another model; the model is unchanged then.
    RowError
        As in `read`.
    """
    fill(model, read(path), path)


def read(path: str | Path) -> dict[str, Tensor]:
    """Return the tensors that `save` wrote, by name.

    Raises
    ------
    StudyError
        For a file that is missing or truncated.
    RowError
        For a tensor that is not finite, and with the status that `tensor_files.write_status` wrote.
    """
    if not Path(path).is_file():
        raise StudyError(f"the checkpoint {path} does not exist")
    try:
        found: dict[str, Tensor] = tensor_files.read(path, "pt")
    except (SafetensorError, OSError) as error:
        raise StudyError(
            f"the checkpoint {path} is truncated or not a safetensors file: {error}"
        ) from error
    check_finite(found, f"the checkpoint {path}")
    return found


def check_finite(tensors: Mapping[str, Tensor], place: str) -> None:
    """Raise FailedError with the name of the first tensor that is not finite.

    Parameters
    ----------
    tensors : mapping of str to Tensor
        The tensors by name.
    place : str
        Their place, for the message: e.g. "the checkpoint mine.pth".
    """
    if (name := not_finite(tensors)) is not None:
        tensor = tensors[name]
        count = tensor.numel() - int(tensor.isfinite().sum())
        limit = ", the range of float16 ends at 65504" if tensor.dtype == float16 else ""
        raise FailedError(
            f"{name} in {place}: {count} of {tensor.numel()} values are NaN or infinite{limit}; "
            "allowed: finite numbers"
        )


def not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """Return the name of the first tensor with a value that is NaN or infinite, or None."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            return name
    return None


def fill(model: nn.Module, tensors: Mapping[str, Tensor], path: str | Path) -> None:
    """Copy tensors into a model.

    Parameters
    ----------
    model : nn.Module
        The model. It is unchanged after an error.
    tensors : mapping of str to Tensor
        The tensors by name.
    path : str or Path
        Their file, for the message.

    Raises
    ------
    StudyError
        If a name, shape or type differs from the model's.
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
