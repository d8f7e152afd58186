"""Tiles of photographs: the embedded stand-in for ImageNet.

The class of a tile is its photograph: twelve photographs that scikit-image and scikit-learn ship.
Tiles come from one grid without overlap, so no pixel is in two splits. Training and test tiles
come from the same photographs, though: the task is to recognize textures, not objects.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from dlas.datasets import Dataset, split
from dlas.errors import StudyError
from dlas.plugins import Annotated, DatasetPlugin, Fraction, Ge, Le, Pixels, Setting

PLUGIN = DatasetPlugin(
    label="photos",
    order=2,
    stem="large_input",
    size="size",
    classes=12,
    settings={
        "size": Setting(Pixels, "pixels on each side of a tile; tiles do not overlap"),
        "minimum_std": Setting(
            Annotated[float, Ge(0), Le(255)],
            "tiles whose grey values, of 255, have a smaller standard deviation are dropped",
        ),
        "validation_fraction": Setting(
            Fraction, "share of all tiles in the validation split; every choice is made on it"
        ),
        "test_fraction": Setting(Fraction, "share of all tiles in the test split; only reported"),
    },
)


def photographs() -> dict[str, np.ndarray]:
    """Return the photographs by name, each uint8 [height, width, 3]; nothing is downloaded."""
    # Slow to import, and callers that only read PLUGIN do not need them.
    from skimage import color, data
    from sklearn.datasets import load_sample_image

    pictures = {
        "brick": data.brick(),
        "chelsea": data.chelsea(),
        "china": load_sample_image("china.jpg"),
        "coffee": data.coffee(),
        "flower": load_sample_image("flower.jpg"),
        "grass": data.grass(),
        "gravel": data.gravel(),
        "hubble_deep_field": data.hubble_deep_field(),
        "immunohistochemistry": data.immunohistochemistry(),
        "moon": data.moon(),
        "retina": data.retina(),
        "rocket": data.rocket(),
    }
    return {
        name: color.gray2rgb(picture) if picture.ndim == 2 else picture
        for name, picture in pictures.items()
    }


def tiles(photograph: np.ndarray, size: int, minimum_std: float) -> np.ndarray:
    """Cut a photograph into a grid of whole tiles.

    Parameters
    ----------
    photograph : np.ndarray
        uint8 [height, width, 3].
    size : int
        Pixels of each side of a tile.
    minimum_std : float
        Smallest standard deviation of a tile's grey values (0 to 255). Others are dropped: black
        margins and empty sky look the same in every photograph.

    Returns
    -------
    np.ndarray
        uint8 [N, size, size, 3].
    """
    rows, columns = photograph.shape[0] // size, photograph.shape[1] // size
    grid = photograph[: rows * size, : columns * size].reshape(rows, size, columns, size, 3)
    cut = grid.transpose(0, 2, 1, 3, 4).reshape(rows * columns, size, size, 3)
    return cut[cut.mean(axis=3).std(axis=(1, 2)) >= minimum_std]


def prepare(settings: Mapping[str, Any], seed: int) -> Dataset:
    """Return the tiles as uint8 [N, size, size, 3].

    Parameters
    ----------
    settings : mapping
        `size` and `minimum_std` of `tiles`; `validation_fraction` and `test_fraction`, shares in
        (0, 1).
    seed : int
        Seed of the splits.

    Returns
    -------
    Dataset
        With the colour statistics of the training split.

    Raises
    ------
    StudyError
        For fractions that leave a split too small, and for a photograph with fewer than 10 tiles.
    """
    size, minimum_std = settings["size"], settings["minimum_std"]
    cut = {name: tiles(picture, size, minimum_std) for name, picture in photographs().items()}
    for name, found in cut.items():
        if len(found) < 10:
            raise StudyError(
                f"the photograph {name} has {len(found)} tiles at size {size} and "
                f"minimum_std {minimum_std}; at least 10 are needed"
            )
    labels = np.repeat(np.arange(len(cut)), [len(found) for found in cut.values()])
    return split(np.concatenate(list(cut.values())), labels, tuple(cut), settings, seed)
