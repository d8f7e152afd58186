"""ImageNet (ILSVRC 2012), with the same number of images for each class.

The official validation images are this study's test split. Its validation split is held out from
the official training images.
"""

import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from dlas.datasets import Dataset, Split
from dlas.datasets.ilsvrc import SUFFIXES, Encoded, Source, some, sources
from dlas.errors import StudyError
from dlas.plugins import Choice, Count, DatasetPlugin, Location, Pixels, Setting

PLUGIN = DatasetPlugin(
    label="ImageNet",
    order=4,
    stem="large_input",
    size="size",
    classes="classes",
    # Most threads that decode.
    threads=16,
    settings={
        "source": Setting(
            Location, "a folder with the official archives, or with train/<class>/ and val/<class>/"
        ),
        "classes": Setting(Count, "how many classes the source must have"),
        "images_per_class": Setting(
            {
                "train": Setting(Count, "official training images"),
                "validation": Setting(Count, "official training images"),
                "test": Setting(Count, "official validation images"),
            },
            "images of each class in each split",
        ),
        "corrupt_images": Setting(
            Choice["fail", "skip"],
            "fail: stop and name the image; skip: take another one of its class",
        ),
        "resize": Setting(Pixels, "pixels of the shorter side, before the centre crop"),
        "size": Setting(Pixels, "pixels on each side of the centre crop"),
    },
)

LOG = logging.getLogger("dlas")


# Mean and standard deviation of the colours in the literature; published weights rely on them.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# Images to decode as a check before all others.
SAMPLE_IMAGES = 32
# Most images that wait in memory.
BLOCK_IMAGES = 512
# Most pixels of an image, as stored and resized: 200 MB in each thread.
LARGEST_IMAGE = 2**26


def prepare(settings: Mapping[str, Any], seed: int) -> Dataset:
    """Return ImageNet as uint8 [N, size, size, 3], with the usual mean and standard deviation.

    The source is checked and a sample of images decoded before this function returns. The images of
    the splits are decoded when they are iterated; they need not fit into memory.

    Parameters
    ----------
    settings : mapping
        `source`, a folder as in `ilsvrc.sources`; `classes`, the number that it must have;
        `images_per_class`, with `train`, `validation` and `test`; `resize`, pixels of the shorter
        side; `size`, pixels of the centre crop; `corrupt_images`, "fail" or "skip", which takes
        another image of the class; and `threads` that decode, by default 1.
    seed : int
        Seed of the draws of images.

    Returns
    -------
    Dataset
        Class names are the WordNet IDs, or the names of the class folders.

    Raises
    ------
    StudyError
        If images are missing or damaged, and if `size` is above `resize`.
    """
    if settings["size"] > settings["resize"]:
        raise StudyError(
            f"datasets.imagenet.size is {settings['size']}; must be at most resize, "
            f"{settings['resize']}"
        )
    training, official = sources(Path(settings["source"]))
    _refuse(_class_problems(training, official, settings["classes"]))
    names = tuple(sorted(training.classes))
    counts = settings["images_per_class"]
    cut, end = counts["train"], counts["train"] + counts["validation"]
    for_training, for_test = _Draw(training, names, (seed, 0)), _Draw(official, names, (seed, 1))
    threads = settings.get("threads", 1)
    trained, tested = for_training.listed(end, threads), for_test.listed(counts["test"], threads)
    _refuse([*for_training.problems(trained, end), *for_test.problems(tested, counts["test"])])
    for_training.compare(trained)
    for one, listed in ((training, trained), (official, tested)):
        LOG.info(
            "%s: %d images of %d classes", one.place, sum(count for count, _ in listed), len(names)
        )

    # The remaining images replace corrupt ones. Each split has its own spares, so a corrupt image
    # changes no other split.
    splits = [
        _Decoded(for_training, trained, slice(cut), slice(end, None, 2), settings),
        _Decoded(for_training, trained, slice(cut, end), slice(end + 1, None, 2), settings),
        _Decoded(for_test, tested, slice(counts["test"]), slice(counts["test"], None), settings),
    ]
    _check_sample([image for split in splits for image in split.chosen], settings, seed)
    train, validation, test = (
        # numpy and `datasets.save` only need a duck array.
        Split(cast(np.ndarray, split), split.labels)
        for split in splits
    )
    colours = np.array(MEAN, np.float32), np.array(STD, np.float32)
    return Dataset(train, validation, test, names, *colours)


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise StudyError("datasets.imagenet: " + "; ".join(problems))


