"""Small handwritten digits, for fast checks of the workflow.

scikit-learn ships 1797 grey 8x8 images of ten digits (the test set of the UCI ML hand-written
digits data set). They are enlarged bilinearly and repeated over three colour channels.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from dlas.datasets import Dataset, split
from dlas.plugins import DatasetPlugin, Fraction, Pixels, Setting

PLUGIN = DatasetPlugin(
    label="8x8 digits",
    order=5,
    stem="small_input",
    size="size",
    classes=10,
    images=1797,
    settings={
        "size": Setting(Pixels, "pixels on each side after enlarging"),
        "validation_fraction": Setting(
            Fraction, "share of all images in the validation split; every choice is made on it"
        ),
        "test_fraction": Setting(Fraction, "share of all images in the test split; only reported"),
    },
)


def prepare(settings: Mapping[str, Any], seed: int) -> Dataset:
    """Return the digits as uint8 [N, size, size, 3].

    Parameters
    ----------
    settings : mapping
        `size` in pixels; `validation_fraction` and `test_fraction`, shares in (0, 1).
    seed : int
        Seed of the splits.

    Returns
    -------
    Dataset
        With the colour statistics of the training split.

    Raises
    ------
    StudyError
        For fractions that leave a split too small.
    """
    # Slow to import, and callers that only read PLUGIN do not need it.
    from sklearn.datasets import load_digits

    digits = load_digits()
    # Grey values of scikit-learn's digits run from 0 to 16.
    grey = np.round(digits.images * 255 / 16).astype(np.uint8)
    size = (settings["size"], settings["size"])
    large = [
        np.array(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)) for image in grey
    ]
    images = np.repeat(np.stack(large)[..., np.newaxis], 3, axis=3)
    names = tuple(str(name) for name in digits.target_names)
    return split(images, digits.target.astype(np.int64), names, settings, seed)
