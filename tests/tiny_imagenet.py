"""ILSVRC 2012 in its official forms, with 6 training and 4 validation images."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat
from skimage.data import astronaut, chelsea, coffee

CLASSES = ("n01440764", "n01443537", "n01484850")
IDS = {"n01440764": 3, "n01443537": 1, "n01484850": 2}  # not in the order of the names
PARENT = (4, "n00001740", 3)  # a synset that has children is no class
TRAIN, VALIDATION = 6, 4
FIELDS = (
    "ILSVRC2012_ID",
    "WNID",
    "words",
    "gloss",
    "num_children",
    "children",
    "wordnet_height",
    "num_train_images",
)
# The class of each validation image, in the order of their numbers.
GROUND_TRUTH = [CLASSES[number % len(CLASSES)] for number in (0, 2, 1, 2, 0, 1, 1, 0, 2, 1, 0, 2)]


Picture = Callable[[int, int, int], bytes]


def jpeg(label: int, green: int, number: int) -> bytes:
    """Red is the class, green the split (training 50, validation 200), blue the number."""
    content = io.BytesIO()
    image = Image.new("RGB", (90, 60), (100 * label, green, 30 * number))
    image.save(content, "JPEG", quality=100, subsampling=0)
    return content.getvalue()


def photograph(label: int, green: int, number: int) -> bytes:
    """Each class has a photograph; each image of each split is another part of it."""
    whole = (coffee, astronaut, chelsea)[label]()
    left = 20 * number + green // 2
    content = io.BytesIO()
    Image.fromarray(whole[:260, left : left + 280]).save(content, "JPEG")
    return content.getvalue()


def training_images(picture: Picture = jpeg) -> dict[str, dict[str, bytes]]:
    return {
        name: {f"{name}_{number}.JPEG": picture(label, 50, number) for number in range(TRAIN)}
        for label, name in enumerate(CLASSES)
    }


def validation_images(picture: Picture = jpeg) -> dict[str, bytes]:
    found, numbers = {}, dict.fromkeys(CLASSES, 0)
    for number, name in enumerate(GROUND_TRUTH, 1):
        content = picture(CLASSES.index(name), 200, numbers[name])
        found[f"ILSVRC2012_val_{number:08}.JPEG"] = content
        numbers[name] += 1
    return found


def settings(root: Path) -> dict[str, object]:
    return {
        "source": str(root),
        "classes": len(CLASSES),
        "images_per_class": {"train": 3, "validation": 2, "test": 4},
        "corrupt_images": "fail",
        "resize": 32,
        "size": 28,
    }


def folders(root: Path) -> dict[str, object]:
    """Make the usual tree of folders and return the settings of a data set in it."""
    for name, images in training_images().items():
        write(root / "train" / name, images)
    for (file, content), name in zip(validation_images().items(), GROUND_TRUTH, strict=True):
        write(root / "val" / name, {file: content})
    return settings(root)


def write(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def archives(root: Path, picture: Picture = jpeg) -> dict[str, object]:
    """Make the three official archives and return the settings of a data set in them."""
    root.mkdir(parents=True, exist_ok=True)
    inner = {f"{name}.tar": packed(images) for name, images in training_images(picture).items()}
    (root / "ILSVRC2012_img_train.tar").write_bytes(packed(inner))
    # Their order in the archive is not that of their numbers.
    images = dict(reversed(validation_images(picture).items()))
    (root / "ILSVRC2012_img_val.tar").write_bytes(packed(images))
    devkit(root)
    return settings(root)


def devkit(root: Path, meta: bytes | None = None, truth: list[int] | None = None) -> None:
    """Make the devkit, with another content of meta.mat or other lines of the ground truth."""
    lines = [IDS[name] for name in GROUND_TRUTH] if truth is None else truth
    files = {
        "meta.mat": synsets() if meta is None else meta,
        "ILSVRC2012_validation_ground_truth.txt": "".join(f"{line}\n" for line in lines).encode(),
    }
    content = packed(
        {f"ILSVRC2012_devkit_t12/data/{name}": file for name, file in files.items()}, "w:gz"
    )
    (root / "ILSVRC2012_devkit_t12.tar.gz").write_bytes(content)


def synsets(name: str = "synsets", leaves: bool = True) -> bytes:
    """Return meta.mat: a column of records, whose numbers and texts are matrices of their own."""
    rows = [(number, wordnet, 0) for wordnet, number in IDS.items()] if leaves else []
    records = np.empty((len(rows) + 1, 1), [(field, object) for field in FIELDS])
    for record, (number, wordnet, children) in zip(records, [*sorted(rows), PARENT], strict=True):
        numbers = np.arange(1.0, children + 1)
        images = 0.0 if children else float(TRAIN)
        record[0] = (float(number), wordnet, "a, b", "of", float(children), numbers, 0.0, images)
    content = io.BytesIO()
    savemat(content, {name: records})
    return content.getvalue()


def packed(files: dict[str, bytes], mode: str = "w:") -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=mode) as written:
        for name, file in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(file)
            written.addfile(entry, io.BytesIO(file))
    return content.getvalue()
