"""Weight pruning: the weights of smallest magnitude in the whole network become zero.

Global unstructured magnitude pruning (Han et al., arXiv:1506.02626), level by level with
fine-tuning after each.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from dlas.compression import Task, check_level
from dlas.errors import StudyError, unknown
from dlas.models import training
from dlas.plugins import Choice, Levels, Setting, TechniquePlugin

PLUGIN = TechniquePlugin(
    label="weight pruning",
    order=1,
    sparse=True,
    colour="#E69F00",
    settings={
        "levels": Setting(Levels, "share of the weights that are zero"),
        "score": Setting(
            Choice["lamp", "magnitude"],
            "importance of a weight: lamp (relative to its layer), or plain magnitude",
        ),
        "exclude": Setting(
            list[str],
            "layers that are not pruned: stem (the first convolution), depthwise, classifier (the "
            "last layer), or a layer's name",
        ),
    },
)


def compress(model: nn.Module, level: float | None, task: Task) -> nn.Module:
    """Return the network with a share `level` of its prunable weights exactly zero, fine-tuned.

    Settings: `exclude`, the layers that `prunable` leaves out, and `score`, by which the weights of
    the whole network are ranked: "lamp", or "magnitude", which empties layers whose weights are
    small throughout. Weights that are zero already stay zero. Raises StudyError for a
    level outside (0, 1) or below what is zero already, and for unknown settings.
    """
    share = check_level("sparsity", level)
    score = task.settings["score"]
    if score not in SCORES:
        raise unknown("score", score, SCORES)
    layers = prunable(model, task.settings["exclude"])
    if not layers:
        raise StudyError("exclude names all layers; weight pruning needs at least one other")
    for layer in layers:  # training leaves them in channels_last, which the selection cannot read
        layer.weight.data = layer.weight.data.contiguous()
    zero = sum(int((layer.weight == 0).sum()) for layer in layers)
    total = sum(layer.weight.numel() for layer in layers)
    weights = [(layer, "weight") for layer in layers]
    more = round(share * total) - zero
    if more < 0:
        raise StudyError(
            f"the sparsity {share:g} is not allowed; it must not be below the {zero / total:g} that "
            "the network has already"
        )
    for layer in layers:
        prune.custom_from_mask(layer, "weight", layer.weight != 0)
    scores = {place: SCORES[score](place[0].weight) for place in weights}
    prune.global_unstructured(weights, prune.L1Unstructured, scores, amount=more)
    # The masks are part of each forward pass, so that pruned weights stay zero and get no gradient.
    training.train(
        model, task.dataset, task.recipe, task.seed, task.threads, task.progress, task.resume_from
    )
    for layer in layers:
        prune.remove(layer, "weight")
    return model.eval()


def lamp(weight: Tensor) -> Tensor:
    """Return the layer-adaptive magnitude of each weight (Lee et al., arXiv:2010.07611).

    That is its square over the sum of all squares in its layer that are not smaller, float64 in the
    weight's shape: comparable between layers whose weights have another scale, which batch
    normalization makes arbitrary.
    """
    squares = weight.detach().double().flatten() ** 2
    order = squares.argsort(descending=True, stable=True)
    scores = torch.zeros_like(squares)
    scores[order] = squares[order] / squares[order].cumsum(0)
    return scores.nan_to_num().reshape(weight.shape)


SCORES: dict[str, Callable[[Tensor], Tensor]] = {"magnitude": torch.abs, "lamp": lamp}


def prunable(model: nn.Module, exclude: Sequence[str]) -> list[nn.Conv2d | nn.Linear]:
    """Return the convolutions and linear layers that weight pruning may change.

    Parameters
    ----------
    model : nn.Module
        The network.
    exclude : sequence of str
        Layers to leave out: "stem" (the first convolution), "depthwise", "classifier" (the last
        linear layer), or a layer's name in the model.

    Raises
    ------
    StudyError
        For a name that is none of these.
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
    return [layer for name, layer in layers.items() if name not in names]


def _is_depthwise(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Conv2d) and 1 < layer.groups == layer.in_channels
