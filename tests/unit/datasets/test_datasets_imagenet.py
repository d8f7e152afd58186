"""ImageNet is read from files in its official forms, only fewer and smaller."""

import io
import logging
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dlas import datasets
from dlas.datasets import imagenet
from dlas.errors import StudyError
from dlas.models.vision import models as torchvision_models
from tests import tiny_imagenet
from tests.tiny_imagenet import CLASSES

COUNTS = {"train": 3, "validation": 2, "test": 4}
TRAIN, VALIDATION = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
DEVKIT, TRUTH = "ILSVRC2012_devkit_t12.tar.gz", "ILSVRC2012_validation_ground_truth.txt"


@pytest.fixture
def settings(tmp_path):
    return tiny_imagenet.folders(tmp_path)


@pytest.fixture
def packed(tmp_path):
    return tiny_imagenet.archives(tmp_path / "packed")


def images(split) -> np.ndarray:
    return np.asarray(split.images)


def colours(split) -> np.ndarray:
    return np.round(images(split)[:, 14, 14] / 10).astype(int) * 10


def test_the_test_split_is_the_official_validation_and_ours_is_cut_from_training(settings):
    dataset = datasets.prepare("imagenet", settings, seed=0)
    assert dataset.class_names == CLASSES
    for name, green in (("train", 50), ("validation", 50), ("test", 200)):
        split = getattr(dataset, name)
        assert images(split).shape == (3 * COUNTS[name], 28, 28, 3)
        assert images(split).dtype == np.uint8
        assert split.labels.tolist() == np.repeat([0, 1, 2], COUNTS[name]).tolist()
        found = colours(split)
        assert (found[:, 0] == 100 * split.labels).all() and (found[:, 1] == green).all()
    chosen = np.concatenate([colours(dataset.train), colours(dataset.validation)])
    assert len(np.unique(chosen, axis=0)) == len(chosen)


@pytest.mark.parametrize("unpacked", [(), ("train",), ("val",)])
def test_archives_and_folders_give_the_same_bytes(settings, packed, tmp_path, unpacked):
    for folder in unpacked:
        shutil.copytree(tmp_path / folder, tmp_path / "packed" / folder)
    for name, chosen in (("folders", settings), ("archives", packed | {"threads": 3})):
        prepared = datasets.prepare("imagenet", chosen, seed=5)
        datasets.save(prepared, tmp_path / f"{name}.npz")
    assert (tmp_path / "folders.npz").read_bytes() == (tmp_path / "archives.npz").read_bytes()
    read = datasets.load(tmp_path / "archives.npz")
    assert (read.validation.images == images(prepared.validation)).all()
    assert (colours(read.test)[:, 0] == 100 * read.test.labels).all()


def test_the_colours_are_standardized_as_published_weights_expect(settings):
    dataset = datasets.prepare("imagenet", settings, seed=0)
    assert dataset.mean.dtype == dataset.std.dtype == np.float32
    assert np.allclose(dataset.mean, (0.485, 0.456, 0.406))
    assert np.allclose(dataset.std, (0.229, 0.224, 0.225))


def test_the_choice_is_fixed_by_the_seed(settings):
    chosen = [
        images(datasets.prepare("imagenet", settings, seed).train)[:, 0, 0, 2].tolist()
        for seed in (1, 1, 2)
    ]
    assert chosen[0] == chosen[1] != chosen[2]


