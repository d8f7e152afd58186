"""CIFAR-10 (Krizhevsky, 2009): 60000 images of ten classes, from the official binary archive."""

import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dlas.datasets import Dataset, Split, assemble, hold_out
from dlas.errors import StudyError
from dlas.plugins import Annotated, DatasetPlugin, Ge, Le, Location, Matches, MinLen, Setting

PLUGIN = DatasetPlugin(
    label="CIFAR-10",
    order=3,
    stem="small_input",
    size=32,
    classes=10,
    images=60000,
    settings={
        "source": Setting(
            Location,
            "download, or the path of the official binary archive or of the folder that it "
            "unpacks to",
        ),
        "mirrors": Setting(
            Annotated[
                list[Annotated[str, Matches("https?://[^/\\s]+/\\S*", "http(s)://...")]], MinLen(1)
            ],
            "addresses of the archive, tried in this order",
            required=False,
        ),
        "sha256": Setting(
            Annotated[
                str, Matches("[0-9a-fA-F]{64}", "the 64 hexadecimal digits of a SHA-256, in quotes")
            ],
            "checksum of the archive, from whichever mirror",
            required=False,
        ),
        "validation_images": Setting(
            Annotated[int, Ge(10), Le(49990)],
            "images cut from the 50000 training images; the test split is the official one",
        ),
    },
)

FOLDER = "cifar-10-batches-bin"
TRAIN_BATCHES = [f"data_batch_{number}.bin" for number in range(1, 6)]
TEST_BATCH, NAMES = "test_batch.bin", "batches.meta.txt"
# A record is one byte of label, then the red, green and blue planes of 32x32 pixels.
RECORD = 1 + 3 * 32 * 32


def prepare(settings: Mapping[str, Any], seed: int) -> Dataset:
    """Return CIFAR-10 as uint8 [N, 32, 32, 3] with its official test set.

    Parameters
    ----------
    settings : mapping
        `source`, the path of cifar-10-binary.tar.gz, of its unpacked folder, or of the folder above
        it, and `validation_images`, the number of training images to hold out.
    seed : int
        Seed of the validation split.

    Returns
    -------
    Dataset
        With the colour statistics of the training split.

    Raises
    ------
    StudyError
        If the archive is missing or truncated, or a file in it has a wrong size.
    """
    source = Path(settings["source"])
    if not source.exists():
        raise StudyError(
            f"datasets.cifar10.source: {source} does not exist; "
            f"it must be cifar-10-binary.tar.gz or the folder {FOLDER}"
        )
    files = _in_folder(source) if source.is_dir() else _in_archive(source)
    names = tuple(_file(files, NAMES, source).decode().split())
    batches = [_images(files, name, source, len(names)) for name in TRAIN_BATCHES]
    everything = Split(
        np.concatenate([batch.images for batch in batches]),
        np.concatenate([batch.labels for batch in batches]),
    )
    key = "datasets.cifar10.validation_images"
    train, validation = hold_out(everything, settings["validation_images"], seed, key)
    return assemble(train, validation, _images(files, TEST_BATCH, source, len(names)), names)


def _in_folder(source: Path) -> dict[str, bytes]:
    """Return the files of the unpacked archive that exist, by name."""
    folder = source / FOLDER if (source / FOLDER).is_dir() else source
    try:
        return {
            name: (folder / name).read_bytes()
            for name in (*TRAIN_BATCHES, TEST_BATCH, NAMES)
            if (folder / name).is_file()
        }
    except OSError as error:
        raise StudyError(
            f"datasets.cifar10.source: {source} cannot be read: {error.strerror}"
        ) from error


def _in_archive(source: Path) -> dict[str, bytes]:
    """Return the files of the archive by name."""
    try:
        with tarfile.open(source, "r:gz") as archive:
            # Read in the order of the archive: seeking back in a gzip stream decompresses it again.
            return {
                Path(member.name).name: content.read()
                for member in archive
                if Path(member.name).parent.name == FOLDER
                and (content := archive.extractfile(member))
            }
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise StudyError(
            f"datasets.cifar10.source: {source} is truncated or not a .tar.gz: {error}"
        ) from error


def _file(files: Mapping[str, bytes], name: str, source: Path) -> bytes:
    if name not in files:
        raise StudyError(f"datasets.cifar10.source: {source} lacks {FOLDER}/{name}")
    return files[name]


def _images(files: Mapping[str, bytes], name: str, source: Path, classes: int) -> Split:
    content = _file(files, name, source)
    if not content or len(content) % RECORD:
        raise StudyError(
            f"datasets.cifar10.source: {name} in {source} has {len(content)} bytes; "
            f"allowed: a multiple of {RECORD}, the size of one record"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    labels = records[:, 0].astype(np.int64)
    if labels.max() >= classes:
        raise StudyError(
            f"datasets.cifar10.source: {name} in {source} has the label {labels.max()}; "
            f"allowed: 0 to {classes - 1}"
        )
    planes = records[:, 1:].reshape(-1, 3, 32, 32)
    return Split(np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels)
