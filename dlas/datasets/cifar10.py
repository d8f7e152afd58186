"""CIFAR-10 (Krizhevsky, 2009) from its official binary archive: 60000 images of ten classes."""

import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dlas.datasets import Dataset, Split, assemble, hold_out
from dlas.errors import StudyError

STEM = "small_input"

FOLDER = "cifar-10-batches-bin"
TRAIN_BATCHES = [f"data_batch_{number}.bin" for number in range(1, 6)]
# A record is one byte of label, then the red, green and blue planes of 32x32 pixels.
RECORD = 1 + 3 * 32 * 32


def prepare(settings: Mapping[str, Any], seed: int) -> Dataset:
    """Return CIFAR-10 as uint8 [N, 32, 32, 3] with its official test set.

    `settings` gives `source`, the path of cifar-10-binary.tar.gz, and `validation_images`, how many
    are cut from the training images. Raises StudyError where the archive is missing, truncated or
    has a file of a wrong size.
    """
    source = Path(settings["source"])
    if not source.is_file():
        raise StudyError(
            f"datasets.cifar10.source: {source} does not exist; it must be cifar-10-binary.tar.gz"
        )
    try:
        with tarfile.open(source, "r:gz") as archive:
            # In the order of the archive: going back in a gzip stream means to unpack it again.
            files = {
                Path(member.name).name: content.read()
                for member in archive
                if Path(member.name).parent.name == FOLDER
                and (content := archive.extractfile(member))
            }
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise StudyError(
            f"datasets.cifar10.source: {source} is truncated or not a .tar.gz: {error}"
        ) from error

    names = tuple(_file(files, "batches.meta.txt", source).decode().split())
    batches = [_images(files, name, source, len(names)) for name in TRAIN_BATCHES]
    everything = Split(
        np.concatenate([batch.images for batch in batches]),
        np.concatenate([batch.labels for batch in batches]),
    )
    train, validation = hold_out(everything, settings["validation_images"], seed)
    return assemble(train, validation, _images(files, "test_batch.bin", source, len(names)), names)


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
