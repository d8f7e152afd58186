"""Networks at reduced widths, their stems, and what is refused."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dlas import models, registry
from dlas.errors import StudyError
from dlas.models.vision import channels


def convolutions(network: nn.Module) -> list[nn.Conv2d]:
    return [module for module in network.modules() if isinstance(module, nn.Conv2d)]


@pytest.mark.parametrize(
    ("name", "small", "large"),
    [
        ("resnet18", 4, 1),
        ("resnet50", 4, 1),
        ("densenet161", 4, 1),
        ("mobilenet_v1", 2, 1),
        ("mobilenet_v2", 4, 1),
        ("efficientnet_b0", 2, 1),
        ("vgg16", 2, 2),
    ],
)
def test_the_small_input_stem_keeps_larger_feature_maps(name, small, large):
    """The last convolution's feature map, of a 32x32 image."""
    sizes = {}
    for stem in models.STEMS:
        network = models.build(name, 10, 0.25, stem).eval()
        rows = []
        for layer in convolutions(network):
            layer.register_forward_hook(
                lambda layer, _, output, rows=rows: rows.append(output.shape[2])
            )
        with torch.inference_mode():
            network(torch.zeros(1, 3, 32, 32))
        sizes[stem] = rows[-1]
    assert sizes == {"small_input": small, "large_input": large}


@given(published=st.integers(1, 200).map(lambda number: 8 * number), width=st.floats(0.01, 3))
def test_channels_are_divisible_by_8_and_near_the_product(published, width):
    scaled = channels(published, width)
    assert scaled % 8 == 0 and scaled >= 8
    assert 0.9 * published * width <= scaled <= max(8, published * width + 8)


def test_channels_at_width_1_are_the_published_ones():
    assert [channels(published, 1) for published in (3, 44, 64)] == [3, 44, 64]


def test_the_seed_alone_decides_the_weights():
    def first_weight(seed):
        return convolutions(models.build("resnet18", 10, 0.125, "small_input", seed))[0].weight

    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    one, two, other = first_weight(1), first_weight(1), first_weight(2)
    assert torch.equal(one, two) and not torch.equal(one, other)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("width", [0, -0.5, math.nan, math.inf])
def test_a_width_that_is_no_positive_number_is_refused(width):
    with pytest.raises(StudyError, match=f"the width {width} of resnet18"):
        models.build("resnet18", 10, width, "small_input")


@pytest.mark.parametrize("name", ["alexnet", "training", "vision", ""])
def test_an_unknown_model_is_answered_with_the_allowed_ones(name):
    allowed = ", ".join(sorted(registry.names("model")))
    with pytest.raises(StudyError) as caught:
        models.build(name, 10, 1.0, "small_input")
    assert str(caught.value) == f"unknown model {name!r}; allowed: {allowed}"


def test_an_unknown_stem_is_answered_with_the_allowed_ones():
    with pytest.raises(StudyError, match="unknown stem 'tiny'; allowed: large_input, small_input"):
        models.build("resnet18", 10, 1.0, "tiny")
