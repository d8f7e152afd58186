"""Layer 1 of the stack: image classification data sets, one file each, in one shared form.

A data set is found by the name of its file. Each file describes itself (`PLUGIN`, see `dlas.plugins`) and
gives `prepare(settings, seed) -> Dataset`. Where several threads prepare it, their number is in `settings`.
"""

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dlas import registry
from dlas.datasets import npz
from dlas.errors import StudyError
from dlas.files import whole

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Split:
    """Images as uint8 [N, height, width, 3] and their classes as int64 [N]."""

    images: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Dataset:
    """Three splits of one data set: every choice is made on `validation`, `test` is only reported.

    `mean` and `deviation` are float32 [3], one number per colour channel in units of 0..1, taken
    from the training split alone, or those that the literature uses for the data set.
    """

    train: Split
    validation: Split
    test: Split
    class_names: tuple[str, ...]
    mean: np.ndarray
    deviation: np.ndarray


def prepare(name: str, settings: Mapping[str, Any], seed: int) -> Dataset:
    """Return the data set `name`, split by `seed`; StudyError for an unknown name or bad data.

    The images of a large one are made when they are iterated, and can be saved.
    """
    dataset: Dataset = registry.load("dataset", name).prepare(settings, seed)
    return dataset


def assemble(train: Split, validation: Split, test: Split, class_names: tuple[str, ...]) -> Dataset:
    """Return the data set of three splits, with the colour statistics of the training images."""
    # Sums by colour value: exact, and no float copy of a large data set.
    counts = [
        np.bincount(train.images[..., channel].ravel(), minlength=256) for channel in range(3)
    ]
    values = np.arange(256) / 255
    mean = np.array([np.average(values, weights=count) for count in counts])
    variance = np.array([np.average(values**2, weights=count) for count in counts]) - mean**2
    deviation = np.sqrt(np.maximum(variance, 0))
    return Dataset(
        train, validation, test, class_names, mean.astype(np.float32), deviation.astype(np.float32)
    )


def split(
    images: np.ndarray,
    labels: np.ndarray,
    class_names: tuple[str, ...],
    settings: Mapping[str, Any],
    seed: int,
) -> Dataset:
    """Return images without an official test set in three random splits, stratified by class.

    `settings` gives `validation_fraction` and `test_fraction`, both as shares of all images.
    Raises StudyError where a split would be empty.
    """
    validation, test = settings["validation_fraction"], settings["test_fraction"]
    if not (validation > 0 and test > 0 and validation + test < 1):
        raise StudyError(
            f"validation_fraction {validation} and test_fraction {test} are not allowed; "
            "both must be above 0 and their sum below 1"
        )
    everything = Split(images, labels)
    rest, test_split = hold_out(everything, round(test * len(labels)), seed)
    train, validation_split = hold_out(rest, round(validation * len(labels)), seed)
    return assemble(train, validation_split, test_split, class_names)


def hold_out(images: Split, count: int, seed: int) -> tuple[Split, Split]:
    """Return (the rest, `count` images drawn by `seed`, stratified by class).

    Raises StudyError where there are too few images to be stratified.
    """
    from sklearn.model_selection import train_test_split  # slow to import; readers do not need it

    total = len(images.labels)
    try:
        kept, held = train_test_split(
            np.arange(total), test_size=count, stratify=images.labels, random_state=seed
        )
    except ValueError as error:
        raise StudyError(f"{count} of {total} images cannot be held out: {error}") from error
    return (
        Split(images.images[kept], images.labels[kept]),
        Split(images.images[held], images.labels[held]),
    )


def save(dataset: Dataset, path: str | Path) -> None:
    """Write the data set as one uncompressed .npz file without pickles, whole or not at all.

    Images that are not an array, but made when they are iterated, never are in memory all at once.
    """
    arrays: dict[str, np.ndarray] = {
        "class_names": np.array(dataset.class_names),
        "mean": dataset.mean,
        "deviation": dataset.deviation,
    }
    for name in SPLITS:
        part: Split = getattr(dataset, name)
        arrays |= {f"{name}_images": part.images, f"{name}_labels": part.labels}
    with whole(path) as temporary:
        npz.write(arrays, temporary, path)


def load(path: str | Path) -> Dataset:
    """Read a data set that `save` wrote. Its images stay on disk until they are used, and may be written to in memory.

    Raises StudyError where the file is missing or truncated or where an array is not what `Dataset`
    says.
    """
    if not Path(path).is_file():
        raise StudyError(f"the data set {path} does not exist")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {
                name: npz.mapped(path, name) if name.endswith("_images") else file[name]
                for name in file.files
            }
    except (OSError, TypeError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise StudyError(
            f"the data set {path} is truncated or not an .npz file: {error}"
        ) from error

    expected = {f"{name}_{kind}" for name in SPLITS for kind in ("images", "labels")}
    missing = (expected | {"class_names", "mean", "deviation"}) - set(arrays)
    if missing:
        raise StudyError(f"the data set {path} lacks {', '.join(sorted(missing))}")

    def check(name: str, right: bool, allowed: str) -> None:
        if not right:
            found = f"{arrays[name].dtype} {list(arrays[name].shape)}"
            raise StudyError(f"{name} in the data set {path} is {found}; allowed: {allowed}")

    size = arrays["train_images"].shape[1:3]
    classes = len(arrays["class_names"])
    for name in SPLITS:
        images, labels = arrays[f"{name}_images"], arrays[f"{name}_labels"]
        shape = (len(images), *size, 3) if images.ndim else ()
        check(
            f"{name}_images",
            images.dtype == np.uint8
            and images.ndim == 4
            and images.shape == shape
            and len(images) > 0,
            "uint8 [N, height, width, 3], at least one image, one size in all splits",
        )
        check(
            f"{name}_labels",
            labels.dtype == np.int64
            and labels.shape == (len(images),)
            and bool(((labels >= 0) & (labels < classes)).all()),
            f"int64 [{len(images)}], one of the {classes} classes for each image",
        )
    for name in ("mean", "deviation"):
        check(name, arrays[name].dtype == np.float32 and arrays[name].shape == (3,), "float32 [3]")
    parts = [Split(arrays[f"{name}_images"], arrays[f"{name}_labels"]) for name in SPLITS]
    names = tuple(str(name) for name in arrays["class_names"])
    return Dataset(parts[0], parts[1], parts[2], names, arrays["mean"], arrays["deviation"])


def normalize(images: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Return uint8 [N, height, width, 3] as float32 [N, 3, height, width], standardized."""
    scale = 1 / (255 * deviation)
    scaled = images * scale.astype(np.float32) - (mean / deviation).astype(np.float32)
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), dtype=np.float32)


@dataclass(frozen=True)
class Normalized:
    """Images as `normalize` gives them, when they are read: as float32 a large set would fill the memory.

    `images` are uint8 [N, height, width, 3]; `mean` and `deviation` are the data set's.
    """

    images: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, chosen: slice) -> np.ndarray:
        return normalize(self.images[chosen], self.mean, self.deviation)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[at : at + 1][0] for at in range(len(self)))


def normalized(split: Split, dataset: Dataset) -> Normalized:
    """Return the images of a split of `dataset`, each normalized when it is read."""
    return Normalized(split.images, dataset.mean, dataset.deviation)


def top1(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the percentage of rows of `logits` [N, classes] with the largest entry at the
    label."""
    return 100.0 * float(np.mean(np.argmax(logits, axis=1) == labels))
