"""Images of no data set, for what takes as long on any."""

import numpy as np

from dlas import datasets


def random_images(count: int, size: int, classes: int, others: int = 1) -> datasets.Dataset:
    """Return a data set of random square images: `count` to train on and `others` in each other split.

    Their labels are all classes in turns. It is the same one each time.
    """
    draw = np.random.default_rng(0)

    def split(count: int) -> datasets.Split:
        images = draw.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
        return datasets.Split(images, np.arange(count, dtype=np.int64) % classes)

    names = tuple(str(number) for number in range(classes))
    return datasets.assemble(split(count), split(others), split(others), names)
