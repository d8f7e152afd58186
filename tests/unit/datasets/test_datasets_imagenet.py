"""ImageNet is read from files in its own folder tree, only fewer and smaller."""

import numpy as np
import pytest
from PIL import Image

from dlas import datasets
from dlas.errors import StudyError

COUNTS = {"train": 3, "validation": 2, "test": 4}


@pytest.fixture
def settings(tmp_path):
    """Two classes with 6 training and 4 official validation images.

    Red is the class, green tells training (50) from official validation (200), blue the number.
    """
    for label, name in enumerate(["n01440764", "n01443537"]):
        for folder, green, count in (("train", 50, 6), ("val", 200, 4)):
            (tmp_path / folder / name).mkdir(parents=True)
            for number in range(count):
                image = Image.new("RGB", (90, 60), (200 * label, green, 30 * number))
                image.save(
                    tmp_path / folder / name / f"{name}_{number}.JPEG", quality=100, subsampling=0
                )
    return {"source": str(tmp_path), "images_per_class": COUNTS, "resize": 32, "size": 28}


def colours(split) -> np.ndarray:
    return np.round(split.images[:, 14, 14] / 10).astype(int) * 10


def test_the_test_split_is_the_official_validation_and_ours_is_cut_from_training(settings):
    dataset = datasets.prepare("imagenet", settings, seed=0)
    assert dataset.class_names == ("n01440764", "n01443537")
    for name, green in (("train", 50), ("validation", 50), ("test", 200)):
        split = getattr(dataset, name)
        assert (
            split.images.shape == (2 * COUNTS[name], 28, 28, 3) and split.images.dtype == np.uint8
        )
        assert split.labels.tolist() == [0] * COUNTS[name] + [1] * COUNTS[name]
        found = colours(split)
        assert (found[:, 0] == 200 * split.labels).all() and (found[:, 1] == green).all()
    chosen = np.concatenate([colours(dataset.train), colours(dataset.validation)])
    assert len(np.unique(chosen, axis=0)) == len(chosen)


def test_the_colours_are_standardized_as_published_weights_expect(settings):
    dataset = datasets.prepare("imagenet", settings, seed=0)
    assert dataset.mean.dtype == dataset.deviation.dtype == np.float32
    assert np.allclose(dataset.mean, (0.485, 0.456, 0.406))
    assert np.allclose(dataset.deviation, (0.229, 0.224, 0.225))


def test_the_choice_is_fixed_by_the_seed(settings):
    chosen = [
        datasets.prepare("imagenet", settings, seed).train.images[:, 0, 0, 2].tolist()
        for seed in (1, 1, 2)
    ]
    assert chosen[0] == chosen[1] != chosen[2]


def test_the_shorter_side_is_resized_and_the_centre_is_cut(settings, tmp_path):
    """A wide image, black but for a white middle third: the crop shows nothing but white."""
    wide = np.zeros((60, 180, 3), np.uint8)
    wide[:, 60:120] = 255
    for path in (tmp_path / "val" / "n01440764").iterdir():
        Image.fromarray(wide).save(path, quality=100)
    dataset = datasets.prepare("imagenet", settings, seed=0)
    assert (dataset.test.images[:4] > 250).all()


def test_a_grey_image_gets_three_channels(settings, tmp_path):
    for path in (tmp_path / "val" / "n01440764").iterdir():
        Image.new("L", (70, 80), 120).save(path)
    assert (datasets.prepare("imagenet", settings, seed=0).test.images[:4] == 120).all()


def error_of(settings) -> str:
    with pytest.raises(StudyError) as caught:
        datasets.prepare("imagenet", settings, seed=0)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_tree_is_named(settings, tmp_path):
    settings["source"] = str(tmp_path / "elsewhere")
    assert f"{tmp_path / 'elsewhere' / 'train'} does not exist" in error_of(settings)


def test_an_empty_tree_is_named(settings, tmp_path):
    for folder in ("train", "val"):
        (tmp_path / "empty" / folder).mkdir(parents=True)
    settings["source"] = str(tmp_path / "empty")
    assert "holds no class folder" in error_of(settings)


def test_a_class_with_too_few_images_is_named(settings, tmp_path):
    next((tmp_path / "val" / "n01443537").iterdir()).unlink()
    message = error_of(settings)
    assert "needs 4 images" in message and "n01443537" in message and "has 3" in message


def test_a_truncated_image_is_named(settings, tmp_path):
    path = next((tmp_path / "val" / "n01440764").iterdir())
    path.write_bytes(path.read_bytes()[:-200])
    assert str(path) in error_of(settings)
