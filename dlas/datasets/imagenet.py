"""ImageNet (ILSVRC 2012) from the usual folder tree, the same number of images for each class.

The tree is `train/<class>/*.JPEG` and `val/<class>/*.JPEG`. The official validation images are this
study's test split; its validation split is cut from the official training images.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from dlas.datasets import Dataset, Split, assemble
from dlas.errors import StudyError

STEM = "large_input"

# Mean and deviation of the colours as the literature has them, which published weights rely on.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def prepare(settings: Mapping[str, Any], seed: int) -> Dataset:
    """Return the images as uint8 [N, size, size, 3], with the names of the class folders and the
    usual mean and deviation.

    `settings` gives `source`, the folder that holds train/ and val/; `images_per_class` with
    `train`, `validation` and `test`; `resize`, the length of the shorter side; `size`, the side of
    the centre crop. All images are held in memory: 150 kB each at 224x224. Raises StudyError where
    a folder is missing, has too few images, or has an image that cannot be read.
    """
    source, counts = Path(settings["source"]), settings["images_per_class"]
    for folder in (source / "train", source / "val"):
        if not folder.is_dir():
            raise StudyError(
                f"datasets.imagenet.source: {folder} does not exist; "
                f"{source} must hold train/ and val/"
            )
    names = tuple(sorted(folder.name for folder in (source / "train").iterdir() if folder.is_dir()))
    if not names:
        raise StudyError(f"datasets.imagenet.source: {source / 'train'} holds no class folder")

    generator = np.random.default_rng(seed)
    chosen: dict[str, list[tuple[Path, int]]] = {"train": [], "validation": [], "test": []}
    for label, name in enumerate(names):
        for_training = _draw(
            source / "train" / name, counts["train"] + counts["validation"], generator
        )
        for_test = _draw(source / "val" / name, counts["test"], generator)
        chosen["train"] += [(path, label) for path in for_training[: counts["train"]]]
        chosen["validation"] += [(path, label) for path in for_training[counts["train"] :]]
        chosen["test"] += [(path, label) for path in for_test]
    train, validation, test = (_read(pairs, settings) for pairs in chosen.values())
    return replace(
        assemble(train, validation, test, names),
        mean=np.array(MEAN, np.float32),
        deviation=np.array(DEVIATION, np.float32),
    )


def _draw(folder: Path, count: int, generator: np.random.Generator) -> list[Path]:
    paths = sorted(folder.glob("*.JPEG"))
    if len(paths) < count:
        raise StudyError(
            f"datasets.imagenet.images_per_class needs {count} images in {folder}; "
            f"it has {len(paths)}"
        )
    return [paths[index] for index in generator.permutation(len(paths))[:count]]


def _read(pairs: list[tuple[Path, int]], settings: Mapping[str, Any]) -> Split:
    images = np.stack([_image(path, settings["resize"], settings["size"]) for path, _ in pairs])
    return Split(images, np.array([label for _, label in pairs], dtype=np.int64))


def _image(path: Path, resize: int, size: int) -> np.ndarray:
    """Return the centre crop of the resized image, the usual way to evaluate on ImageNet."""
    try:
        with Image.open(path) as file:
            image = file.convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise StudyError(f"the image {path} cannot be read: {error}") from error
    scale = resize / min(image.size)
    width, height = (max(resize, round(side * scale)) for side in image.size)
    left, top = (width - size) // 2, (height - size) // 2
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.array(resized.crop((left, top, left + size, top + size)))
