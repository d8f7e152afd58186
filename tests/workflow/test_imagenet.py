"""ImageNet's archives, which the user has, are checked and prepared by a job."""

import numpy as np
import yaml

from dlas import datasets
from tests import tiny_imagenet

DATASET = "results/datasets/imagenet.npz"
LOG = "results/logs/prepare_dataset/imagenet.log"


def test_archives_are_explained_or_prepared(fresh):
    folder = fresh.folder / "data/imagenet"
    settings = tiny_imagenet.archives(folder) | {
        "source": "data/imagenet",
        "corrupt_images": "skip",
        "images_per_class": {"train": 3, "validation": 2, "test": 3},
    }
    overlay = fresh.folder / "overlay.yaml"
    overlay.write_text(yaml.safe_dump({"datasets": {"imagenet": settings}}))
    train, validation = (folder / f"ILSVRC2012_img_{split}.tar" for split in ("train", "val"))
    contents = train.read_bytes(), validation.read_bytes()

    train.write_bytes(contents[1])
    validation.write_bytes(contents[0])
    done = fresh.attempt("--cores", "2", DATASET, config="overlay.yaml")
    assert done.returncode != 0 and "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert "_val_00000003.JPEG and 9 more (those are the validation images)" in lines[0]
    assert "n01484850.tar (those are the training images)" in lines[0]
    assert [*fresh.folder.glob("results/datasets/*")] == []

    train.write_bytes(contents[0])
    validation.write_bytes(contents[1])
    seed = yaml.safe_load((fresh.folder / "config.yaml").read_text())["seed"]
    sound = datasets.prepare("imagenet", settings | {"source": str(folder)}, seed)
    number = np.asarray(sound.test.images)[0, 0, 0, 2] // 29  # of the first image that is used
    images = tiny_imagenet.validation_images()
    truth = zip(images, tiny_imagenet.GROUND_TRUTH, strict=True)
    corrupt = [name for name, of in truth if of == tiny_imagenet.CLASSES[0]][number]
    images[corrupt] = images[corrupt][:-20]
    validation.write_bytes(tiny_imagenet.packed(images))
    said = fresh.snakemake("--cores", "2", DATASET, config="overlay.yaml")
    assert "threads: 2" in said
    found = datasets.load(fresh.folder / DATASET)
    assert [len(getattr(found, name).labels) for name in datasets.SPLITS] == [9, 6, 9]
    log = (fresh.folder / LOG).read_text()
    place = "data/imagenet/ILSVRC2012_img_val.tar"
    assert f"skipped: the image {place}: {corrupt} cannot be decoded: image file is trunc" in log
    assert "corrupt images skipped: 1; others of their classes make 9 all the same" in log