def _class_problems(training: Source, official: Source, expected: int) -> list[str]:
    problems = [
        f"{one.place} lacks the class {some(missing)}, which {other.place} has"
        for one, other in ((training, official), (official, training))
        if (missing := other.classes.keys() - one.classes.keys())
    ]
    if len(training.classes) != expected:
        problems.append(
            f"{training.place} has {len(training.classes)} classes; classes is {expected}"
        )
    return problems


@dataclass(frozen=True)
class _Draw:
    """A random order of each class's images, with a seed for each class."""

    source: Source
    names: tuple[str, ...]
    seed: tuple[int, int]

    def __call__(self, label: int) -> list[Encoded]:
        images = self.source.classes[self.names[label]]()
        order = np.random.default_rng([*self.seed, label]).permutation(len(images))
        return [images[at] for at in order]

    def listed(self, wanted: int, threads: int) -> list[tuple[int, list[Encoded]]]:
        """Return the number of images and the first `wanted` images of each class."""

        def first(label: int) -> tuple[int, list[Encoded]]:
            images = self(label)
            return len(images), images[:wanted]

        with ThreadPoolExecutor(threads) as pool:
            labels = range(len(self.names))
            found = pool.map(first, labels)
            return list(tqdm(found, desc="listing", total=len(labels), unit="class", disable=None))

    def problems(self, listed: Sequence[tuple[int, list[Encoded]]], wanted: int) -> Iterator[str]:
        """Yield messages on classes with too few images."""
        counts = [count for count, _ in listed]
        named = zip(self.names, counts, strict=True)
        if short := [f"{count} of {name}" for name, count in named if count < wanted]:
            names = "" if all(counts) else f" (names that end in {', '.join(SUFFIXES)})"
            place = f"images of each class in {self.source.place}"
            yield f"images_per_class needs {wanted} {place}; it has {some(short)}{names}"

    def compare(self, listed: Sequence[tuple[int, list[Encoded]]]) -> None:
        """Log classes whose number of images differs from the devkit's."""
        expected = self.source.expected
        for name, (count, _) in zip(self.names, listed, strict=True):
            if count != expected.get(name, count):
                message = f"{count} images of {name}, by the devkit {expected[name]}"
                LOG.warning("%s: %s", self.source.place, message)


