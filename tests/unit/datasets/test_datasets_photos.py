"""The photo tiles: real, cut without overlap, and no pixel in two splits."""

import numpy as np
import pytest

from dlas import datasets, registry, study
from dlas.datasets import photos
from dlas.errors import StudyError

SETTINGS = study.load().datasets["photos"]


def test_no_pixel_is_in_two_splits_or_twice_in_one(monkeypatch):
    """Every pixel of every photograph gets a colour of its own; no colour may come twice."""
    numbered, total = {}, 0
    for name, picture in photos.photographs().items():
        height, width, _ = picture.shape
        number = total + np.arange(height * width).reshape(height, width)
        numbered[name] = np.stack([number >> 16, number >> 8 & 255, number & 255], axis=2).astype(
            np.uint8
        )
        total += height * width
    assert total < 2**24
    monkeypatch.setattr(photos, "photographs", lambda: numbered)

    dataset = photos.prepare({**SETTINGS, "minimum_std": 0.0}, seed=0)
    seen = np.zeros(total, dtype=np.int64)
    for split in (dataset.train, dataset.validation, dataset.test):
        red, green, blue = np.moveaxis(split.images.astype(np.int64), 3, 0)
        np.add.at(seen, ((red << 16) + (green << 8) + blue).ravel(), 1)
    assert seen.max() == 1
    used = sum(
        height // 64 * (width // 64) for height, width, _ in (p.shape for p in numbered.values())
    )
    assert seen.sum() == used * 64 * 64


@pytest.fixture(scope="module")
def dataset():
    return datasets.prepare("photos", SETTINGS, seed=0)


def test_twelve_photographs_with_every_split_large_enough(dataset):
    assert len(dataset.class_names) == 12
    for split, least in ((dataset.train, 490), (dataset.validation, 140), (dataset.test, 340)):
        assert split.images.shape == (len(split.labels), 64, 64, 3) and len(split.labels) >= least
        assert np.bincount(split.labels, minlength=12).min() >= 3
    assert registry.describe("dataset", "photos").stem == "large_input"


def test_a_tile_is_a_cut_of_the_photograph_that_its_label_names(dataset):
    pictures = photos.photographs()
    for tile, label in list(zip(dataset.test.images, dataset.test.labels, strict=True))[::20]:
        picture = pictures[dataset.class_names[label]]
        corners = [
            (row, column)
            for row in range(0, picture.shape[0] - 63, 64)
            for column in range(0, picture.shape[1] - 63, 64)
        ]
        assert any(
            (picture[row : row + 64, column : column + 64] == tile).all() for row, column in corners
        )


def test_flat_tiles_are_left_out():
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    flat = np.full((16, 16, 3), 77, np.uint8)
    cut = photos.tiles(np.concatenate([flat, noise, flat], axis=1), 16, 4.0)
    assert cut.shape == (1, 16, 16, 3) and (cut[0] == noise).all()


def test_a_size_that_leaves_too_few_tiles_is_refused():
    with pytest.raises(StudyError, match="size 256"):
        photos.prepare({**SETTINGS, "size": 256}, seed=0)
