"""Split images at random, and compute the colour statistics of a data set."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from dlas.datasets.dataset import SPLITS, Dataset, Split
from dlas.errors import StudyError


def assemble(train: Split, validation: Split, test: Split, class_names: tuple[str, ...]) -> Dataset:
    """Combine three splits into a data set, with the colour statistics of its training images.

    Parameters
    ----------
    train, validation, test : Split
        The splits.
    class_names : tuple of str
        The name of each class, in the order of the labels.

    Raises
    ------
    StudyError
        For a label that is no class, and for training images without any contrast.
    """
    for name, split in zip(SPLITS, (train, validation, test), strict=True):
        wrong = split.labels[(split.labels < 0) | (split.labels >= len(class_names))]
        if len(wrong):
            raise StudyError(
                f"a label in the {name} split is {wrong[0]}; allowed: 0 to {len(class_names) - 1}, "
                "the classes"
            )
    # Histograms give exact sums without a float copy of a large data set.
    counts = [
        np.bincount(train.images[..., channel].ravel(), minlength=256) for channel in range(3)
    ]
    values = np.arange(256) / 255
    mean = np.array([np.average(values, weights=count) for count in counts])
    variance = np.array([np.average(values**2, weights=count) for count in counts]) - mean**2
    # Rounding would give a channel with a single value a variance above 0.
    varied = [np.count_nonzero(count) > 1 for count in counts]
    std = np.sqrt(np.maximum(variance, 0)) * varied
    return Dataset(
        train, validation, test, class_names, mean.astype(np.float32), std.astype(np.float32)
    )


def split(
    images: np.ndarray,
    labels: np.ndarray,
    class_names: tuple[str, ...],
    settings: Mapping[str, Any],
    seed: int,
) -> Dataset:
    """Split images without an official test set at random, stratified by class.

    Parameters
    ----------
    images : np.ndarray
        uint8 [N, height, width, 3].
    labels : np.ndarray
        int64 [N].
    class_names : tuple of str
        The name of each class, in the order of the labels.
    settings : mapping
        `validation_fraction` and `test_fraction`, both as shares of all images.
    seed : int
        Seed of both draws.

    Returns
    -------
    Dataset
        Every image in one of its three splits.

    Raises
    ------
    StudyError
        If a split would be too small to have an image of each class.
    """
    validation, test = settings["validation_fraction"], settings["test_fraction"]
    if not (validation > 0 and test > 0 and validation + test < 1):
        raise StudyError(
            f"validation_fraction {validation} and test_fraction {test} are not allowed; "
            "both must be above 0 and their sum below 1"
        )
    everything = Split(images, labels)
    tested, validated = (round(share * len(labels)) for share in (test, validation))
    rest, test_split = hold_out(everything, tested, seed, "test_fraction")
    train, validation_split = hold_out(rest, validated, seed, "validation_fraction")
    return assemble(train, validation_split, test_split, class_names)


def hold_out(images: Split, count: int, seed: int, key: str = "split") -> tuple[Split, Split]:
    """Hold out a random, stratified part of the images.

    Parameters
    ----------
    images : Split
        The images to draw from.
    count : int
        Number of images to hold out.
    seed : int
        Seed of the draw.
    key : str
        Name of the setting for `count`, for the message.

    Returns
    -------
    rest, held : Split
        The other images, and the held-out images.

    Raises
    ------
    StudyError
        If there are too few images to be stratified.
    """
    # Slow to import, and loading a data set does not need it.
    from sklearn.model_selection import train_test_split

    total = len(images.labels)
    members = np.unique_counts(images.labels).counts
    if not len(members) <= count <= total - len(members) or members.min() < 2:
        raise StudyError(
            f"{key}: {count} of {total} images cannot be held out; the images that are held out "
            f"and "
            f"those that are left must each have one of the {len(members)} classes at least"
        )
    rest, held = train_test_split(
        np.arange(total), test_size=count, stratify=images.labels, random_state=seed
    )
    return (
        Split(images.images[rest], images.labels[rest]),
        Split(images.images[held], images.labels[held]),
    )
