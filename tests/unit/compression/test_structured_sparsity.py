"""N:M and block sparsity: exactly the level's share is zero, and stays zero."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dlas import compression, models, registry
from dlas.compression import block_sparsity, n_m_sparsity, pruning, weight_pruning
from dlas.errors import PassedError, StudyError, UnsupportedError
from tests.unit.compression import small

EXCLUDE = ["stem", "depthwise", "classifier"]
GROUPS = {"exclude": EXCLUDE, "group": 4}
BLOCKS = {"exclude": EXCLUDE, "score": "lamp"}
SETTINGS = {"n_m_sparsity": GROUPS, "block_sparsity": BLOCKS}
TECHNIQUES = pytest.mark.parametrize("name", SETTINGS)


def layers(model, exclude=EXCLUDE):
    return [layer.weight.detach() for layer in pruning.prunable(model, exclude).values()]


def groups(model, exclude=EXCLUDE, group=4):
    """Return the weights of each group of neighbouring input channels."""
    return torch.cat([one.movedim(1, -1).reshape(-1, group) for one in layers(model, exclude)])


def blocks(model, exclude=EXCLUDE):
    """Return the weights of each block of four output channels."""
    return torch.cat([one.movedim(0, -1).reshape(-1, 4) for one in layers(model, exclude)])


@settings(max_examples=6, deadline=None)
@given(
    group=st.sampled_from([2, 4, 8]),
    exclude=st.sampled_from([EXCLUDE, ["stem", "depthwise"]]),
    seed=st.integers(0, 1000),
    data=st.data(),
)
def test_each_group_has_as_many_zeros_as_the_level_says_and_keeps_them(group, exclude, seed, data):
    counts = data.draw(st.sets(st.integers(1, group - 1), min_size=1, max_size=2).map(sorted))
    model = small.network(seed)
    task = small.task({"exclude": exclude, "group": group})
    zeros = torch.zeros_like(groups(model, exclude, group), dtype=torch.bool)
    for count in counts:
        model = n_m_sparsity.compress(model, count / group, task)
        now = groups(model, exclude, group) == 0
        assert (now.sum(dim=1) == count).all()
        assert now[zeros].all() and not model.training
        zeros = now
    assert set(model.state_dict()) == set(small.network().state_dict())


@settings(max_examples=6, deadline=None)
@given(
    levels=st.lists(st.floats(0.05, 0.95), min_size=1, max_size=3).map(sorted),
    exclude=st.sampled_from([EXCLUDE, ["stem", "depthwise"]]),
    score=st.sampled_from(sorted(pruning.SCORES)),
    seed=st.integers(0, 1000),
)
def test_blocks_are_zero_together_as_many_as_the_level_says(levels, exclude, score, seed):
    model = small.network(seed)
    task = small.task({"exclude": exclude, "score": score})
    zeros = torch.zeros(len(blocks(model, exclude)), dtype=torch.bool)
    for level in levels:
        model = block_sparsity.compress(model, level, task)
        now = blocks(model, exclude) == 0
        assert torch.equal(now.any(dim=1), now.all(dim=1))
        zero = now.all(dim=1)
        assert int(zero.sum()) == round(level * len(zero))
        assert zero[zeros].all() and not model.training
        zeros = zero
    assert set(model.state_dict()) == set(small.network().state_dict())


@pytest.mark.parametrize(("level", "stay"), [(0.5, 2), (0.75, 1)])
def test_the_largest_weights_of_a_group_stay(level, stay):
    task = small.task(GROUPS, recipe=small.FROZEN)
    before, after = (
        groups(model)
        for model in (small.network(), n_m_sparsity.compress(small.network(), level, task))
    )
    smallest = before.abs().sort(dim=1).values[:, 4 - stay]
    expected = before.abs() >= smallest[:, None]
    assert torch.equal(after != 0, expected) and torch.equal(after[expected], before[expected])


def test_neighbours_are_input_channels_of_one_output_channel_and_tap():
    weight = torch.tensor([[1.0, 4.0, 3.0, 2.0], [-8.0, 5.0, -6.0, 7.0]])
    weight = torch.stack([weight, weight.flip(1)], dim=2)[..., None]  # [2, 4, 2, 1]
    kept = n_m_sparsity.largest(weight, 4, 2)
    assert kept[0, :, 0, 0].tolist() == [False, True, True, False]
    assert kept[1, :, 0, 0].tolist() == [True, False, False, True]
    assert torch.equal(kept[..., 1, 0], kept[..., 0, 0].flip(1))


def test_the_blocks_of_the_smallest_sums_go():
    model = small.network()
    task = small.task({"exclude": EXCLUDE, "score": "magnitude"}, recipe=small.FROZEN)
    sums = blocks(model).abs().sum(dim=1)
    expected = sums > sums.sort().values[round(0.75 * len(sums)) - 1]
    assert torch.equal((blocks(block_sparsity.compress(model, 0.75, task)) != 0).all(1), expected)


@TECHNIQUES
def test_fine_tuning_changes_the_weights_that_are_left_and_no_others(name):
    frozen, tuned = (
        compression.load(name).compress(
            small.network(), 0.5, small.task(SETTINGS[name], recipe=recipe)
        )
        for recipe in (small.FROZEN, small.RECIPE)
    )
    before, after = groups(frozen), groups(tuned)
    assert torch.equal(before == 0, after == 0) and not torch.equal(before, after)
    for model in (frozen, tuned):
        untouched = {"0.weight", "2.weight", "9.weight"}
        assert all((model.state_dict()[key] != 0).all() for key in untouched)


@TECHNIQUES
def test_zeros_of_weight_pruning_stay_and_count(name):
    task = small.task({"exclude": EXCLUDE, "score": "magnitude"}, recipe=small.FROZEN)
    model = weight_pruning.compress(small.network(), 0.3, task)
    zeros = groups(model) == 0
    assert registry.describe("compression", name).keeps_zeros
    model = compression.load(name).compress(model, 0.75, small.task(SETTINGS[name]))
    now = groups(model) == 0
    assert now[zeros].all()
    if name == "n_m_sparsity":
        assert (now.sum(dim=1) == 3).all()
    else:
        assert (blocks(model) == 0).all(dim=1).float().mean() == 0.75


@TECHNIQUES
def test_a_level_below_what_is_zero_is_a_row_with_the_reason(name):
    settings = small.task({"exclude": EXCLUDE, "score": "magnitude"}, recipe=small.FROZEN)
    model = weight_pruning.compress(small.network(), 0.9, settings)
    content = copy.deepcopy(model.state_dict())
    with pytest.raises(PassedError, match=r"sparsity 0.5 is below the 0.89\d* that the netw"):
        compression.load(name).compress(model, 0.5, small.task(SETTINGS[name]))
    assert all(torch.equal(tensor, content[key]) for key, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("name", "exclude", "reason"),
    [
        ("n_m_sparsity", [], "the 3 input channels of 0 do not divide into groups of 4"),
        ("n_m_sparsity", ["stem"], "the 1 input channels of 2 do not divide into groups of 4"),
        ("block_sparsity", ["stem"], "the 6 output channels of 2 do not divide into groups of 4"),
    ],
)
def test_channels_that_do_not_divide_are_a_row_with_the_layer(name, exclude, reason):
    """Before any training: the recipe would fail."""
    model = small.network(middle=6 if name == "block_sparsity" else 8)
    task = small.task(SETTINGS[name] | {"exclude": exclude}, recipe=None)
    with pytest.raises(UnsupportedError, match=reason) as caught:
        compression.load(name).compress(model, 0.5, task)
    assert caught.value.status == f"unsupported: {reason}"


@TECHNIQUES
@pytest.mark.parametrize("level", [None, 0, 1, -0.5, float("nan")])
def test_a_sparsity_out_of_range_is_refused(name, level):
    with pytest.raises(StudyError, match=r"sparsity .* not allowed; it must be above 0 and"):
        compression.load(name).compress(small.network(), level, small.task(SETTINGS[name]))


@pytest.mark.parametrize(("group", "multiple"), [(4, "0.25"), (2, "0.5")])
def test_a_share_of_a_group_that_is_no_number_of_weights_is_refused(group, multiple):
    task = small.task(GROUPS | {"group": group})
    with pytest.raises(
        StudyError, match=rf"sparsity 0.7 is not .* multiple of {multiple}, as"
    ) as no:
        n_m_sparsity.compress(small.network(), 0.7, task)
    assert not isinstance(no.value, UnsupportedError)


@TECHNIQUES
@pytest.mark.parametrize("model", ["resnet18", "mobilenet_v2", "resnet50"])
def test_the_networks_of_beyond_the_paper_divide(name, model):
    """At the embedded study's width, and at full width."""
    for width in (0.25, 1.0):
        network = models.build(model, 10, width, "small_input")
        dim, size = (1, 4) if name == "n_m_sparsity" else (0, 4)
        pruning.check_divides(pruning.prunable(network, EXCLUDE), dim, size)


@TECHNIQUES
def test_the_same_again_gives_the_same_bytes(name):
    first, second = (
        compression.load(name).compress(small.network(), 0.5, small.task(SETTINGS[name]))
        for _ in range(2)
    )
    content = second.state_dict()
    assert all(torch.equal(tensor, content[key]) for key, tensor in first.state_dict().items())
