"""Channel pruning: the level's MACs, smaller layers, least important channels, any network."""

import copy
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from dlas import models
from dlas.compression import channel_pruning
from dlas.errors import StudyError, UnsupportedError
from dlas.models import accounting
from dlas.models.vision import models as torchvision_models
from tests.unit.compression import small

UNIFORM = {"scope": "uniform", "channel_multiple": 4}
SHAPE = (1, 3, 32, 32)


class Joined(nn.Module):
    """Two convolutions whose outputs are added and then joined with the input's channels."""

    def __init__(self, seed=0):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.one = nn.Conv2d(3, 8, 3, padding=1)
            self.two = nn.Conv2d(8, 8, 3, padding=1)
            self.three = nn.Conv2d(16, 8, 1)
            self.classifier = nn.Linear(8 * 64, 4)

    def forward(self, images):
        one = self.one(images).relu()
        both = one + self.two(one)
        return self.classifier(self.three(torch.cat([both, one], 1)).relu().flatten(1))


def small_densenet():
    """What DenseNet161 has, without its many layers, which take seconds (see test_restore.py)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return torchvision_models.DenseNet(8, (3, 3), num_init_features=16, num_classes=4)


NETWORKS = {
    **{
        name: lambda name=name: models.build(name, 4, 0.25, "small_input")
        for name in ("resnet18 resnet50 vgg16 mobilenet_v1 mobilenet_v2 efficientnet_b0").split()
    },
    "small_densenet": small_densenet,
    "joined": Joined,
}


def convolutions(model):
    return {n: layer for n, layer in model.named_modules() if isinstance(layer, nn.Conv2d)}


def shapes(model):
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


def narrowed(name, share, scope="uniform", multiple=4):
    model = NETWORKS[name]()
    shape = (1, 3, 8, 8) if name == "joined" else SHAPE
    macs = accounting.macs(model, shape)
    channel_pruning.narrow(model, shape, share, macs, scope, multiple)
    return model, shape, macs


@pytest.mark.parametrize("scope", channel_pruning.SCOPES)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_reaches_the_level_with_as_few_blocks_as_possible(name, scope):
    """Asking for the MACs that were reached gives the same network, for one fewer a smaller one."""
    model, shape, macs = narrowed(name, 0.4, scope, 2)
    left = accounting.macs(model, shape)
    assert 0.2 * macs < left <= 0.6 * macs
    again, _, _ = narrowed(name, 1 - (left + 0.5) / macs, scope, 2)
    assert shapes(again) == shapes(model)
    more, _, _ = narrowed(name, 1 - (left - 0.5) / macs, scope, 2)
    assert accounting.macs(more, shape) < left
    assert model(torch.randn(2, *shape[1:])).shape == (2, 4)


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_become_smaller_and_their_channels_a_multiple(name):
    before = convolutions(NETWORKS[name]())
    after = convolutions(narrowed(name, 0.4)[0])
    assert before.keys() == after.keys()
    shrunk = [n for n in before if after[n].weight.numel() < before[n].weight.numel()]
    assert len(shrunk) > len(before) / 2
    for layer, whole in zip(after.values(), before.values(), strict=True):
        assert layer.weight.shape[0] == layer.out_channels <= whole.out_channels
        if layer.out_channels < whole.out_channels:
            assert layer.out_channels % 4 == 0 and layer.out_channels >= 4
        if whole.groups > 1:
            assert layer.groups == layer.in_channels == layer.out_channels


@settings(max_examples=6, deadline=None)
@given(
    share=st.floats(0.05, 0.6),
    multiple=st.sampled_from([1, 2, 3, 8]),
    scope=st.sampled_from(channel_pruning.SCOPES),
)
def test_any_level_and_multiple(share, multiple, scope):
    model, shape, macs = narrowed("small_densenet", share, scope, multiple)
    assert accounting.macs(model, shape) <= (1 - share) * macs
    whole = convolutions(small_densenet())
    for name, layer in convolutions(model).items():
        unchanged = layer.out_channels == whole[name].out_channels
        assert unchanged or layer.out_channels % multiple == 0


def test_the_channels_of_least_importance_go():
    """A channel whose weights are tiny wherever it is used goes first; the others' weights stay."""
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(8 * 16, 4)
    )
    dead = [1, 4, 5, 6]
    for channel in dead:
        model[0].weight.data[channel] *= 1e-3
        model[0].bias.data[channel] = 0
        model[2].weight.data[:, channel] *= 1e-3
    expected = model[0].weight.detach()[[0, 2, 3, 7]].clone()
    images = torch.randn(4, 3, 8, 8)
    before = model(images)
    macs = accounting.macs(model, (1, 3, 8, 8))
    channel_pruning.narrow(model, (1, 3, 8, 8), 0.3, macs, "global", 4)
    assert torch.equal(model[0].weight, expected) and model[2].out_channels == 8
    torch.testing.assert_close(model(images), before, atol=1e-3, rtol=0)


