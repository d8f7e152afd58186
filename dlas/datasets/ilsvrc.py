"""The images of ILSVRC 2012 on disk, in class folders or in the official archives.

The archives stay packed. They are not compressed, so an image is read from an archive as fast as
from a file, and no unpacking can stop halfway.
"""

import gzip
import io
import logging
import os
import re
import tarfile
import zlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from dlas.errors import StudyError

TRAIN_FOLDER, VALIDATION_FOLDER = "train", "val"
TRAIN_ARCHIVE = "ILSVRC2012_img_train.tar"
VALIDATION_ARCHIVE = "ILSVRC2012_img_val.tar"
DEVKIT = "ILSVRC2012_devkit_t12.tar.gz"
# Names of files in the devkit.
SYNSETS, GROUND_TRUTH = "meta.mat", "ILSVRC2012_validation_ground_truth.txt"

# Suffixes of images; case does not matter.
SUFFIXES = (".jpeg", ".jpg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
WORDNET_ID = re.compile(r"n\d{8}")
VALIDATION_IMAGE = re.compile(r"ILSVRC2012_val_(\d{8})\.JPEG")

LOG = logging.getLogger("dlas")


# With slots, as there may be a million instances.
@dataclass(frozen=True, slots=True)
class Encoded:
    """An encoded image: a file, or a range of bytes in an archive.

    Attributes
    ----------
    file : str
        Path of the file or archive.
    name : str
        Name for messages.
    offset, size : int
        First byte and number of bytes; -1 reads to the end of the file.
    """

    file: str
    name: str
    offset: int = 0
    size: int = -1

    def read(self) -> bytes:
        """Return the encoded bytes; raise OSError if the file cannot be read."""
        with open(self.file, "rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


Listing = Callable[[], list[Encoded]]


@dataclass(frozen=True)
class Source:
    """The images of one official split.

    Attributes
    ----------
    place : Path
        The folder or archive of the images.
    classes : mapping of str to Listing
        For each class a function that lists its images, sorted by name.
    expected : mapping of str to int
        The known number of images of a class; classes may be missing.
    """

    place: Path
    classes: Mapping[str, Listing]
    expected: Mapping[str, int] = field(default_factory=dict)


def sources(root: Path) -> tuple[Source, Source]:
    """Return the official training and validation images below a folder.

    Parameters
    ----------
    root : Path
        The folder. Training images are in `train/<class>/`, or in their archive. Validation images
        are in `val/<class>/`, or in their archive with the devkit, which lists their classes.

    Returns
    -------
    training, validation : Source
        The images.

    Raises
    ------
    StudyError
        With everything that is missing or has another form.
    """
    problems = [] if root.is_dir() else [f"{root} is not a folder"]
    found = []
    for one in () if problems else (_training, _validation):
        try:
            found.append(one(root))
        except (StudyError, OSError) as error:
            problems.append(str(error))
    if problems:
        raise StudyError("datasets.imagenet.source: " + "; ".join(dict.fromkeys(problems)))
    training, validation = found
    return training, validation


def some(names: Collection[str]) -> str:
    """Return the first three names, and the number of the others."""
    first = sorted(names)[:3]
    return ", ".join(first) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _training(root: Path) -> Source:
    folder, archive = root / TRAIN_FOLDER, root / TRAIN_ARCHIVE
    if folder.exists():
        return _folders(folder)
    if not archive.exists():
        raise StudyError(f"{root} lacks {TRAIN_FOLDER}/ or {TRAIN_ARCHIVE}")
    inner = _members(archive)
    if wrong := [one.name for one in inner if not _is_class_archive(one.name)]:
        swapped = " (those are the validation images)" if _numbers(wrong) else ""
        raise StudyError(
            f"{archive} holds {some(wrong)}{swapped}; allowed: an archive of each class, such as "
            f"n01440764.tar"
        )
    devkit = root / DEVKIT
    return Source(
        archive,
        {Path(one.name).stem: partial(_class_in_archive, archive, one) for one in inner},
        _Devkit.read(devkit).training_images if devkit.exists() else {},
    )


def _validation(root: Path) -> Source:
    folder, archive, devkit = root / VALIDATION_FOLDER, root / VALIDATION_ARCHIVE, root / DEVKIT
    if folder.exists():
        return _folders(folder)
    if not archive.exists():
        raise StudyError(f"{root} lacks {VALIDATION_FOLDER}/ or {VALIDATION_ARCHIVE}")
    if not devkit.exists():
        raise StudyError(f"{root} lacks {DEVKIT}, which has the classes of {VALIDATION_ARCHIVE}")
    classes = _Devkit.read(devkit).validation_classes
    images = _members(archive)
    numbers = _numbers([one.name for one in images])
    if wrong := [one.name for one in images if one.name not in numbers]:
        swapped = " (those are the training images)" if _is_class_archive(wrong[0]) else ""
        raise StudyError(
            f"{archive} holds {some(wrong)}{swapped}; allowed: images such as "
            f"ILSVRC2012_val_00000001.JPEG"
        )
    if sorted(numbers.values()) != list(range(1, len(classes) + 1)):
        raise StudyError(
            f"{archive} holds {len(images)} images, and {GROUND_TRUTH} in {devkit} the classes of "
            f"{len(classes)}; "
            "it must be one class for each image"
        )
    by_class: dict[str, list[Encoded]] = {name: [] for name in sorted(set(classes))}
    for one in sorted(images, key=lambda image: numbers[image.name]):
        by_class[classes[numbers[one.name] - 1]].append(
            Encoded(one.file, f"{archive}: {one.name}", one.offset, one.size)
        )
    return Source(archive, {name: partial(list, found) for name, found in by_class.items()})


def _is_class_archive(name: str) -> bool:
    return re.fullmatch(rf"{WORDNET_ID.pattern}\.tar", Path(name).name) is not None


def _numbers(names: Collection[str]) -> dict[str, int]:
    """Return the numbers in the names of validation images, by name; skip other names."""
    found = {name: VALIDATION_IMAGE.fullmatch(Path(name).name) for name in names}
    return {name: int(match[1]) for name, match in found.items() if match}


def _folders(place: Path) -> Source:
    """Return the images in class folders; skip hidden files."""
    entries = [path for path in place.iterdir() if not path.name.startswith(".")]
    classes = {path.name: path for path in sorted(entries) if path.is_dir()}
    if not classes:
        packed = [path.name for path in entries if _is_class_archive(path.name)]
        flat = [path.name for path in entries if _is_image(path.name)]
        instead = ""
        if packed:
            instead = (
                f", but {some(packed)}, which must be unpacked, each into a folder of its name"
            )
        elif flat:
            instead = f", but {some(flat)}, which must lie in the folders of their classes"
        raise StudyError(f"{place} holds no class folder{instead}")
    numbered = [name for name in classes if WORDNET_ID.fullmatch(name)]
    if numbered and len(numbered) < len(classes):
        raise StudyError(
            f"{place} holds folders named by WordNet, such as {numbered[0]}, and others, which "
            f"are no classes: "
            f"{some(classes.keys() - set(numbered))}"
        )
    return Source(place, {name: partial(_class_in_folder, path) for name, path in classes.items()})


def _class_in_folder(folder: Path) -> list[Encoded]:
    try:
        with os.scandir(folder) as entries:
            files = [entry.name for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise StudyError(f"{folder} cannot be read: {error.strerror}") from error
    names = _images(files, str(folder))
    return [Encoded(str(folder / name), str(folder / name)) for name in names]


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _images(names: Collection[str], place: str) -> list[str]:
    """Return the names of images, sorted; log the names of other files."""
    found = sorted(filter(_is_image, names))
    if others := set(names).difference(found):
        LOG.warning("%s: ignored, as they are no images by their suffix: %s", place, some(others))
    return found


def _class_in_archive(archive: Path, inner: Encoded) -> list[Encoded]:
    members = {one.name: one for one in _members(archive, inner.offset)}
    names = _images(members, f"{archive}: {inner.name}")
    return [
        Encoded(one.file, f"{archive}: {inner.name}/{name}", one.offset, one.size)
        for name, one in ((name, members[name]) for name in names)
    ]


def _members(archive: Path, start: int = 0) -> list[Encoded]:
    """Return the files in a tar that starts at an offset of a file; only headers are read."""
    try:
        with open(archive, "rb") as file:
            file.seek(start)
            # Without compression, offsets in the archive are offsets in the file.
            with tarfile.open(fileobj=file, mode="r:") as opened:
                return [
                    Encoded(str(archive), one.name, one.offset_data, one.size)
                    for one in opened
                    if one.isreg()
                ]
    except (tarfile.TarError, OSError) as error:
        raise StudyError(f"{archive} is truncated or no uncompressed tar: {error}") from error


@dataclass(frozen=True)
class _Devkit:
    """The labels in the development kit.

    Attributes
    ----------
    validation_classes : list of str
        The class of each validation image, by its number.
    training_images : dict of str to int
        The number of training images of each class.
    """

    validation_classes: list[str]
    training_images: dict[str, int]

    @staticmethod
    def read(path: Path) -> "_Devkit":
        """Read the devkit; raise StudyError if it is damaged or does not map classes to WordNet."""
        try:
            # Decompressing the whole file verifies its checksum.
            unpacked = io.BytesIO(gzip.decompress(path.read_bytes()))
            with tarfile.open(fileobj=unpacked) as archive:
                files = {
                    Path(member.name).name: content.read()
                    for member in archive
                    if Path(member.name).name in (SYNSETS, GROUND_TRUTH)
                    and (content := archive.extractfile(member))
                }
        except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
            raise StudyError(f"{path} is truncated or no .tar.gz: {error}") from error
        for name in (SYNSETS, GROUND_TRUTH):
            if name not in files:
                raise StudyError(f"{path} lacks {name}")
        synsets = _synsets(files[SYNSETS], path)
        # The ground truth refers to classes by this number, not by their rank by name.
        names = {int(one["ILSVRC2012_ID"]): str(one["WNID"]) for one in synsets}
        numbers = files[GROUND_TRUTH].split()
        if unknown := {text.decode(errors="replace") for text in numbers} - {
            str(number) for number in names
        }:
            raise StudyError(
                f"{GROUND_TRUTH} in {path} names the class {some(unknown)}; allowed: {min(names)} "
                f"to {max(names)}"
            )
        return _Devkit(
            [names[int(number)] for number in numbers],
            {str(one["WNID"]): int(one["num_train_images"]) for one in synsets},
        )


def _synsets(content: bytes, devkit: Path) -> np.ndarray:
    """Return the records of the classes: the leaves of the synset tree in meta.mat."""
    # Slow to import, and class folders do not need it.
    from scipy.io import loadmat

    try:
        synsets = np.atleast_1d(loadmat(io.BytesIO(content), squeeze_me=True)["synsets"])
        leaves: np.ndarray = synsets[synsets["num_children"] == 0]
        # A missing field raises an error.
        leaves[["ILSVRC2012_ID", "WNID", "num_train_images"]]
    # loadmat raises errors of many types for a damaged file.
    except Exception as error:
        raise StudyError(
            f"{SYNSETS} in {devkit} does not map classes to WordNet: {' '.join(str(error).split())}"
        ) from error
    if not len(leaves):
        raise StudyError(f"{SYNSETS} in {devkit} does not map classes to WordNet: it has none")
    return leaves
