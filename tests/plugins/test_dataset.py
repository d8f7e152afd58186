"""A data set is prepared from its section of the config, and is what its description says."""

import numpy as np
import pytest

from dlas import datasets, registry
from dlas.config import DOWNLOAD

KIND = "dataset"


@pytest.fixture
def settings(settings_of, name):
    """The section of the data set, if it can be prepared from it here."""
    settings = settings_of(name, "datasets")
    required = {
        key for key, one in registry.describe("dataset", name).settings.items() if one.required
    }
    if missing := sorted(required - settings.keys()):
        pytest.skip(
            f"no config gives its settings {', '.join(missing)}; make check-plugin CONFIG=..."
        )
    if "source" in settings:
        source = settings["source"]
        pytest.skip("it is downloaded" if source == DOWNLOAD else f"it is read from {source}")
    return settings


def test_it_is_what_its_description_says(name, settings, tmp_path):
    described = registry.describe("dataset", name)
    prepared = datasets.prepare(name, settings, seed=0)
    datasets.save(prepared, tmp_path / "dataset.npz")
    dataset = datasets.load(tmp_path / "dataset.npz")  # checks types and shapes

    size, classes = (
        settings[value] if isinstance(value, str) else value
        for value in (described.size, described.classes)
    )
    assert dataset.test.images.shape[1:] == (size, size, 3)
    assert len(dataset.class_names) == classes
    splits = [getattr(dataset, split) for split in datasets.SPLITS]
    for split in splits:
        assert set(split.labels) == set(range(classes)), "a split lacks classes"
        assert len(np.unique(split.images)) > 1
    if described.images is not None:
        assert sum(len(split.labels) for split in splits) == described.images


def test_the_seed_alone_decides_the_splits(name, settings):
    first, second = (datasets.prepare(name, settings, seed=1) for _ in range(2))
    for split in datasets.SPLITS:
        one, other = getattr(first, split), getattr(second, split)
        np.testing.assert_array_equal(one.labels, other.labels)
        np.testing.assert_array_equal(one.images, other.images)