@pytest.mark.parametrize("resize", [232, 256])
@pytest.mark.parametrize("shape", [(375, 500), (500, 375), (231, 341), (342, 225), (224, 900)])
def test_images_are_prepared_as_torchvision_evaluates_its_weights(shape, resize):
    """To the last bit of the pixels: sizes whose quotients and borders are no whole numbers."""
    pixels = np.random.default_rng(0).integers(256, size=(*shape, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    ours = imagenet.cropped(image, resize, 224)[np.newaxis]
    mean, std = np.float32(imagenet.MEAN), np.float32(imagenet.STD)
    weights = {232: "ResNet50_Weights.IMAGENET1K_V2", 256: "ResNet50_Weights.IMAGENET1K_V1"}
    theirs = torchvision_models.get_weight(weights[resize]).transforms()(image)
    restored = theirs * torch.from_numpy(std)[:, None, None] + torch.from_numpy(mean)[:, None, None]
    assert (np.round(restored.numpy() * 255).transpose(1, 2, 0) == ours[0]).all()
    normalized = datasets.normalize(ours, mean, std)[0]
    np.testing.assert_allclose(normalized, theirs.numpy(), atol=2e-6)


def test_a_grey_image_gets_three_channels(settings, tmp_path):
    for path in (tmp_path / "val" / CLASSES[0]).iterdir():
        Image.new("L", (70, 80), 120).save(path)
    assert (images(datasets.prepare("imagenet", settings, seed=0).test)[:4] == 120).all()


def error_of(settings) -> str:
    with pytest.raises(StudyError) as caught:
        datasets.prepare("imagenet", settings, seed=0)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_source_is_named(settings, tmp_path):
    settings["source"] = str(tmp_path / "elsewhere")
    assert f"datasets.imagenet.source: {tmp_path / 'elsewhere'} is not a folder" in error_of(
        settings
    )


def test_all_that_is_missing_is_told_at_once(settings, tmp_path):
    (tmp_path / "empty").mkdir()
    settings["source"] = str(tmp_path / "empty")
    message = error_of(settings)
    assert f"lacks train/ or {TRAIN}; " in message and f"lacks val/ or {VALIDATION}" in message


def test_an_empty_tree_is_named(settings, tmp_path):
    for folder in ("train", "val"):
        (tmp_path / "empty" / folder).mkdir(parents=True)
    settings["source"] = str(tmp_path / "empty")
    assert error_of(settings).count("holds no class folder") == 2


def test_images_and_archives_outside_of_class_folders_are_explained(settings, tmp_path):
    for folder in ("train", "val"):
        shutil.rmtree(tmp_path / folder)
    tiny_imagenet.write(tmp_path / "val", tiny_imagenet.validation_images())
    tiny_imagenet.write(tmp_path / "train", {f"{name}.tar": b"" for name in CLASSES})
    message = error_of(settings)
    assert "n01440764.tar, n01443537.tar, n01484850.tar, which must be unpacked" in message
    assert "ILSVRC2012_val_00000003.JPEG and 9 more, which must lie in the folders of" in message


def test_a_missing_class_folder_is_named(settings, tmp_path):
    shutil.rmtree(tmp_path / "val" / CLASSES[1])
    shutil.rmtree(tmp_path / "train" / CLASSES[2])
    message = error_of(settings)
    for folder, name, other in (("train", CLASSES[2], "val"), ("val", CLASSES[1], "train")):
        has = f"which {tmp_path / other} has"
        assert f"{tmp_path / folder} lacks the class {name}, {has}" in message
    assert f"{tmp_path / 'train'} has 2 classes; classes is 3" in message


def test_a_folder_that_is_no_class_is_named(settings, tmp_path):
    (tmp_path / "train" / "lost+found").mkdir()
    (tmp_path / "train" / ".hidden").mkdir()
    (tmp_path / "train" / CLASSES[0] / "._hidden.JPEG").touch()
    assert error_of(settings).endswith("others, which are no classes: lost+found")


def test_classes_of_other_names_are_allowed(settings, tmp_path):
    for folder in ("train", "val"):
        for number, name in enumerate(CLASSES):
            (tmp_path / folder / name).rename(tmp_path / folder / f"animal_{number}")
    names = datasets.prepare("imagenet", settings, seed=0).class_names
    assert names == ("animal_0", "animal_1", "animal_2")


def test_classes_with_too_few_images_are_named(settings, tmp_path):
    next((tmp_path / "val" / CLASSES[1]).iterdir()).unlink()
    for path in [*(tmp_path / "train" / CLASSES[0]).iterdir()][:4]:
        path.unlink()
    message = error_of(settings)
    place = "images of each class in"
    assert f"needs 5 {place} {tmp_path / 'train'}; it has 2 of {CLASSES[0]}; " in message
    assert f"needs 4 {place} {tmp_path / 'val'}; it has 3 of {CLASSES[1]}" in message


def test_a_crop_that_is_larger_than_the_image_is_refused(settings):
    assert "size is 33; must be at most resize, 32" in error_of(settings | {"size": 33})


def renamed(folder: Path, name) -> None:
    for number, path in enumerate(sorted(folder.glob("*/*.JPEG"))):
        path.rename(path.with_suffix(name(number)))


def test_other_suffixes_of_images_give_the_same_data_set(settings, tmp_path):
    before = datasets.prepare("imagenet", settings, seed=0)
    trained, tested = images(before.train), images(before.test)
    suffixes = [".jpg", ".JPG", ".jpeg", ".JPEG", ".Jpeg", ".png"]
    for folder in ("train", "val"):
        renamed(tmp_path / folder, lambda number: suffixes[number % len(suffixes)])
    after = datasets.prepare("imagenet", settings, seed=0)
    assert (images(after.train) == trained).all()
    assert (images(after.test) == tested).all()


def test_files_that_are_no_images_are_ignored_and_named(settings, tmp_path, caplog):
    (tmp_path / "val" / CLASSES[0] / "list.txt").touch()
    datasets.prepare("imagenet", settings, seed=0)
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / 'val' / CLASSES[0]}: ignored, as they are no images by their suffix: list.txt"
    ]
    renamed(tmp_path / "train", lambda _: ".jp2")
    message = error_of(settings)
    assert f"it has 0 of {CLASSES[0]}, 0 of {CLASSES[1]}, 0 of {CLASSES[2]} (names that" in message
    assert "end in .jpeg, .jpg, .png, " in message


