"""A small data set for the tests of models."""

import pytest

from dlas import datasets


@pytest.fixture(scope="session")
def digits():
    settings = {"size": 8, "validation_fraction": 0.15, "test_fraction": 0.2}
    return datasets.prepare("digits_8x8", settings, seed=0)
