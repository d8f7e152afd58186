"""Weights on disk and the outputs of a network."""

import numpy as np
import pytest
import torch

from dlas import models
from dlas.errors import StudyError
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
