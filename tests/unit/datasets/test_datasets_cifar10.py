"""CIFAR-10 is read from files in the format of the official binary archive, only smaller."""

import numpy as np
import pytest

from dlas import datasets
from dlas.errors import StudyError
from tests.tiny_cifar10 import NAMES, archive, batch, official_files


def unpacked(path):
    folder = path / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for name, content in official_files().items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("source", ["archive", "folder", "above"])
def test_images_labels_and_splits(tmp_path, source):
    settings = archive(tmp_path / "cifar-10-binary.tar.gz", official_files())
    if source != "archive":
        folder = unpacked(tmp_path / "data")
        settings["source"] = str(folder if source == "folder" else folder.parent)
    dataset = datasets.prepare("cifar10", settings, seed=0)
    assert dataset.class_names == NAMES
    assert [len(getattr(dataset, name).labels) for name in datasets.SPLITS] == [70, 30, 20]
    found = []
    for name in datasets.SPLITS:
        split = getattr(dataset, name)
        numbers = split.images[:, 0, 0, 0]
        assert (split.labels == numbers % 10).all()
        assert (split.images[..., 0] == numbers[:, None, None]).all()
        assert (split.images[..., 1] == np.arange(32)[:, None]).all()
        assert (split.images[..., 2] == np.arange(32)).all()
        found += numbers.tolist()
    assert sorted(found) == list(range(120))
    assert sorted(dataset.test.images[:, 0, 0, 0].tolist()) == list(range(100, 120))
    assert np.bincount(dataset.validation.labels).tolist() == [3] * 10


def error_of(settings) -> str:
    with pytest.raises(StudyError) as caught:
        datasets.prepare("cifar10", settings, seed=0)
    assert "\n" not in str(caught.value) and settings["source"] in str(caught.value)
    return str(caught.value)


def test_a_missing_archive_is_named(tmp_path):
    settings = {"source": str(tmp_path / "none.tar.gz"), "validation_images": 30}
    assert "does not exist" in error_of(settings)


@pytest.mark.parametrize("count", [0, 9, 97, 100, 5000])
def test_an_archive_with_too_few_images_for_the_splits_is_named(tmp_path, count):
    settings = archive(tmp_path / "cifar-10-binary.tar.gz", official_files())
    with pytest.raises(StudyError, match=f"cifar10.validation_images: {count} of 100 images canno"):
        datasets.prepare("cifar10", settings | {"validation_images": count}, seed=0)


def test_a_wrong_file_in_a_folder_is_named(tmp_path):
    folder = unpacked(tmp_path / "data")
    settings = {"source": str(folder), "validation_images": 30}
    (folder / "data_batch_3.bin").write_bytes(batch(0)[:-1])
    assert "data_batch_3.bin in" in error_of(settings)
    (folder / "data_batch_3.bin").unlink()
    assert "lacks cifar-10-batches-bin/data_batch_3.bin" in error_of(settings)
    assert "lacks" in error_of(settings | {"source": str(tmp_path)})


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.95])
def test_a_truncated_archive_is_named(tmp_path, share):
    path = tmp_path / "cifar-10-binary.tar.gz"
    settings = archive(path, official_files())
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert "truncated" in error_of(settings)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("data_batch_3.bin", None, "lacks cifar-10-batches-bin/data_batch_3.bin"),
        ("batches.meta.txt", None, "lacks cifar-10-batches-bin/batches.meta.txt"),
        ("test_batch.bin", batch(0)[:-1], "61459 bytes; allowed: a multiple of 3073"),
        ("test_batch.bin", b"", "0 bytes"),
        ("data_batch_1.bin", b"\x0a" + bytes(3072), "label 10; allowed: 0 to 9"),
    ],
)
def test_a_wrong_file_in_the_archive_is_named(tmp_path, name, content, message):
    files = official_files()
    del files[name]
    if content is not None:
        files[name] = content
    assert message in error_of(archive(tmp_path / "cifar-10-binary.tar.gz", files))