@pytest.mark.parametrize("size", [(2, 30_000), (30_000, 2), (1, 65_535), (9_000, 9_000)])
def test_an_image_that_would_fill_the_memory_is_refused(settings, tmp_path, size):
    path = next((tmp_path / "val" / CLASSES[0]).iterdir())
    content = io.BytesIO()
    Image.new("1", size).save(content, "PNG")
    path.write_bytes(content.getvalue())
    tracemalloc.start()
    message = error_of(settings | {"resize": 256, "size": 224})
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()
    assert f"the image {path} of {size[0]}x{size[1]} pixels has " in message
    assert "megapixels; allowed: at most 67" in message


def test_a_long_image_that_fits_is_prepared():
    assert imagenet.cropped(Image.new("RGB", (2, 1_000)), 32, 28).shape == (28, 28, 3)
    assert imagenet._too_large((2, 1_000), 32) is None


def swap(folder):
    (folder / TRAIN).rename(folder / "other")
    (folder / VALIDATION).rename(folder / TRAIN)
    (folder / "other").rename(folder / VALIDATION)


def cut(name, share):
    def truncate(folder):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(share * len(content))])

    return truncate


def lines(*changed):
    known = [tiny_imagenet.IDS[name] for name in tiny_imagenet.GROUND_TRUTH]
    return lambda folder: tiny_imagenet.devkit(
        folder, truth=[*known[: 12 - len(changed)], *changed]
    )


