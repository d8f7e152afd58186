"""Tests of this folder share tiny_training.py and small images."""

import sys
from pathlib import Path

import pytest

from dlas import datasets

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def digits():
    settings = {"size": 8, "validation_fraction": 0.15, "test_fraction": 0.2}
    return datasets.prepare("digits", settings, seed=0)
