"""Channel pruning: remove the channels of smallest L1 norm, which narrows the network.

Filter pruning by L1 norm (Li et al., arXiv:1608.08710). Torch-Pruning (Fang et al.,
arXiv:2301.12900) finds the channels that must be removed together, and scores them.
"""

import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch_pruning
from torch import Tensor, nn

from dlas.compression import Task, check_level
from dlas.errors import UnsupportedError, unknown
from dlas.models import accounting, training
from dlas.plugins import Choice, Count, Levels, Setting, TechniquePlugin

PLUGIN = TechniquePlugin(
    label="channel pruning",
    order=2,
    keeps_zeros=False,
    colour="#009E73",
    settings={
        "levels": Setting(Levels, "share of the multiply-accumulate operations that is removed"),
        "scope": Setting(
            Choice["uniform", "global"],
            "uniform: the same share of each layer's channels; global: those of least importance",
        ),
        "channel_multiple": Setting(
            Count, "a layer that loses channels keeps a multiple of this number"
        ),
    },
)

SCOPES = ("uniform", "global")


@dataclass(frozen=True)
class Group:
    """Channels that must be removed together, for example all that a residual connection joins.

    Attributes
    ----------
    root : nn.Module
        The layer whose output channels `order` lists.
    order : list of int
        The channels of the root layer, least important first.
    importance : Tensor
        float32 [channels], in the same order.
    outputs, inputs : mapping of nn.Module to float
        Output and input channels that each layer loses for one channel of the group.
    """

    root: nn.Module
    order: list[int]
    importance: Tensor
    outputs: Mapping[nn.Module, float]
    inputs: Mapping[nn.Module, float]


def compress(model: nn.Module, level: float | None, task: Task) -> nn.Module:
    """Return the fine-tuned network after removing a share `level` of the uncompressed MACs.

    Parameters and result are those of `Technique.compress`. The settings `scope` and
    `channel_multiple` are those of `narrow`.

    Raises
    ------
    StudyError
        For a level outside (0, 1), and for an unknown scope.
    UnsupportedError
        For a level that the network cannot reach.
    """
    share = check_level("share of MACs removed", level)
    image_shape = (1, 3, *task.dataset.train.images.shape[1:3])
    narrow(
        model,
        image_shape,
        share,
        task.baseline_macs,
        task.settings["scope"],
        task.settings["channel_multiple"],
    )
    training.train(
        model, task.dataset, task.recipe, task.seed, task.threads, task.progress, task.resume_from
    )
    return model.eval()


def narrow(
    model: nn.Module,
    image_shape: Sequence[int],
    share: float,
    baseline_macs: int,
    scope: str,
    multiple: int,
) -> None:
    """Remove the fewest channels that leave at most (1 - share) * baseline_macs.

    Parameters
    ----------
    model : nn.Module
        The network. It is changed in place, and unchanged after an error.
    image_shape : sequence of int
        Shape of the input: [B, 3, H, W].
    share : float
        Share of `baseline_macs` to remove, in (0, 1).
    baseline_macs : int
        Multiply-accumulate operations of the uncompressed network on that input.
    scope : str
        "uniform" removes the same share of each layer's channels, "global" the least important
        channels of the whole network.
    multiple : int
        A pruned layer keeps a multiple of this number of channels.

    Raises
    ------
    StudyError
        For an unknown scope.
    UnsupportedError
        For a share that the network cannot reach.
    """
    if scope not in SCOPES:
        raise unknown("scope", scope, SCOPES)
    graph = torch_pruning.DependencyGraph().build_dependency(model.eval(), torch.zeros(image_shape))
    groups = _groups(model, graph)
    blocks = _blocks(groups, scope, multiple)
    macs = accounting.macs_of_layers(model, image_shape)

    def remaining(count: int) -> dict[str, int]:
        kept = _kept(model, groups, blocks[:count])
        return {name: round(macs[name] * share) for name, share in kept.items()}

    target = (1 - share) * baseline_macs
    least = remaining(len(blocks))
    if sum(least.values()) > target:
        reachable = math.floor(1000 * (1 - sum(least.values()) / baseline_macs)) / 1000
        raise UnsupportedError(
            f"channel pruning cannot remove a share {share:g} of the MACs; allowed: up to "
            f"{reachable:g}, which leaves {multiple} channels in each layer and the most MACs in "
            f"{max(least, key=lambda name: least[name])}"
        )
    # The search counts MACs without removing channels: one pass over DenseNet161 takes seconds.
    count = bisect_left(
        range(len(blocks)), -target, key=lambda number: -sum(remaining(number).values())
    )
    for number, removed in _removed(blocks[:count]).items():
        group = groups[number]
        prune = graph.get_pruner_of_module(group.root).prune_out_channels
        graph.get_pruning_group(group.root, prune, sorted(group.order[:removed])).prune()


