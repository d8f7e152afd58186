"""Weights on disk and the outputs of a network."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from dlas import datasets, models, tensor_files
from dlas.errors import FailedError, StudyError, UnsupportedError, WrongError
from dlas.models import accuracy, checkpoint


def network(seed=0, classes=10, width=0.125):
    return models.build("mobilenet_v2", classes, width, "small_input", seed)


@pytest.fixture
def images():
    return np.random.default_rng(0).standard_normal((5, 3, 32, 32)).astype(np.float32)


def test_a_loaded_network_computes_what_the_saved_one_did(tmp_path, images):
    saved = network(1).to(memory_format=torch.channels_last)
    with torch.no_grad():
        saved(torch.from_numpy(images))  # moves the running statistics
    path = tmp_path / "some" / "checkpoint.safetensors"
    checkpoint.save(saved, path)
    loaded = network(2)
    assert not np.allclose(accuracy.logits(loaded, images), accuracy.logits(saved, images))
    checkpoint.load(loaded, path)
    np.testing.assert_allclose(
        accuracy.logits(loaded, images), accuracy.logits(saved, images), rtol=1e-4, atol=1e-6
    )


def test_logits_do_not_depend_on_the_batches_and_keep_the_mode(images):
    model = network().train()
    logits = accuracy.logits(model, images)
    assert logits.shape == (5, 10) and logits.dtype == np.float32 and model.training
    np.testing.assert_allclose(
        accuracy.logits(model, images, batch_size=2), logits, rtol=1e-4, atol=1e-6
    )
    model.eval()
    with torch.inference_mode():
        expected = model(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-6)


def error_of_loading(path, model=None) -> str:
    model = model or network()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(StudyError) as caught:
        checkpoint.load(model, path)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


def test_a_missing_checkpoint_is_named(tmp_path):
    assert "does not exist" in error_of_loading(tmp_path / "none.safetensors")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_truncated_checkpoint_is_named(tmp_path, share):
    path = tmp_path / "checkpoint.safetensors"
    checkpoint.save(network(), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert "truncated" in error_of_loading(path)


@pytest.mark.parametrize(
    "other",
    [
        lambda: network(classes=12),
        lambda: network(width=0.5),
        lambda: models.build("vgg16", 10, 0.125, "small_input"),
    ],
)
def test_a_checkpoint_of_another_model_is_named(tmp_path, other):
    path = tmp_path / "checkpoint.safetensors"
    checkpoint.save(other(), path)
    message = error_of_loading(path)
    assert "of another model" in message and "allowed:" in message


def test_a_failed_save_leaves_the_finished_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.safetensors"
    checkpoint.save(network(), path)
    content = path.read_bytes()

    def fail(tensors, name):
        raise OSError("disk full")

    monkeypatch.setattr(checkpoint, "save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        checkpoint.save(network(1), path)
    assert path.read_bytes() == content and [p.name for p in tmp_path.iterdir()] == [path.name]


TENSORS = sorted(name for name, one in network().state_dict().items() if one.is_floating_point())
NOT_FINITE = st.sampled_from([float("nan"), float("inf"), float("-inf")])


def damaged(name: str, value: float) -> dict[str, torch.Tensor]:
    tensors = {key: tensor.clone() for key, tensor in network().state_dict().items()}
    tensors[name].flatten()[-1] = value
    return tensors


@given(name=st.sampled_from(TENSORS), value=NOT_FINITE)
def test_a_tensor_that_is_not_finite_is_named_at_both_doors(name, value, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "mine.safetensors"
    save_file(damaged(name, value), path)
    said = f"{name} in the checkpoint {path}: 1 of "
    assert error_of_loading(path).startswith(said)
    model = network()
    model.load_state_dict(damaged(name, value))
    path.unlink()
    with pytest.raises(FailedError, match=re.escape(said)):
        checkpoint.save(model, path)
    assert not path.exists()


def test_weights_that_are_all_zero_are_numbers(tmp_path):
    path = tmp_path / "zeros.safetensors"
    save_file({name: torch.zeros_like(one) for name, one in network().state_dict().items()}, path)
    checkpoint.load(network(), path)


def test_what_is_beyond_float16_is_said(tmp_path):
    layer = torch.nn.Linear(2, 2)
    layer.weight.data.fill_(7e4)
    with pytest.raises(
        FailedError, match=r"weight in .* 4 of 4 .*, the range of float16 ends at 6"
    ):
        checkpoint.save(layer.half(), tmp_path / "half.safetensors")


@pytest.mark.parametrize("error", [FailedError("a: b"), UnsupportedError("c"), WrongError("d")])
def test_a_checkpoint_without_a_network_raises_the_reason(error, tmp_path):
    tensor_files.write_status(tmp_path / "none.safetensors", error.status)
    with pytest.raises(type(error)) as caught:
        checkpoint.load(network(), tmp_path / "none.safetensors")
    assert caught.value.status == error.status


class Constant(torch.nn.Module):
    """A network with the same logits for all images."""

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.register_buffer("logits", torch.tensor(logits))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(images), -1)


def test_the_top1_is_the_share_of_the_answers_that_are_right(digits):
    class Bright(torch.nn.Module):
        """A network whose logits are the brightness of parts of the image."""

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.flatten(1)[:, 20:30]

    found = accuracy.answers(Bright(), digits.test, digits)
    assert found.dtype == np.uint16 and found.shape == digits.test.labels.shape
    logits = accuracy.logits(Bright(), datasets.normalized(digits.test, digits))
    assert len(set(found.tolist())) > 1
    np.testing.assert_array_equal(found, logits.argmax(axis=1))
    top1 = datasets.top1(logits, digits.test.labels)
    assert accuracy.top1(Bright(), digits.test, digits) == top1
    assert accuracy.top1_of(found, digits.test) == top1
    assert accuracy.top1_of(digits.test.labels, digits.test) == 100


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_logits_that_are_not_finite_have_no_accuracy(digits, value):
    logits = [1.0, value, *[0.0] * 8]
    assert accuracy.top1(Constant(1.0, *[0.0] * 9), digits.test, digits) > 5
    with pytest.raises(WrongError, match=r"logits of the framework are not finite$"):
        accuracy.top1(Constant(*logits), digits.test, digits)
    with pytest.raises(WrongError, match="logits are not finite"):
        datasets.top1(np.float32([logits]), np.array([0]))
