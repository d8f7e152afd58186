"""Block sparsity: the least important blocks of 1 x 4 weights of the whole network become zero.

A block is the weights of four neighbouring output channels at one tap of one input channel, so
kernels compute with vectors of output channels. Magnitude pruning of blocks (Narang et al.,
arXiv:1711.02782), level by level with fine-tuning after each.
"""

import torch
from torch import nn

from dlas.compression import Task, check_level, pruning
from dlas.plugins import Choice, Levels, Setting, TechniquePlugin

PLUGIN = TechniquePlugin(
    label="block sparsity",
    order=6,
    sparse=True,
    block=4,
    colour="#999933",
    settings={
        "levels": Setting(Levels, "share of the blocks that are zero"),
        "score": Setting(
            Choice["lamp", "magnitude"],
            "importance of a weight, summed over its block: lamp (relative to its layer), or plain "
            "magnitude",
        ),
        "exclude": Setting(
            list[str],
            "layers that are not pruned: stem (the first convolution), depthwise, classifier (the "
            "last layer), or a layer's name",
        ),
    },
)


def compress(model: nn.Module, level: float | None, task: Task) -> nn.Module:
    """Return the network with a share `level` of its prunable blocks exactly zero, fine-tuned.

    The setting `score` ranks the blocks of the whole network: a block's score is the sum of its
    weights' scores, see `weight_pruning.compress`. Blocks that are zero already stay zero and
    count. The setting `exclude` lists layers that `pruning.prunable` leaves out. Parameters and
    result are those of `Technique.compress`.

    Raises
    ------
    StudyError
        For a level outside (0, 1), and for unknown settings.
    UnsupportedError
        If the output channels of a layer do not divide into blocks.
    PassedError
        If more weights are zero already than the level asks for.
    """
    share = check_level("sparsity", level)
    score = pruning.score_function(task.settings["score"])
    layers = pruning.prunable(model, task.settings["exclude"])
    pruning.check_divides(layers, 0, PLUGIN.block)
    # Each has the shape [O / block, I, ...]: scores summed over each block.
    scores = [
        score(layer.weight.detach()).unflatten(0, (-1, PLUGIN.block)).sum(1)
        for layer in layers.values()
    ]
    ranked = torch.cat([each.flatten() for each in scores]).argsort(stable=True)
    zeros = round(share * len(ranked))
    pruning.check_sparsity(layers, share, zeros * PLUGIN.block)
    kept = torch.ones(len(ranked), dtype=torch.bool)
    # Blocks of zeros have the score 0, so they rank first.
    kept[ranked[:zeros]] = False
    parts = kept.split([each.numel() for each in scores])
    for layer, blocks, part in zip(layers.values(), scores, parts, strict=True):
        pruning.mask(layer, part.reshape(blocks.shape).repeat_interleave(PLUGIN.block, dim=0))
    return pruning.fine_tune(model, layers, task)
