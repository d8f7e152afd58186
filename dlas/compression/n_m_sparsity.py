"""N:M sparsity: of every M neighbouring input channels, the N largest weights stay.

Magnitude pruning within groups (Mishra et al., arXiv:2104.08378, where M is 4), level by level with
fine-tuning after each. Weights of one group have the same output channel and the same tap.
"""

import torch
from torch import Tensor, nn

from dlas.compression import Task, check_level, pruning
from dlas.errors import StudyError
from dlas.plugins import Count, Levels, Setting, TechniquePlugin

PLUGIN = TechniquePlugin(
    label="N:M sparsity",
    order=5,
    sparse=True,
    colour="#882255",
    settings={
        "levels": Setting(Levels, "share of each group that is zero, a whole number of weights"),
        "group": Setting(Count, "M: neighbouring input channels of a group"),
        "exclude": Setting(
            list[str],
            "layers that are not pruned: stem (the first convolution), depthwise, classifier (the "
            "last layer), or a layer's name",
        ),
    },
)


def compress(model: nn.Module, level: float | None, task: Task) -> nn.Module:
    """Return the network with a share `level` of each group of weights exactly zero, fine-tuned.

    The setting `group` is the number of channels in a group; `exclude` lists layers that
    `pruning.prunable` leaves out. Weights that are zero already stay zero and count. Parameters and
    result are those of `Technique.compress`.

    Raises
    ------
    StudyError
        For a level outside (0, 1) or not a whole number of weights of a group, and for unknown
        layers.
    UnsupportedError
        If the input channels of a layer do not divide into groups.
    PassedError
        If more weights are zero already than the level asks for.
    """
    group = task.settings["group"]
    share = check_level("sparsity", level)
    zeros = round(share * group)
    if abs(share * group - zeros) > 1e-9:
        raise StudyError(
            f"the sparsity {share:g} is not allowed; it must be a multiple of {1 / group:g}, as a "
            f"group has {group} weights"
        )
    layers = pruning.prunable(model, task.settings["exclude"])
    pruning.check_divides(layers, 1, group)
    total = sum(layer.weight.numel() for layer in layers.values())
    pruning.check_sparsity(layers, share, total // group * zeros)
    for layer in layers.values():
        pruning.mask(layer, largest(layer.weight.detach(), group, group - zeros))
    return pruning.fine_tune(model, layers, task)


def largest(weight: Tensor, group: int, count: int) -> Tensor:
    """Return a mask of the largest weights in each group of neighbouring input channels.

    Parameters
    ----------
    weight : Tensor
        float32 [O, I, ...]; I is a multiple of `group`.
    group : int
        Channels per group.
    count : int
        Weights to keep per group.

    Returns
    -------
    Tensor
        bool, in the shape of the weight; `count` True per group.
    """
    groups = weight.abs().unflatten(1, (-1, group))
    order = groups.argsort(dim=2, descending=True, stable=True)
    kept = torch.zeros_like(groups, dtype=torch.bool)
    return kept.scatter(2, order[:, :, :count], True).flatten(1, 2)
