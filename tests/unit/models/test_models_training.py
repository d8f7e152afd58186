"""Training learns, is repeatable, keeps its best epoch and stops when it diverges."""

import math
import multiprocessing
import signal
import time

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dlas import datasets, models
from dlas.errors import FailedError, StudyError
from dlas.models import training
from dlas.models.training import Recipe
from tests.unit.models.tiny_training import SGD, plainly_trained, trained

COLUMNS = (
    "epoch learning_rate train_loss train_top1 validation_loss validation_top1 seconds".split()
)
DIVERGED = r"^training diverged in epoch 1: the loss is \w+, 0\.weight is not finite; learning_rate"


@pytest.mark.parametrize(
    "settings",
    [
        SGD | {"pad_crop": 1},
        SGD
        | {"optimizer": "adamw", "learning_rate": 0.01, "bfloat16": True, "label_smoothing": 0.1},
    ],
)
def test_training_learns_the_digits(digits, settings):
    model, history = trained(digits, Recipe(**{**settings, "epochs": 5}))
    assert list(history.columns) == COLUMNS
    assert history.epoch.tolist() == [1, 2, 3, 4, 5]
    assert history.train_loss.iloc[-1] < history.train_loss.iloc[0]
    _, test_top1 = training.evaluate(model, digits.test, digits)
    assert test_top1 > 85  # by chance: 10
    assert not model.training


def test_the_same_seed_gives_the_same_weights_and_another_does_not(digits):
    recipe = Recipe(**SGD, pad_crop=2, horizontal_flip=True)
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    (one, one_history), (two, two_history), (other, _) = (
        trained(digits, recipe, seed) for seed in (1, 1, 2)
    )
    pd.testing.assert_frame_equal(
        one_history.drop(columns="seconds"), two_history.drop(columns="seconds")
    )
    weights = [model.state_dict() for model in (one, two, other)]
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())
    assert not all(torch.equal(tensor, weights[2][name]) for name, tensor in weights[0].items())
    assert torch.equal(torch.random.get_rng_state(), before) and torch.get_num_threads() == threads


@pytest.mark.parametrize("settings", [{}, {"optimizer": "adamw", "bfloat16": True}])
def test_a_training_that_is_killed_goes_on_to_the_same_weights(digits, settings, tmp_path):
    recipe = Recipe(**{**SGD, "epochs": 6, "pad_crop": 2} | settings)
    whole, history = trained(digits, recipe)
    for kills in range(3):
        state_file = tmp_path / f"{kills}.pt"
        for _ in range(kills):
            killed_after_an_epoch(digits, recipe, state_file)
        model, again = trained(digits, recipe, resume_from=state_file)
        assert not state_file.exists()
        pd.testing.assert_frame_equal(
            history.drop(columns="seconds"), again.drop(columns="seconds")
        )
        state = model.state_dict()
        assert all(torch.equal(each, state[name]) for name, each in whole.state_dict().items())


@pytest.mark.parametrize("normalizes", [False, True])
def test_two_processes_train_as_one_does(digits, normalizes, tmp_path):
    """Exact but for rounding, unless batch normalization sees one process's part of a batch."""
    settings = SGD | {"epochs": 3, "pad_crop": 2, "horizontal_flip": True, "bfloat16": normalizes}
    (one, alone), (two, together) = (
        plainly_trained(digits, Recipe(**settings, processes=count), normalizes) for count in (1, 2)
    )
    assert not two.training and len(together) == 3
    columns = ["train_loss", "train_top1", "validation_loss", "validation_top1"]
    closely = {"rtol": 0.1, "atol": 3} if normalizes else {"rtol": 1e-5, "atol": 0.01}
    np.testing.assert_allclose(together[columns], alone[columns], **closely)
    if not normalizes:
        weights = two.state_dict()
        for name, tensor in one.state_dict().items():
            torch.testing.assert_close(weights[name], tensor, rtol=1e-4, atol=1e-5)


def test_processes_that_are_killed_go_on_to_the_same_weights(digits, tmp_path):
    recipe = Recipe(**{**SGD, "epochs": 6}, pad_crop=2, processes=2)
    whole, history = plainly_trained(digits, recipe)
    state_file = tmp_path / "state.pt"
    killed_after_an_epoch(digits, recipe, state_file, plainly_trained)
    model, again = plainly_trained(digits, recipe, resume_from=state_file)
    assert not state_file.exists()
    pd.testing.assert_frame_equal(history.drop(columns="seconds"), again.drop(columns="seconds"))
    state = model.state_dict()
    assert all(torch.equal(each, state[name]) for name, each in whole.state_dict().items())


