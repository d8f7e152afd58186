"""CIFAR-10 is read from files in the format of the official binary archive, only smaller."""

import io
import tarfile

import numpy as np
import pytest

from dlas import datasets
from dlas.errors import StudyError

NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def batch(start: int) -> bytes:
    """20 records: the label, then planes of red = number, green = row, blue = column."""
    records = b""
    for number in range(start, start + 20):
        rows, columns = np.mgrid[0:32, 0:32].astype(np.uint8)
        planes = [np.full((32, 32), number, np.uint8), rows, columns]
        records += bytes([number % 10]) + b"".join(plane.tobytes() for plane in planes)
    return records


def official_files() -> dict[str, bytes]:
    files = {f"data_batch_{index + 1}.bin": batch(20 * index) for index in range(5)}
    return files | {
        "test_batch.bin": batch(100),
        "batches.meta.txt": "\n".join(NAMES).encode() + b"\n",
    }


def archive(path, files: dict[str, bytes]):
    with tarfile.open(path, "w:gz") as written:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            entry.size = len(content)
            written.addfile(entry, io.BytesIO(content))
    return {"source": str(path), "validation_images": 30}


def test_images_labels_and_splits(tmp_path):
    settings = archive(tmp_path / "cifar-10-binary.tar.gz", official_files())
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