def flip(folder):
    content = bytearray((folder / DEVKIT).read_bytes())
    content[len(content) // 2] ^= 0xFF
    (folder / DEVKIT).write_bytes(content)


def meta(content):
    return lambda folder: tiny_imagenet.devkit(folder, meta=content)


UNMAPPED = f"meta.mat in {{folder}}/{DEVKIT} does not map classes to WordNet: "
DAMAGES = {
    "swapped": (
        swap,
        [
            f"{TRAIN} holds ILSVRC2012_val_00000001.JPEG, ILSVRC2012_val_00000002.JPEG, "
            "ILSVRC2012_val_00000003.JPEG and 9 more (those are the validation images)",
            f"{VALIDATION} holds n01440764.tar, n01443537.tar, n01484850.tar (those are the "
            f"training",
        ],
    ),
    "no validation images": (lambda folder: (folder / VALIDATION).unlink(), ["lacks val/ or"]),
    "no devkit": (lambda folder: (folder / DEVKIT).unlink(), [f"lacks {DEVKIT}, which has"]),
    "training images cut": (cut(TRAIN, 0.5), [f"{TRAIN} is truncated or no uncompressed tar"]),
    "validation images cut": (cut(VALIDATION, 0.5), [f"{VALIDATION} is truncated or no"]),
    "devkit cut": (cut(DEVKIT, 0.5), [f"{DEVKIT} is truncated or no .tar.gz"]),
    "devkit damaged": (flip, [f"{DEVKIT} is truncated or no .tar.gz: "]),
    "no archive": (cut(TRAIN, 0), [f"{TRAIN} is truncated or no uncompressed tar: empty file"]),
    "no mapping": (meta(tiny_imagenet.synsets("other")), [UNMAPPED + "'synsets'"]),
    "no classes": (meta(tiny_imagenet.synsets(leaves=False)), [UNMAPPED + "it has none"]),
    "no MATLAB": (meta(b"words" * 99), [UNMAPPED]),
    "too few lines": (
        lambda folder: tiny_imagenet.devkit(folder, truth=[1, 2, 3]),
        [f"holds 12 images, and {TRUTH} in {{folder}}/{DEVKIT} the classes of 3; it must be one"],
    ),
    "a number of no class": (lines(4, 0), ["names the class 0, 4; allowed: 1 to 3"]),
    "no number": (lines("x"), ["names the class x; allowed: 1 to 3"]),
    "a class less": (
        lines(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1),
        [f"{VALIDATION} lacks the class n0"],
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_archives_of_another_form_are_explained(packed, tmp_path, name):
    damage, said = DAMAGES[name]
    damage(tmp_path / "packed")
    message = error_of(packed)
    assert message.startswith("datasets.imagenet")
    for part in said:
        assert part.replace("{folder}", str(tmp_path / "packed")) in message


def test_the_log_tells_a_class_that_the_devkit_knows_with_more_images(packed, tmp_path, caplog):
    inner = {
        f"{name}.tar": tiny_imagenet.packed(dict([*images.items()][number:]))
        for number, (name, images) in enumerate(tiny_imagenet.training_images().items())
        if number < 2
    }
    inner[f"{CLASSES[2]}.tar"] = tiny_imagenet.packed(tiny_imagenet.training_images()[CLASSES[2]])
    (tmp_path / "packed" / TRAIN).write_bytes(tiny_imagenet.packed(inner))
    datasets.prepare("imagenet", packed, seed=0)
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / 'packed' / TRAIN}: 5 images of {CLASSES[1]}, by the devkit 6"
    ]


def truncate(path):
    path.write_bytes(path.read_bytes()[:-20])


def drawn_last(settings, tmp_path, kind="val"):
    """The image of the last class that the split shows last, by the number in its blue."""
    split = datasets.prepare("imagenet", settings, seed=0).test
    number = images(split)[-1, 0, 0, 2] // 29
    return sorted((tmp_path / kind / CLASSES[2]).iterdir())[number]


def test_a_sample_is_decoded_before_all_else(settings, tmp_path):
    path = next((tmp_path / "val" / CLASSES[0]).iterdir())
    truncate(path)
    message = error_of(settings)
    assert f"1 of a sample of 27 images cannot be decoded: the image {path} " in message


def test_a_corrupt_image_that_no_sample_shows_is_named(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(imagenet, "SAMPLE_IMAGES", 0)
    path = drawn_last(settings, tmp_path)
    truncate(path)
    dataset = datasets.prepare("imagenet", settings, seed=0)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(StudyError, match="cannot be decoded: image file is trun") as caught:
        datasets.save(dataset, tmp_path / "set.npz")
    assert str(path) in str(caught.value) and "corrupt_images: skip" in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before  # nothing half-written


@pytest.mark.parametrize("content", [b"", b"<html>no image</html>", None])
def test_another_image_of_the_class_stands_in_for_a_corrupt_one(
    settings, tmp_path, caplog, content
):
    """Of six training images five are drawn: the sixth stands in."""
    sound = datasets.prepare("imagenet", settings, seed=0)
    train, validation = images(sound.train), images(sound.validation)
    number = train[0, 0, 0, 2] // 29  # of the first image of the first class
    path = tmp_path / "train" / CLASSES[0] / f"{CLASSES[0]}_{number}.JPEG"
    path.write_bytes(content if content is not None else path.read_bytes()[:-20])
    caplog.set_level(logging.INFO, "dlas")
    dataset = datasets.prepare("imagenet", settings | {"corrupt_images": "skip"}, seed=0)
    datasets.save(dataset, tmp_path / "set.npz")
    read = datasets.load(tmp_path / "set.npz")
    messages = [record.getMessage() for record in caplog.records]
    for folder, count in (("train", 18), ("val", 12)):
        assert messages.pop(0) == f"{tmp_path / folder}: {count} images of 3 classes"
    assert messages[0].startswith(f"skipped: the image {path} cannot be decoded: ")
    assert messages[1:] == [
        "corrupt images skipped: 1; others of their classes make 9 all the same"
    ]
    assert "object at" not in messages[0]
    assert (read.train.images[1:] == train[1:]).all()
    assert (read.validation.images == validation).all()
    chosen = np.concatenate([colours(read.train), colours(read.validation)])
    assert colours(read.train)[0, :2].tolist() == [0, 50]
    assert len(np.unique(chosen, axis=0)) == len(chosen)


def test_a_class_of_which_no_image_is_left_is_named(settings, tmp_path):
    truncate(drawn_last(settings, tmp_path))
    dataset = datasets.prepare("imagenet", settings | {"corrupt_images": "skip"}, seed=0)
    with pytest.raises(StudyError, match=r"cannot be decoded.*; none of its class is left instead"):
        datasets.save(dataset, tmp_path / "set.npz")


def test_images_that_are_mostly_corrupt_are_not_skipped(settings, tmp_path):
    for path in tmp_path.glob("*/*/*.JPEG"):
        path.write_bytes(b"")
    message = error_of(settings | {"corrupt_images": "skip"})
    assert "27 of a sample of 27 images cannot be decoded: the image" in message


def test_an_image_in_an_archive_that_is_corrupt_is_named(packed, tmp_path):
    images = tiny_imagenet.validation_images()
    images["ILSVRC2012_val_00000007.JPEG"] = b"\0" * 700
    (tmp_path / "packed" / VALIDATION).write_bytes(tiny_imagenet.packed(images))
    place = tmp_path / "packed" / VALIDATION
    assert f"the image {place}: ILSVRC2012_val_00000007.JPEG cannot be" in error_of(packed)