def test_processes_that_diverge_end_in_one_line(digits):
    with pytest.raises(FailedError, match=DIVERGED) as caught:
        plainly_trained(digits, Recipe(**{**SGD, "learning_rate": 1e30}, processes=2))
    assert "\n" not in str(caught.value)


def killed_after_an_epoch(dataset, recipe, state_file, trained=trained):
    """Train in a process that is killed as soon as it has saved one more epoch."""
    before = state_file.stat().st_mtime_ns if state_file.exists() else 0
    process = multiprocessing.get_context("fork").Process(
        target=trained, args=(dataset, recipe), kwargs={"resume_from": state_file}
    )
    process.start()
    while not (state_file.exists() and state_file.stat().st_mtime_ns > before):
        assert process.is_alive(), "the training ended before it could be killed"
        time.sleep(0.01)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def test_what_another_training_kept_is_not_gone_on_with(digits, tmp_path):
    state_file, recipe = tmp_path / "state.pt", Recipe(**SGD)
    alone, _ = trained(digits, recipe, seed=1)
    killed_after_an_epoch(digits, Recipe(**{**SGD, "epochs": 4}), state_file)
    for damage in (lambda content: content, lambda content: content[: len(content) // 2]):
        state_file.write_bytes(damage(state_file.read_bytes()))
        model, history = trained(digits, recipe, seed=1, resume_from=state_file)
        assert len(history) == recipe.epochs
        state = model.state_dict()
        assert all(torch.equal(each, state[name]) for name, each in alone.state_dict().items())
        state_file.write_bytes(b"not a state")


def test_the_best_epoch_is_kept_though_later_ones_are_worse(digits):
    """A huge learning rate makes validation results jump: the best epoch is not the last."""
    recipe = Recipe(**{**SGD, "epochs": 8, "learning_rate": 3.0})
    for seed in range(5):
        model, history = trained(digits, recipe, seed)
        ranked = history.sort_values(
            ["validation_top1", "validation_loss"], ascending=[False, True]
        )
        best = ranked.iloc[0]
        loss, top1 = training.evaluate(model, digits.validation, digits)
        assert (loss, top1) == (best.validation_loss, best.validation_top1)
        if best.epoch != 8:
            return
    pytest.fail("the last epoch was the best one for every seed")


def test_the_learning_rate_goes_through_one_cycle(digits):
    _, history = trained(digits, Recipe(**{**SGD, "epochs": 6}))
    rates = history.learning_rate.to_numpy()
    peak = rates.argmax()
    assert 0 < peak < 5 and rates.max() == pytest.approx(0.05, rel=0.1)
    assert (np.diff(rates[: peak + 1]) > 0).all() and (np.diff(rates[peak:]) < 0).all()
    assert rates[-1] < 0.001


def test_the_learning_rate_falls_as_a_cosine(digits):
    _, history = trained(digits, Recipe(**{**SGD, "epochs": 4}, schedule="cosine"))
    steps = len(digits.train.labels) // 32
    ends = np.arange(1, 5) * steps - 1  # the last step of each epoch
    wanted = 0.05 * (1 + np.cos(np.pi * ends / (4 * steps))) / 2
    np.testing.assert_allclose(history.learning_rate, wanted, rtol=1e-6)


def test_a_loss_that_is_not_finite_stops_training(digits):
    recipe = Recipe(**{**SGD, "learning_rate": 1e30})
    with pytest.raises(FailedError, match=DIVERGED) as caught:
        trained(digits, recipe)
    assert "\n" not in str(caught.value) and "learning_rate is 1e+30, allo" in str(caught.value)


class Poisoned(nn.Module):
    """A network that trains well, and whose running mean is then no number."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.linear, self.value = nn.Linear(3 * 64, 10), value
        self.register_buffer("mean", torch.zeros(1))

    def forward(self, images):
        if self.training:
            self.mean.fill_(self.value)
            return self.linear(images.flatten(1))
        return self.linear(images.flatten(1)) + self.mean


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_network_that_is_not_finite_after_an_epoch_stops_training(digits, value):
    said = "epoch 1: validation logits are not finite, mean is not finite; learning_rate"
    with pytest.raises(FailedError, match=said):
        training.train(Poisoned(value), digits, Recipe(**SGD), 0, progress=False)


def fewer(dataset, count, size):
    split = datasets.Split(dataset.train.images[:count, :size, :size], dataset.train.labels[:count])
    return datasets.Dataset(split, split, split, dataset.class_names, dataset.mean, dataset.std)


def test_images_that_do_not_suffice_for_the_recipe_are_refused(digits):
    with pytest.raises(StudyError, match=r"the pad_crop 8 is not allowed; .* the 8 pixels"):
        trained(digits, Recipe(**SGD, pad_crop=8))
    with pytest.raises(StudyError, match="1 training images are too few for 1 processes"):
        trained(fewer(digits, 1, 8), Recipe(**SGD))
    network = models.build("vgg16", 10, 0.125, "small_input")
    with pytest.raises(StudyError, match="the images have 8x8 pixels, too few for the strides"):
        models.check_size(network, digits)
    models.check_size(models.build("resnet18", 10, 0.125, "small_input"), digits)


def test_weight_decay_spares_biases_and_batch_normalization():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 2))
    for optimizer in ("sgd", "adamw"):
        groups = training._optimizer(model, Recipe(**{**SGD, "optimizer": optimizer})).param_groups
        decay = {
            id(weight): group["weight_decay"] for group in groups for weight in group["params"]
        }
        assert {name: decay[id(weight)] for name, weight in model.named_parameters()} == {
            "0.weight": 5e-4,
            "0.bias": 0,
            "1.weight": 0,
            "1.bias": 0,
            "3.weight": 5e-4,
            "3.bias": 0,
        }


@given(pad_crop=st.integers(0, 3), flip=st.booleans(), seed=st.integers(0, 2**32))
def test_augmented_images_are_windows_of_the_padded_image_or_its_mirror(pad_crop, flip, seed):
    torch.manual_seed(seed)
    images = torch.randn(4, 3, 5, 6)
    augmented = training._augment(images, Recipe(**SGD, pad_crop=pad_crop, horizontal_flip=flip))
    assert augmented.shape == images.shape
    border = [(0, 0), (0, 0), (pad_crop, pad_crop), (pad_crop, pad_crop)]
    padded = np.pad(images.numpy(), border, mode="reflect")
    for number, found in enumerate(augmented.numpy()):
        windows = [
            padded[number, :, top : top + 5, left : left + 6]
            for top in range(2 * pad_crop + 1)
            for left in range(2 * pad_crop + 1)
        ]
        allowed = windows + [window[..., ::-1] for window in windows] * flip
        assert any(np.array_equal(found, window) for window in allowed)


def test_augmentation_draws_every_shift_and_both_mirrors():
    torch.manual_seed(0)
    images = torch.arange(1.0, 17).reshape(1, 1, 4, 4).repeat(500, 3, 1, 1)
    augmented = training._augment(images, Recipe(**SGD, pad_crop=1, horizontal_flip=True))
    assert len(np.unique(augmented[:, 0].reshape(500, -1).numpy(), axis=0)) == 9 * 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("optimizer", "lion"),
        ("schedule", "steps"),
        ("device", "tpu"),
        ("processes", 0),
        ("processes", 3),
        ("learning_rate", 0),
        ("learning_rate", math.nan),
        ("weight_decay", -1),
        ("epochs", 0),
        ("batch_size", 1),
        ("pad_crop", -1),
        ("label_smoothing", 1.0),
    ],
)
def test_a_value_out_of_range_is_named(name, value):
    with pytest.raises(StudyError) as caught:
        training.recipe({**SGD, name: value})
    assert name in str(caught.value) and "\n" not in str(caught.value)


def test_a_recipe_with_a_wrong_or_missing_name_is_refused():
    with pytest.raises(StudyError, match="setting 'momentum'; allowed: batch_size, bf"):
        training.recipe(SGD | {"momentum": 0.9})
    with pytest.raises(StudyError, match=r"incomplete: .*epochs"):
        training.recipe({name: value for name, value in SGD.items() if name != "epochs"})
