"""A checkpoint restores the compressed network bit by bit; others are refused."""

import pytest
import torch
from torch import nn

from dlas import compression, models
from dlas.compression import channel_pruning
from dlas.errors import StudyError
from dlas.models import accounting, checkpoint
from tests.unit.compression import small

SHAPE = (1, 3, 32, 32)
MODELS = "resnet18 resnet50 vgg16 mobilenet_v1 mobilenet_v2 efficientnet_b0 densenet161".split()


def built(name, width=0.25, classes=4, seed=0):
    return models.build(name, classes, width, "large_input", seed)


def perturb(model):
    """Give every normalization values of its own: in a new network they are all the same."""
    generator = torch.Generator().manual_seed(0)
    for tensor in model.state_dict().values():
        if tensor.ndim == 1:
            tensor.add_(torch.rand(tensor.shape, generator=generator) * 0.1)


@pytest.mark.parametrize("name", MODELS)
def test_a_narrowed_network_comes_back_with_the_same_outputs(name, tmp_path):
    model = built(name, seed=1)
    perturb(model)
    macs = accounting.macs(model, SHAPE)
    channel_pruning.narrow(model, SHAPE, 0.5, macs, "uniform", 8)
    assert 0.4 * macs < accounting.macs(model, SHAPE) <= 0.5 * macs
    checkpoint.save(model, tmp_path / "half.safetensors")
    restored = compression.restore(["channel_pruning"], built(name), tmp_path / "half.safetensors")
    assert not restored.training
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    expected = model.eval()(images)
    assert expected.isfinite().all() and torch.equal(restored(images), expected)
    assert accounting.summarize(model, SHAPE) == accounting.summarize(restored, SHAPE)
    described = [str(layer) for layer in model.modules() if not list(layer.children())]
    assert [str(layer) for layer in restored.modules() if not list(layer.children())] == described
    for parameter in restored.parameters():
        assert parameter.requires_grad  # the next level is fine-tuned


@pytest.mark.parametrize("second", ["float16", "int8"])
@pytest.mark.parametrize("name", MODELS)
def test_a_pipeline_comes_back_with_the_same_outputs(name, second, tmp_path):
    model = built(name, seed=1)
    perturb(model)
    channel_pruning.narrow(model, SHAPE, 0.5, accounting.macs(model, SHAPE), "uniform", 8)
    settings = {"observer": "minmax", "calibration_images": 2, "epochs": 0}
    task = small.task(settings, size=32, count=4)
    model = compression.load(second).compress(model, None, task)
    checkpoint.save(model, tmp_path / "pair.safetensors")
    steps = ["channel_pruning", second]
    restored = compression.restore(steps, built(name), tmp_path / "pair.safetensors")
    kind = torch.float16 if second == "float16" else torch.float32
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)).to(kind)
    with torch.inference_mode():
        assert torch.equal(restored(images), model(images))


@pytest.mark.parametrize(
    "other",
    [
        lambda: built("resnet18", classes=5),
        lambda: built("resnet18", width=0.5),
        lambda: built("vgg16"),
        lambda: nn.Linear(3, 4),
        lambda: built("resnet18").half(),
    ],
)
@pytest.mark.parametrize("technique", ["none", "weight_pruning", "channel_pruning"])
def test_a_checkpoint_of_another_network_is_refused(technique, other, tmp_path):
    checkpoint.save(other(), tmp_path / "other.safetensors")
    with pytest.raises(StudyError, match=r"is of another model: .* allowed: ") as caught:
        compression.restore([technique], built("resnet18"), tmp_path / "other.safetensors")
    assert "\n" not in str(caught.value)


def test_a_missing_or_truncated_checkpoint_is_named(tmp_path):
    path = tmp_path / "level.safetensors"
    with pytest.raises(StudyError, match="does not exist"):
        compression.restore(["channel_pruning"], small.network(), path)
    checkpoint.save(small.network(), path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(StudyError, match="truncated"):
        compression.restore(["channel_pruning"], small.network(), path)


def test_a_narrowed_checkpoint_is_not_read_as_an_uncompressed_one(tmp_path):
    model = small.network(middle=32)
    macs = accounting.macs(model, (1, 3, 8, 8))
    channel_pruning.narrow(model, (1, 3, 8, 8), 0.5, macs, "uniform", 4)
    checkpoint.save(model, tmp_path / "half.safetensors")
    with pytest.raises(StudyError, match="is of another model"):
        compression.restore(["none"], small.network(middle=32), tmp_path / "half.safetensors")


def test_a_module_that_is_no_technique_is_named():
    for name in ("elbow", "nothing"):
        with pytest.raises(StudyError, match=f"unknown compression '{name}'; allowed: .*none"):
            compression.load(name)
