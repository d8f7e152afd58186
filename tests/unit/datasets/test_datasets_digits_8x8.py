"""The 8x8 digits are scikit-learn's, enlarged."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from dlas import datasets, registry

SETTINGS = {"size": 32, "validation_fraction": 0.15, "test_fraction": 0.2}


@pytest.fixture(scope="module")
def digits():
    return datasets.prepare("digits_8x8", SETTINGS, seed=0)


def test_shape_and_count(digits):
    parts = [digits.train, digits.validation, digits.test]
    assert [len(part.labels) for part in parts] == [1168, 270, 359]
    assert {part.images.shape[1:] for part in parts} == {(32, 32, 3)}
    assert digits.class_names == tuple("0123456789")
    assert registry.describe("dataset", "digits_8x8").stem == "small_input"


def test_shrunk_again_they_are_the_original_digits(digits):
    """The means of 4x4 blocks lie closest to an original of the same class, and look like it."""
    originals = load_digits()
    flat = originals.images.reshape(-1, 64)
    images, labels = digits.test.images[:50], digits.test.labels[:50]
    assert (images[..., :1] == images).all()
    small = images[..., 0].reshape(-1, 8, 4, 8, 4).mean(axis=(2, 4)).reshape(-1, 64) * 16 / 255
    distances = np.linalg.norm(small[:, None] - flat[None], axis=2)
    nearest = distances.argmin(axis=1)
    np.testing.assert_array_equal(originals.target[nearest], labels)
    correlations = [
        np.corrcoef(one, flat[other])[0, 1] for one, other in zip(small, nearest, strict=True)
    ]
    assert min(correlations) > 0.9
