"""Functions that the sparsity techniques share: layers, scores and fine-tuning with masks."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from dlas.compression.plugin import Task
from dlas.errors import PassedError, StudyError, UnsupportedError, unknown
from dlas.models import training

Layer = nn.Conv2d | nn.Linear


def lamp(weight: Tensor) -> Tensor:
    """Return each weight's layer-adaptive magnitude score (LAMP, Lee et al., arXiv:2010.07611).

    A weight's score is its square over the sum of all squares in its layer that are not smaller.
    Batch normalization makes the scale of a layer's weights arbitrary. These scores are comparable
    between layers all the same.

    Parameters
    ----------
    weight : Tensor
        float32, in any shape.

    Returns
    -------
    Tensor
        float64 scores in the weight's shape.
    """
    squares = weight.detach().double().flatten() ** 2
    order = squares.argsort(descending=True, stable=True)
    scores = torch.zeros_like(squares)
    scores[order] = squares[order] / squares[order].cumsum(0)
    return scores.nan_to_num().reshape(weight.shape)


SCORES: dict[str, Callable[[Tensor], Tensor]] = {"magnitude": torch.abs, "lamp": lamp}


def score_function(name: str) -> Callable[[Tensor], Tensor]:
    """Return the function of `SCORES` with this name; raise StudyError for an unknown one."""
    if name not in SCORES:
        raise unknown("score", name, SCORES)
    return SCORES[name]


def prunable(model: nn.Module, exclude: Sequence[str]) -> dict[str, Layer]:
    """Return the convolutions and linear layers whose weights may become zero, by name.

    Parameters
    ----------
    model : nn.Module
        The network. The weights of these layers become contiguous: training leaves them in
        channels_last.
    exclude : sequence of str
        Layers to leave out: "stem" (the first convolution), "depthwise", "classifier" (the last
        linear layer), or a layer's name in the model.

    Raises
    ------
    StudyError
        For a name that is none of these, and if no layer is left.
    """
    layers = {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Conv2d | nn.Linear)
    }
    convolutions = [name for name, layer in layers.items() if isinstance(layer, nn.Conv2d)]
    linear = [name for name in layers if name not in convolutions]
    kinds = {
        "stem": convolutions[:1],
        "depthwise": [name for name in convolutions if _is_depthwise(layers[name])],
        "classifier": linear[-1:],
    }
    names = set()
    for name in exclude:
        if name not in kinds and name not in layers:
            raise unknown("layer to exclude", name, [*kinds, *layers])
        names.update(kinds.get(name, [name]))
    found = {name: layer for name, layer in layers.items() if name not in names}
    if not found:
        raise StudyError("exclude names all layers; pruning needs at least one other")
    for layer in found.values():
        layer.weight.data = layer.weight.data.contiguous()
    return found


def _is_depthwise(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Conv2d) and 1 < layer.groups == layer.in_channels


def check_divides(layers: Mapping[str, Layer], dim: int, size: int) -> None:
    """Check that the channels of all layers divide into groups.

    Parameters
    ----------
    layers : mapping of str to Layer
        The layers of `prunable`.
    dim : int
        The dimension of the weights to divide: 0 (output channels) or 1 (input channels).
    size : int
        Channels per group.

    Raises
    ------
    UnsupportedError
        For the first layer that does not divide.
    """
    for name, layer in layers.items():
        channels = layer.weight.shape[dim]
        if channels % size:
            kind = ("output", "input")[dim]
            raise UnsupportedError(
                f"the {channels} {kind} channels of {name} do not divide into groups of {size}"
            )


def check_sparsity(layers: Mapping[str, Layer], share: float, most: float) -> None:
    """Check that the layers do not have more zeros than the level allows.

    Parameters
    ----------
    layers : mapping of str to Layer
        The layers of `prunable`.
    share : float
        The level, for the message.
    most : float
        The zeros at that level.

    Raises
    ------
    PassedError
        If they have more.
    """
    zeros = sum(int((layer.weight == 0).sum()) for layer in layers.values())
    if zeros > most:
        total = sum(layer.weight.numel() for layer in layers.values())
        raise PassedError(
            f"the sparsity {share:g} is below the {zeros / total:g} that the network has already"
        )


def mask(layer: Layer, kept: Tensor) -> None:
    """Mask the weights of a layer: only the nonzero weights in `kept` remain.

    Parameters
    ----------
    layer : Layer
        The layer, which is changed in place.
    kept : Tensor
        bool, in the shape of the layer's weight.
    """
    prune.custom_from_mask(layer, "weight", kept & (layer.weight != 0))


def fine_tune(model: nn.Module, layers: Mapping[str, Layer], task: Task) -> nn.Module:
    """Fine-tune a network whose layers have masks, and write the masks into the weights.

    The masks are part of each forward pass: masked weights stay zero and get no gradient.

    Parameters
    ----------
    model : nn.Module
        The network, which is changed in place.
    layers : mapping of str to Layer
        The layers with a mask of `torch.nn.utils.prune` on their weights.
    task : Task
        Data set, recipe, seed and threads of the fine-tuning.

    Returns
    -------
    nn.Module
        The network in evaluation mode, without masks.
    """
    training.train(
        model, task.dataset, task.recipe, task.seed, task.threads, task.progress, task.resume_from
    )
    for layer in layers.values():
        prune.remove(layer, "weight")
    return model.eval()
