"""Data sets on disk: uncompressed .npz files, whose images stay there until they are used."""

import zipfile
from pathlib import Path

import numpy as np

from dlas.datasets import npz
from dlas.datasets.dataset import SPLITS, Dataset, Split
from dlas.errors import StudyError
from dlas.files import atomic_write


def save(dataset: Dataset, path: str | Path) -> None:
    """Write a data set atomically, as one uncompressed .npz file without pickles.

    Images that are decoded on iteration are written one by one and need not fit into memory.

    Raises
    ------
    StudyError
        If the disk has too little space.
    """
    arrays: dict[str, np.ndarray] = {
        "class_names": np.array(dataset.class_names),
        "mean": dataset.mean,
        "std": dataset.std,
    }
    for name in SPLITS:
        part: Split = getattr(dataset, name)
        arrays |= {f"{name}_images": part.images, f"{name}_labels": part.labels}
    with atomic_write(path) as temporary:
        npz.write(arrays, temporary, path)


def load(path: str | Path) -> Dataset:
    """Read a data set that `save` wrote.

    Its images stay on disk until they are used. Writes to them stay in memory.

    Raises
    ------
    StudyError
        If the file is missing or truncated, or an array has another shape or dtype than `Dataset`
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
    missing = (expected | {"class_names", "mean", "std"}) - set(arrays)
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
    for name in ("mean", "std"):
        check(name, arrays[name].dtype == np.float32 and arrays[name].shape == (3,), "float32 [3]")
    parts = [Split(arrays[f"{name}_images"], arrays[f"{name}_labels"]) for name in SPLITS]
    names = tuple(str(name) for name in arrays["class_names"])
    try:
        return Dataset(parts[0], parts[1], parts[2], names, arrays["mean"], arrays["std"])
    except StudyError as error:
        raise StudyError(f"the data set {path}: {error}") from error
