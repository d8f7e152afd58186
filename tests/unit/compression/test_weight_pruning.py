"""Weight pruning: exactly the level's share is zero, the right weights are, and they stay zero."""

import copy
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from dlas import models
from dlas.compression import pruning, weight_pruning
from dlas.errors import PassedError, StudyError
from dlas.models import accounting
from tests.unit.compression import small

EXCLUDE = ["stem", "depthwise"]
MAGNITUDE = {"exclude": EXCLUDE, "score": "magnitude"}


def weights(model, exclude=()):
    layers = pruning.prunable(model, exclude).values()
    return torch.cat([layer.weight.detach().flatten() for layer in layers])


@settings(max_examples=8, deadline=None)
@given(
    levels=st.lists(st.floats(0.01, 0.99), min_size=1, max_size=3).map(sorted),
    exclude=st.lists(st.sampled_from(["stem", "depthwise", "classifier", "4"]), max_size=2),
    score=st.sampled_from(sorted(pruning.SCORES)),
    seed=st.integers(0, 1000),
)
def test_a_ladder_reaches_each_sparsity_exactly_and_keeps_its_zeros(levels, exclude, score, seed):
    model = small.network(seed)
    task = small.task({"exclude": exclude, "score": score})
    zeros = torch.zeros(len(weights(model, exclude)), dtype=torch.bool)
    for level in levels:
        model = weight_pruning.compress(model, level, task)
        now = weights(model, exclude) == 0
        assert int(now.sum()) == round(level * len(now))
        assert now[zeros].all() and not model.training
        zeros = now
    untouched = {name for name, _ in small.network().named_parameters()}
    assert {name for name, _ in model.named_parameters()} == untouched
    assert set(model.state_dict()) == set(small.network().state_dict())
    kept = sum(layer.weight.numel() for layer in pruning.prunable(model, []).values()) - len(zeros)
    outside = int((weights(model) != 0).sum() - (~zeros).sum())
    assert outside == kept  # nothing that is excluded is zero


@pytest.mark.parametrize("name", ["vgg16", "mobilenet_v2", "efficientnet_b0"])
def test_a_network_reaches_ninety_nine_percent_and_keeps_all_of_its_layers(name):
    model = models.build(name, 4, 0.125, "large_input")
    exclude = [*EXCLUDE, "classifier"]
    task = small.task({"exclude": exclude, "score": "lamp"}, recipe=small.FROZEN, size=32, count=8)
    for level in (0.9, 0.99):
        model = weight_pruning.compress(model, level, task)
    now = weights(model, exclude)
    assert int((now == 0).sum()) == round(0.99 * len(now))
    left = [layer.weight.count_nonzero() for layer in pruning.prunable(model, []).values()]
    assert min(left) > 0 and model(torch.zeros(1, 3, 32, 32)).isfinite().all()


@pytest.mark.parametrize("level", [0.3, 0.9])
def test_the_smallest_weights_of_the_whole_network_go(level):
    model = small.network()
    before = weights(model, EXCLUDE)
    expected = before.abs() > before.abs().sort().values[round(level * len(before)) - 1]
    pruned = weight_pruning.compress(model, level, small.task(MAGNITUDE, recipe=small.FROZEN))
    after = weights(pruned, EXCLUDE)
    assert torch.equal(after != 0, expected) and torch.equal(after[expected], before[expected])


def test_fine_tuning_changes_the_weights_that_are_left_and_no_others():
    frozen = weight_pruning.compress(
        small.network(), 0.8, small.task(MAGNITUDE, recipe=small.FROZEN)
    )
    tuned = weight_pruning.compress(small.network(), 0.8, small.task(MAGNITUDE))
    before, after = weights(frozen, EXCLUDE), weights(tuned, EXCLUDE)
    assert torch.equal(before == 0, after == 0)
    assert not torch.equal(before, after)


def test_what_processes_fine_tune_together_is_pruned_alike():
    alone, together = (
        weight_pruning.compress(
            small.network(),
            0.5,
            small.task(MAGNITUDE, recipe=replace(small.RECIPE, processes=count)),
        )
        for count in (1, 2)
    )
    before, after = weights(alone, EXCLUDE), weights(together, EXCLUDE)
    assert torch.equal(before == 0, after == 0) and not torch.equal(
        before, weights(small.network(), EXCLUDE)
    )
    assert (
        before - after
    ).abs().max() < 0.05 * before.abs().max()  # normalized by halves of batches


