"""The common form of all data sets, and the normalization of their images."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dlas.errors import StudyError, WrongError

SPLITS = ("train", "validation", "test")
COLOURS = ("red", "green", "blue")


@dataclass(frozen=True)
class Split:
    """One split of a data set.

    Attributes
    ----------
    images : np.ndarray
        uint8 [N, height, width, 3].
    labels : np.ndarray
        int64 [N], the class of each image.
    """

    images: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Dataset:
    """Three splits of one data set.

    Attributes
    ----------
    train, validation, test : Split
        Every choice is made on `validation`; `test` is only reported.
    class_names : tuple of str
        The name of each class, in the order of the labels.
    mean, std : np.ndarray
        float32 [3], mean and standard deviation of each colour channel in units of 0..1, from the
        training split alone or from the literature.

    Raises
    ------
    StudyError
        If a mean is not finite, or a std is not finite and above 0.
    """

    train: Split
    validation: Split
    test: Split
    class_names: tuple[str, ...]
    mean: np.ndarray
    std: np.ndarray

    def __post_init__(self) -> None:
        for colour, mean, std in zip(COLOURS, self.mean, self.std, strict=True):
            if not np.isfinite([mean, std]).all():
                raise StudyError(
                    f"{colour} has the mean {mean} and std {std}; allowed: finite numbers"
                )
            if not std > 0:
                raise StudyError(
                    f"{colour} has the std {std}; allowed: above 0, images with at least two values"
                )


def normalize(images: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Standardize images by the colour statistics of their data set.

    Parameters
    ----------
    images : np.ndarray
        uint8 [N, height, width, 3].
    mean, std : np.ndarray
        float32 [3], as in `Dataset`.

    Returns
    -------
    np.ndarray
        float32 [N, 3, height, width], contiguous.
    """
    scale = 1 / (255 * std)
    scaled = images * scale.astype(np.float32) - (mean / std).astype(np.float32)
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), dtype=np.float32)


@dataclass(frozen=True)
class Normalized:
    """A sequence of images that are normalized on reading, as uint8 takes a quarter of float32.

    Attributes
    ----------
    images : np.ndarray
        uint8 [N, height, width, 3].
    mean, std : np.ndarray
        float32 [3], as in `Dataset`.
    """

    images: np.ndarray
    mean: np.ndarray
    std: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, chosen: slice) -> np.ndarray:
        return normalize(self.images[chosen], self.mean, self.std)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[at : at + 1][0] for at in range(len(self)))


def normalized(split: Split, dataset: Dataset) -> Normalized:
    """Return the images of a split of `dataset`, normalized on reading."""
    return Normalized(split.images, dataset.mean, dataset.std)


def top1(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the top-1 accuracy in percent.

    Parameters
    ----------
    logits : np.ndarray
        [N, classes], of any float type.
    labels : np.ndarray
        int64 [N].

    Raises
    ------
    WrongError
        For logits that are not finite: argmax would turn them into a class.
    """
    if not np.isfinite(logits).all():
        raise WrongError("logits are not finite")
    return 100.0 * float(np.mean(np.argmax(logits, axis=1) == labels))