class _Decoded:
    """The images of a split, uint8 [N, size, size, 3], decoded on iteration, class by class."""

    dtype = np.dtype(np.uint8)

    def __init__(
        self,
        draw: _Draw,
        listed: Sequence[tuple[int, list[Encoded]]],
        own: slice,
        spare: slice,
        settings: Mapping[str, Any],
    ) -> None:
        """Take the slice `own` of each class's drawn images; `spare` may replace corrupt ones."""
        self.draw, self.spare, self.settings = draw, spare, settings
        chosen = [images[own] for _, images in listed]
        self.chosen = [image for images in chosen for image in images]
        self.labels = np.repeat(np.arange(len(chosen)), [len(images) for images in chosen])
        self.shape = (len(self.chosen), settings["size"], settings["size"], 3)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.stack(list(self)).astype(dtype or self.dtype)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Decode in threads: Pillow releases the interpreter lock most of the time."""
        attempt, skipped = partial(_attempt, settings=self.settings), list[int]()
        with (
            ThreadPoolExecutor(self.settings.get("threads", 1)) as pool,
            tqdm(total=len(self.chosen), desc="decoding", unit="image", disable=None) as progress,
        ):
            for start in range(0, len(self.chosen), BLOCK_IMAGES):
                block = slice(start, start + BLOCK_IMAGES)
                decoded = pool.map(attempt, self.chosen[block])
                for label, found in zip(self.labels[block].tolist(), decoded, strict=True):
                    while isinstance(found, StudyError):
                        skipped.append(label)
                        found = attempt(self._instead(found, label, skipped.count(label)))
                    yield found
                    progress.update()
        if skipped:
            message = "corrupt images skipped: %d; others of their classes make %d all the same"
            LOG.warning(message, len(skipped), len(self.chosen))

    def _instead(self, error: StudyError, label: int, number: int) -> Encoded:
        """Return the replacement of the class's corrupt image `number`, or raise StudyError."""
        if self.settings["corrupt_images"] == "fail":
            advice = "with datasets.imagenet.corrupt_images: skip another one of its class is taken"
            raise StudyError(f"{error}; {advice}") from error
        LOG.warning("skipped: %s", error)
        spares = self.draw(label)[self.spare]
        if number > len(spares):
            raise StudyError(f"{error}; none of its class is left instead") from error
        return spares[number - 1]


def _check_sample(images: Sequence[Encoded], settings: Mapping[str, Any], seed: int) -> None:
    """Decode a sample; raise StudyError for a corrupt image, or for most if `skip`."""
    count = min(SAMPLE_IMAGES, len(images))
    chosen = np.random.default_rng(seed).choice(len(images), count, replace=False)
    found = [_attempt(images[at], settings) for at in chosen]
    corrupt = [str(one) for one in found if isinstance(one, StudyError)]
    if corrupt and (settings["corrupt_images"] == "fail" or 2 * len(corrupt) > count):
        raise StudyError(
            f"datasets.imagenet: {len(corrupt)} of a sample of {count} images cannot be decoded: "
            + "; ".join(corrupt[:3])
        )


def _attempt(image: Encoded, settings: Mapping[str, Any]) -> np.ndarray | StudyError:
    """Return the decoded image, or the error."""
    try:
        with Image.open(io.BytesIO(image.read())) as file:
            if reason := _too_large(file.size, settings["resize"]):
                return StudyError(f"the image {image.name} {reason}")
            decoded = file.convert("RGB")
    except UnidentifiedImageError:
        return StudyError(f"the image {image.name} cannot be decoded: it is none")
    # Pillow raises errors of many types for a damaged image.
    except Exception as error:
        return StudyError(f"the image {image.name} cannot be decoded: {error}")
    return cropped(decoded, settings["resize"], settings["size"])


def _too_large(size: tuple[int, int], resize: int) -> str | None:
    """Return the reason if an image of this width and height takes too much memory."""
    short, long = min(size), max(size)
    for stage, pixels in (("", short * long), ("resized ", resize * resize * long // short)):
        if pixels > LARGEST_IMAGE:
            return (
                f"of {size[0]}x{size[1]} pixels has {stage}{pixels / 1e6:.0f} megapixels; "
                f"allowed: at most {LARGEST_IMAGE / 1e6:.0f}"
            )
    return None


def cropped(image: Image.Image, resize: int, size: int) -> np.ndarray:
    """Return the centre crop of the resized image, as torchvision evaluates its weights.

    The pixels equal those of `torchvision.transforms` on a Pillow image: the longer side is
    truncated to an integer, and the offset of the crop is rounded, halves to even. Pillow's
    bilinear filter is antialiased.

    Parameters
    ----------
    image : Image.Image
        An RGB image.
    resize : int
        Pixels of the shorter side after resizing.
    size : int
        Pixels of each side of the crop.

    Returns
    -------
    np.ndarray
        uint8 [size, size, 3].
    """
    short = min(image.size)
    width, height = (int(resize * side / short) for side in image.size)
    left, top = (round((side - size) / 2) for side in (width, height))
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.array(resized.crop((left, top, left + size, top + size)))