def restore_architecture(model: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    """Narrow the layers of the uncompressed architecture to the tensors of a checkpoint.

    Layers that cannot be narrowed to their tensors keep their shape; `checkpoint.fill` reports
    them. Parameters are those of `ReshapingTechnique.restore_architecture`.
    """
    for name, layer in model.named_modules():
        weight, found = getattr(layer, "weight", None), state.get(f"{name}.weight")
        if weight is None or found is None or weight.ndim != found.ndim:
            continue
        if any(size > full for size, full in zip(found.shape, weight.shape, strict=True)):
            continue
        if isinstance(layer, nn.Conv2d):
            layer.groups = len(found) if 1 < layer.groups == layer.in_channels else layer.groups
            layer.out_channels, layer.in_channels = len(found), found.shape[1] * layer.groups
        elif isinstance(layer, nn.Linear) and len(found) == layer.out_features:
            layer.in_features = found.shape[1]
        elif isinstance(layer, nn.BatchNorm2d):
            layer.num_features = len(found)
        else:
            continue
        for tensors in (layer._parameters, layer._buffers):
            for key, tensor in tensors.items():
                if tensor is not None and tensor.ndim and f"{name}.{key}" in state:
                    narrow = torch.zeros(state[f"{name}.{key}"].shape, dtype=tensor.dtype)
                    is_parameter = isinstance(tensor, nn.Parameter)
                    tensors[key] = nn.Parameter(narrow) if is_parameter else narrow
    return model


def _groups(model: nn.Module, graph: torch_pruning.DependencyGraph) -> list[Group]:
    """Return all groups of removable channels; the classifier's outputs are classes and stay."""
    classifier = [layer for layer in model.modules() if isinstance(layer, nn.Linear)][-1]
    importance = torch_pruning.importance.MagnitudeImportance(p=1)
    groups = []
    for found in graph.get_all_groups([classifier], (nn.Conv2d, nn.Linear)):
        root = found[0].dep.target.module
        scores = importance(found)
        order = scores.argsort(stable=True)
        outputs: Counter[nn.Module] = Counter()
        inputs: Counter[nn.Module] = Counter()
        for dependency, indices in found:
            is_output = graph.is_out_channel_pruning_fn(dependency.handler)
            lost = outputs if is_output else inputs
            lost[dependency.target.module] += len(indices)
        groups.append(
            Group(
                root,
                order.tolist(),
                scores[order],
                {layer: count / len(order) for layer, count in outputs.items()},
                {layer: count / len(order) for layer, count in inputs.items()},
            )
        )
    return groups


def _blocks(groups: Sequence[Group], scope: str, multiple: int) -> list[tuple[int, int]]:
    """Return (group, channels) for each block of channels, in the order of removal.

    The first block of a group leaves a multiple of `multiple` channels, each further block has
    `multiple` channels, and the last `multiple` channels stay.
    """
    ranked = []
    for number, group in enumerate(groups):
        channels = len(group.order)
        start = 0
        for end in range(channels % multiple or multiple, channels - multiple + 1, multiple):
            importance = float(group.importance[start:end].mean())
            share = end / channels if scope == "uniform" else 0.0
            ranked.append((share, importance, end, number, end - start))
            start = end
    return [(number, size) for *_, number, size in sorted(ranked)]


def _removed(blocks: Sequence[tuple[int, int]]) -> Counter[int]:
    removed: Counter[int] = Counter()
    for number, size in blocks:
        removed[number] += size
    return removed


def _kept(
    model: nn.Module, groups: Sequence[Group], blocks: Sequence[tuple[int, int]]
) -> dict[str, float]:
    """Return the share of its MACs that each layer keeps when these blocks are removed."""
    outputs: defaultdict[nn.Module, float] = defaultdict(float)
    inputs: defaultdict[nn.Module, float] = defaultdict(float)
    for number, removed in _removed(blocks).items():
        for layer, rate in groups[number].outputs.items():
            outputs[layer] += rate * removed
        for layer, rate in groups[number].inputs.items():
            inputs[layer] += rate * removed
    # A depthwise convolution has one input channel per output channel: it loses outputs only.
    return {
        name: (1 - outputs[layer] / layer.weight.shape[0])
        * (1 - inputs[layer] / layer.weight.shape[1])
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Conv2d | nn.Linear)
    }
