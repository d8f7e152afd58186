"""Weight pruning: the weights of smallest magnitude in the whole network become zero.

Global unstructured magnitude pruning (Han et al., arXiv:1506.02626), level by level with
fine-tuning after each.
"""

from torch import nn
from torch.nn.utils import prune

from dlas.compression import Task, check_level, pruning
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

    The setting `score` ranks the weights of the whole network: "lamp" (see `pruning.lamp`), or
    "magnitude", which can empty layers whose weights are all small. The setting `exclude` lists
    layers that `pruning.prunable` leaves out. Weights that are zero already stay zero and count.
    Parameters and result are those of `Technique.compress`.

    Raises
    ------
    StudyError
        For a level outside (0, 1), and for unknown settings.
    PassedError
        If more weights are zero already than the level asks for.
    """
    share = check_level("sparsity", level)
    score = pruning.score_function(task.settings["score"])
    layers = pruning.prunable(model, task.settings["exclude"])
    zeros = round(share * sum(layer.weight.numel() for layer in layers.values()))
    pruning.check_sparsity(layers, share, zeros)
    weights = [(layer, "weight") for layer in layers.values()]
    more = zeros - sum(int((layer.weight == 0).sum()) for layer, _ in weights)
    for layer, _ in weights:
        pruning.mask(layer, layer.weight != 0)
    scores = {place: score(place[0].weight) for place in weights}
    prune.global_unstructured(weights, prune.L1Unstructured, scores, amount=more)
    return pruning.fine_tune(model, layers, task)
