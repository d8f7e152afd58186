"""Images get to the device as they are, and what a GPU trains agrees with what a CPU does."""

import numpy as np
import pytest
import torch

from dlas import datasets, models
from dlas.errors import StudyError
from dlas.models import accuracy, devices, training_state
from dlas.models.training import Recipe
from tests.unit.models.tiny_training import SGD, plainly_trained, trained

CPU = torch.device("cpu")
needs_gpu = pytest.mark.skipif(not torch.cuda.device_count(), reason="a CUDA GPU is needed")


def split(count=20):
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (count, 6, 5, 3), dtype=np.uint8)
    return datasets.Split(images, np.arange(count))


def test_images_are_normalized_as_in_the_data_set():
    images, mean, std = split().images, np.float32([0.1, 0.5, 0.9]), np.float32([1, 0.2, 0.3])
    found = devices.normalize(torch.from_numpy(images), mean, std)
    assert np.array_equal(found.numpy(), datasets.normalize(images, mean, std))


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_that_are_fetched_are_those_that_lie_there(workers):
    placed = devices.place(split(), CPU)
    order = torch.randperm(20).split(6)
    before = torch.random.get_rng_state()
    lying = list(devices.batches(placed, order, CPU, workers))
    fetched = list(devices.fetched(placed, order, CPU, workers))
    assert [len(labels) for _, labels in lying] == [6, 6, 6, 2]
    assert torch.equal(torch.cat([labels for _, labels in lying]), torch.cat(order))
    for (images, labels), (same_images, same_labels) in zip(lying, fetched, strict=True):
        assert torch.equal(images, same_images) and torch.equal(labels, same_labels)
        assert np.array_equal(images.numpy(), split().images[labels])
    assert torch.equal(torch.random.get_rng_state(), before)  # nothing was drawn from it


def test_a_gpu_that_is_not_there_is_told(digits):
    missing = torch.cuda.device_count() + 1
    recipe = Recipe(**{**SGD, "batch_size": 2 * missing}, device="cuda", processes=missing)
    with pytest.raises(StudyError, match=rf"finds {missing - 1} CUDA GPUs .*; allowed: .*cpu$"):
        trained(digits, recipe)


@needs_gpu
@pytest.mark.parametrize("settings", [{}, {"bfloat16": True, "optimizer": "adamw"}])
def test_a_gpu_trains_as_a_cpu_does_and_the_same_each_time(digits, settings):
    settings = SGD | {"epochs": 5, "pad_crop": 1, "learning_rate": 0.01} | settings
    _, on_cpu = plainly_trained(digits, Recipe(**settings), normalizes=True)
    (one, history), (two, again) = (
        plainly_trained(digits, Recipe(**settings, device="cuda"), normalizes=True)
        for _ in range(2)
    )
    assert devices.of(one) == CPU
    columns = ["train_loss", "train_top1", "validation_loss", "validation_top1"]
    assert history[columns].equals(again[columns])
    state = two.state_dict()
    assert all(torch.equal(each, state[name]) for name, each in one.state_dict().items())
    # Rounding grows with the steps, and the accuracy of a network that knows little yet hangs on
    # it.
    assert history.train_loss.iloc[0] == pytest.approx(on_cpu.train_loss.iloc[0], rel=0.02)
    assert history.validation_top1.iloc[-1] == pytest.approx(on_cpu.validation_top1.iloc[-1], abs=5)


@needs_gpu
def test_a_gpu_goes_on_where_it_was_dropout_included(digits, tmp_path, monkeypatch):
    recipe = Recipe(**{**SGD, "epochs": 3}, pad_crop=2, device="cuda")
    whole, _ = trained(digits, recipe)
    save = training_state.save

    def killed(*arguments):
        save(*arguments)
        raise KeyboardInterrupt

    state_file = tmp_path / "state.pt"
    with pytest.raises(KeyboardInterrupt), monkeypatch.context() as patched:
        patched.setattr(training_state, "save", killed)
        trained(digits, recipe, resume_from=state_file)
    assert state_file.exists()
    model, history = trained(digits, recipe, resume_from=state_file)
    state = model.state_dict()
    assert len(history) == 3
    assert all(torch.equal(each, state[name]) for name, each in whole.state_dict().items())


@needs_gpu
def test_images_that_do_not_fit_come_through_pinned_memory(monkeypatch, digits):
    recipe = Recipe(**SGD, pad_crop=2, horizontal_flip=True, device="cuda")
    lying, _ = plainly_trained(digits, recipe)
    monkeypatch.setattr(devices, "MEMORY_SHARE", 0)
    fetched, _ = plainly_trained(digits, recipe)
    state = fetched.state_dict()
    assert all(torch.equal(each, state[name]) for name, each in lying.state_dict().items())


@needs_gpu
@pytest.mark.parametrize("name", ["resnet18", "vgg16", "mobilenet_v1", "mobilenet_v2"])
def test_a_network_gives_the_same_on_a_gpu(name):
    model = models.build(name, 10, 0.25, "small_input")
    images = split(40).images.repeat(6, axis=1).repeat(7, axis=2)[:, :32, :32]
    shown = datasets.Normalized(images, np.float32([0.5] * 3), np.float32([0.25] * 3))
    expected = accuracy.logits(model, shown)
    on_gpu = accuracy.logits(model.to("cuda"), shown)
    np.testing.assert_allclose(on_gpu, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
