"""Random images, for measurements that take equally long on any images."""

import numpy as np

from dlas import datasets


def random_images(count: int, size: int, classes: int, others: int = 1) -> datasets.Dataset:
    """Return a data set of random square images, always the same; labels cycle through the classes.

    Parameters
    ----------
    count : int
        Training images.
    size : int
        Pixels on each side.
    classes : int
        Number of classes.
    others : int
        Images of the validation split, and of the test split.
    """
    draw = np.random.default_rng(0)

    def split(count: int) -> datasets.Split:
        images = draw.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
        return datasets.Split(images, np.arange(count, dtype=np.int64) % classes)

    names = tuple(str(number) for number in range(classes))
    return datasets.assemble(split(count), split(others), split(others), names)
