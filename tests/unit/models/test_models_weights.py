"""Weights from files: torchvision's and the user's."""

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from dlas import models, study
from dlas.errors import StudyError
from dlas.models import checkpoint, weights
from dlas.models.vision import models as torchvision_models

PUBLISHED = ("resnet50", "densenet161", "efficientnet_b0", "mobilenet_v2")
CONFIG = study.load()


class Hostile:
    """What runs code when it is unpickled without care."""

    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def ours(name: str = "mobilenet_v2", classes: int = 10, width: float = 0.125, seed: int = 0):
    return models.build(name, classes, width, "large_input", seed)


def logits(network: nn.Module) -> torch.Tensor:
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        return network.eval()(images)


def old(tensors):
    """As torchvision's file of DenseNet161 is."""
    return {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12]\.)", r"\1.\2", name): tensor
        for name, tensor in tensors.items()
        if not name.endswith("num_batches_tracked")
    }


def error_of(path: Path, model: nn.Module, name: str = "mobilenet_v2") -> str:
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    with pytest.raises(StudyError) as error:
        weights.load(model, name, path)
    assert "\n" not in str(error.value) and str(path) in str(error.value)
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())
    return str(error.value)


@pytest.mark.parametrize("name", PUBLISHED)
def test_torchvisions_network_computes_the_same_here(tmp_path, name):
    """Random weights, in a file as torchvision publishes them."""
    theirs = torchvision_models.get_model(name, weights=None)
    with torch.no_grad():
        theirs.train()(torch.randn(2, 3, 64, 64))  # moves the running statistics
    tensors, path = theirs.state_dict(), tmp_path / "weights.pth"
    if name == "densenet161":
        tensors = old(tensors)
    torch.save(tensors, path, _use_new_zipfile_serialization=name != "densenet161")
    network = ours(name, 1000, 1.0)
    weights.load(network, name, path)
    assert torch.equal(logits(network), logits(theirs))


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_weights_have_an_address_with_a_checksum(name):
    url, digits = weights.published(study.published(CONFIG, name))
    assert re.fullmatch(rf"https://download\.pytorch\.org/models/{name}\w*-{digits}\.pth", url)
    assert len(digits) >= 8


def test_a_model_without_published_weights_is_answered_with_those_that_have_some():
    with pytest.raises(StudyError, match=rf"'vgg16'; allowed: {', '.join(sorted(PUBLISHED))}$"):
        study.published(CONFIG, "vgg16")


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_a_file_of_the_users_is_loaded(tmp_path, suffix):
    saved, loaded, path = ours(seed=1), ours(seed=2), tmp_path / f"mine.{suffix}"
    if suffix == "pth":
        torch.save(saved.state_dict(), path)
    else:
        checkpoint.save(saved, path)
    weights.load(loaded, "mobilenet_v2", path)
    assert torch.equal(logits(loaded), logits(saved))


def test_weights_of_another_width_or_of_other_classes_are_refused(tmp_path):
    path = tmp_path / "mine.pth"
    torch.save(ours(width=0.25).state_dict(), path)
    assert "is of another model: " in error_of(path, ours())
    torch.save(ours(classes=12).state_dict(), path)
    said = error_of(path, ours())
    assert "classifier.1.bias is float32 [12]; allowed: float32 [10]" in said


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_damaged_file_is_refused(tmp_path, suffix, share):
    path = tmp_path / f"mine.{suffix}"
    if suffix == "pth":
        torch.save(ours().state_dict(), path)
    else:
        checkpoint.save(ours(), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert re.search("damaged|truncated", error_of(path, ours()))


@pytest.mark.parametrize("name", ["none.pth", "none.safetensors"])
def test_a_missing_file_is_named(tmp_path, name):
    assert "not exist" in error_of(tmp_path / name, ours())


@pytest.mark.parametrize("old_format", [False, True])
def test_a_file_with_code_is_refused_and_the_code_not_run(tmp_path, old_format):
    ran, path = tmp_path / "ran", tmp_path / "mine.pth"
    content = {"a": torch.zeros(1), "b": Hostile(ran)}
    torch.save(content, path, _use_new_zipfile_serialization=not old_format)
    assert "hold more than tensors" in error_of(path, ours())
    assert not ran.exists()


@pytest.mark.parametrize("content", [[torch.zeros(1)], {"epoch": 3}, {"state_dict": {}}, 3])
def test_a_file_of_other_things_is_refused(tmp_path, content):
    path = tmp_path / "mine.pth"
    torch.save(content, path)
    assert "allowed: what torch.save writes of a state_dict()" in error_of(path, ours())


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_tensor_that_is_not_finite_is_named(tmp_path, suffix, value):
    path = tmp_path / f"mine.{suffix}"
    tensors = ours().state_dict()
    tensors["features.1.conv.0.1.running_var"].fill_(value)
    if suffix == "pth":
        torch.save(tensors, path)
    else:
        save_file(tensors, path)
    said = error_of(path, ours())
    assert said.startswith("features.1.conv.0.1.running_var in the ") and "NaN or infinite" in said


NUMBERS = [f"n{number:08}" for number in range(1_440_764, 1_441_764)]


def test_the_classes_of_published_weights():
    weights.check_classes(NUMBERS)
    for wrong in (NUMBERS[:999], NUMBERS[::-1], ["tench", *NUMBERS[1:]]):
        with pytest.raises(
            StudyError, match="imagenet1k is of the 1000 classes of ImageNet, named n"
        ):
            weights.check_classes(wrong)