def test_uniform_takes_the_same_share_of_every_layer():
    model, _, _ = narrowed("vgg16", 0.75, multiple=1)
    before, after = convolutions(NETWORKS["vgg16"]()), convolutions(model)
    shares = [after[name].out_channels / before[name].out_channels for name in before]
    assert max(shares) - min(shares) <= 1 / 16  # one channel of the narrowest layer


def test_levels_refer_to_the_uncompressed_network_and_end_in_evaluation_mode():
    model = small.network(middle=32)
    task = small.task(UNIFORM, model)
    for level in (0.2, 0.4, 0.6):
        model = channel_pruning.compress(model, level, task)
        left = accounting.macs(model, (1, 3, 8, 8))
        assert (0.8 - level) * task.baseline_macs < left <= (1 - level) * task.baseline_macs
        assert not model.training


def test_a_level_that_is_reached_already_changes_no_shape():
    model = small.network(middle=32)
    task = small.task(UNIFORM, model)
    model = channel_pruning.compress(model, 0.6, task)
    expected = shapes(model)
    assert shapes(channel_pruning.compress(model, 0.5, task)) == expected


@pytest.mark.parametrize("name", ["vgg16", "mobilenet_v2"])
def test_a_target_out_of_reach_names_the_layer_that_stops_it(name):
    model = NETWORKS[name]()
    expected = copy.deepcopy(model.state_dict())
    with pytest.raises(UnsupportedError) as caught:
        channel_pruning.narrow(model, SHAPE, 0.999, accounting.macs(model, SHAPE), "uniform", 8)
    message = str(caught.value)
    assert "cannot remove a share 0.999 of the MACs; allowed: up to 0." in message
    assert "\n" not in message
    layer, reachable = message.split()[-1], float(message.split("up to ")[1].split(",")[0])
    assert all(torch.equal(tensor, expected[key]) for key, tensor in model.state_dict().items())
    macs = accounting.macs(model, SHAPE)
    channel_pruning.narrow(model, SHAPE, reachable, macs, "uniform", 8)
    left = accounting.macs_of_layers(model, SHAPE)
    assert max(left, key=left.get) == layer


@pytest.mark.parametrize(
    ("level", "settings", "message"),
    [
        (0, UNIFORM, "share of MACs removed 0 is not allowed; it must be above 0 and below 1"),
        (1.0, UNIFORM, "removed 1.0 is not allowed"),
        (None, UNIFORM, "removed None is not allowed"),
        (0.5, UNIFORM | {"scope": "local"}, "unknown scope 'local'; allowed: global, uniform"),
    ],
)
def test_bad_settings_are_refused(level, settings, message):
    model = small.network()
    with pytest.raises(StudyError, match=message):
        channel_pruning.compress(model, level, small.task(settings, model))


def test_predicted_shares_are_those_of_the_narrowed_network():
    """Layer by layer, where channels are added, joined and flattened."""
    for share, scope in itertools.product((0.1, 0.3), channel_pruning.SCOPES):
        model, shape, macs = narrowed("joined", share, scope, 2)
        layers = accounting.macs_of_layers(model, shape)
        two, three = model.two, model.three
        assert layers["two"] == 64 * 9 * two.in_channels * two.out_channels
        assert layers["three"] == 64 * three.in_channels * three.out_channels
        assert three.in_channels == 2 * two.out_channels == 2 * two.in_channels
        assert model.classifier.in_features == 64 * three.out_channels
        assert sum(layers.values()) == accounting.macs(model, shape) <= (1 - share) * macs
