"""Tiles of photographs: the embedded stand-in for ImageNet.

The class of a tile is the photograph that it was cut from: twelve photographs, all shipped inside
scikit-image and scikit-learn. Tiles come from one grid without overlap, so no pixel is in two
splits. Training and test tiles do come from the same photographs: this is the recognition of
textures, not of objects.
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
    """Return the photographs by name, each uint8 [height, width, 3]; none is downloaded."""
    # Slow to import; the stem is known without them.
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
    """Cut uint8 [height, width, 3] into its grid of whole tiles, uint8 [N, size, size, 3].

    Tiles whose grey values have a standard deviation below `minimum_std` (of 255) are left
    out: black margins and empty sky look the same in every photograph.
    """
    rows, columns = photograph.shape[0] // size, photograph.shape[1] // size
    grid = photograph[: rows * size, : columns * size].reshape(rows, size, columns, size, 3)
    cut = grid.transpose(0, 2, 1, 3, 4).reshape(rows * columns, size, size, 3)
    return cut[cut.mean(axis=3).std(axis=(1, 2)) >= minimum_std]


def prepare(settings: Mapping[str, Any], seed: int) -> Dataset:
    """Return the tiles as uint8 [N, size, size, 3].

    `settings` gives `size`, `minimum_std`, `validation_fraction` and `test_fraction`. Raises
    StudyError for bad fractions and where a photograph has too few tiles to be in every split.
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
