"""Folding keeps what a network computes and takes away the batch normalizations that it can."""

import pytest
import torch
from torch import nn

from dlas import models
from dlas.errors import StudyError
from dlas.models.folding import fold


def perturbed(name):
    """Return a network whose batch normalizations do not start as identities."""
    model = models.build(name, 4, 0.125, "small_input")
    generator = torch.Generator().manual_seed(0)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor in (layer.weight.data, layer.bias.data, layer.running_mean):
                tensor.add_(0.2 * torch.rand(tensor.shape, generator=generator))
            layer.running_var.mul_(1 + torch.rand(layer.running_var.shape, generator=generator))
    return model


@pytest.mark.parametrize(
    ("name", "remaining"),
    # DenseNet161 normalizes before its 78 pairs of convolutions; the second of each pair can be
    # folded into the first.
    [("resnet18", 0), ("mobilenet_v2", 0), ("efficientnet_b0", 0), ("densenet161", 78 + 3 + 1)],
)
def test_a_folded_network_computes_the_same(name, remaining):
    model = perturbed(name)
    folded = fold(model)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(folded(images), model.eval()(images), rtol=1e-3, atol=1e-4)
    left = [name for name, layer in folded.named_modules() if isinstance(layer, nn.BatchNorm2d)]
    assert len(left) == remaining
    layers = {name for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d)}
    assert layers <= {name for name, _ in folded.named_modules()}


def test_the_model_is_unchanged_and_the_copy_is_plain():
    model = perturbed("mobilenet_v1").to(memory_format=torch.channels_last).train()
    model[4].eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    folded = fold(model)
    assert [module.training for module in model] == [index != 4 for index in range(len(model))]
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(module.training for module in folded.modules())
    for parameter in folded.parameters():
        assert parameter.is_contiguous() and parameter.dtype == torch.float32
    assert torch.equal(fold(folded).get_submodule("0").weight, folded.get_submodule("0").weight)


def test_a_normalization_of_a_feature_map_that_others_read_stays():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution = nn.Conv2d(3, 4, 1)
            self.normalization = nn.BatchNorm2d(4)

        def forward(self, images):
            features = self.convolution(images)
            return features + self.normalization(features)

    folded = fold(Both())
    assert isinstance(folded.get_submodule("normalization"), nn.BatchNorm2d)


def test_a_network_that_looks_at_its_input_is_refused():
    class Curious(nn.Module):
        def forward(self, images):
            return images if images.sum() > 0 else -images

    with pytest.raises(StudyError, match="the network Curious cannot be traced: ") as caught:
        fold(Curious())
    assert "\n" not in str(caught.value)