def test_channels_last_weights_are_pruned_alike():
    """Training leaves weights in channels_last."""
    task = small.task(MAGNITUDE, recipe=small.FROZEN)
    plain = weight_pruning.compress(small.network(), 0.5, task)
    strided = small.network().to(memory_format=torch.channels_last)
    strided = weight_pruning.compress(strided, 0.5, task)
    assert torch.equal(weights(plain), weights(strided))


def test_layer_adaptive_magnitude_by_hand():
    """The square of each weight over the sum of the squares that are not smaller."""
    scores = pruning.lamp(torch.tensor([[3.0, -1.0], [0.0, 2.0]]))
    assert scores.tolist() == [[1.0, 1 / 14], [0.0, 4 / 13]]
    assert pruning.lamp(torch.zeros(2, 3)).tolist() == [[0.0] * 3] * 2


def test_layer_adaptive_magnitude_ignores_the_scale_of_a_layer_and_empties_none():
    task = small.task({"exclude": [], "score": "lamp"}, recipe=small.FROZEN)
    model, scaled = small.network(), small.network()
    scaled[4].weight.data *= 1e-3
    for network in (model, scaled):
        weight_pruning.compress(network, 0.95, task)
    assert torch.equal(weights(model) == 0, weights(scaled) == 0)
    assert all(int(layer.weight.count_nonzero()) for layer in pruning.prunable(model, []).values())


def test_spared_kinds_are_found_in_every_network():
    for name, stem, classifier, depthwise in [
        ("resnet18", "conv1", "fc", 0),
        ("mobilenet_v1", "0", "83", 13),
        ("efficientnet_b0", "features.0.0", "classifier.1", 16),
        ("densenet161", "features.conv0", "classifier", 0),
    ]:
        model = models.build(name, 4, 0.125, "small_input")

        def left(*exclude, model=model):
            return set(pruning.prunable(model, exclude))

        everything = left()
        assert everything - left("stem") == {stem}
        assert everything - left("classifier") == {classifier}
        missing = everything - left("depthwise")
        assert len(missing) == depthwise
        assert all(model.get_submodule(name).groups > 1 for name in missing)
        assert everything - left(classifier, "stem") == {stem, classifier}


@pytest.mark.parametrize("level", [None, 0, 1, -0.5, 1.5, float("nan")])
def test_a_sparsity_out_of_range_is_refused(level):
    with pytest.raises(
        StudyError, match=r"sparsity .* not allowed; it must be above 0 and below 1"
    ):
        weight_pruning.compress(small.network(), level, small.task(MAGNITUDE))


def test_a_ladder_that_goes_down_is_refused():
    task = small.task(MAGNITUDE, recipe=small.FROZEN)
    model = weight_pruning.compress(small.network(), 0.75, task)
    content = copy.deepcopy(model.state_dict())
    with pytest.raises(PassedError, match=r"sparsity 0.5 is below the 0.75 that .* already"):
        weight_pruning.compress(model, 0.5, task)
    assert all(torch.equal(tensor, content[name]) for name, tensor in model.state_dict().items())


def test_unknown_names_are_refused():
    with pytest.raises(
        StudyError, match="layer to exclude 'head'; allowed: 0, 2, 4, 9, classifier"
    ):
        pruning.prunable(small.network(), ["head"])
    task = small.task({"exclude": [], "score": "random"})
    with pytest.raises(StudyError, match="score 'random'; allowed: lamp, magnitude"):
        weight_pruning.compress(small.network(), 0.5, task)


def test_zeros_make_the_stored_model_smaller():
    model = nn.Sequential(*small.network(middle=32))
    dense = accounting.model_bytes(model)
    pruned = weight_pruning.compress(model, 0.95, small.task({"exclude": [], "score": "magnitude"}))
    assert accounting.model_bytes(pruned) < 0.6 * dense


def test_sparing_everything_is_refused():
    task = small.task({"exclude": ["0", "2", "4", "9"], "score": "lamp"})
    with pytest.raises(StudyError, match="exclude names all layers"):
        weight_pruning.compress(small.network(), 0.5, task)
