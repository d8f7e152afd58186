"""The paper's study on this machine: its networks, image sizes and archives' forms, only less data and no search."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import tiny_cifar10
import tiny_imagenet
import torch
import yaml
from conftest import Project
from torch import nn

from dlas import models

CONFIGS = ("--configfile", "config/paper.yaml", "config/rehearsal.yaml")
WEIGHTS = [
    f"data/weights/{name}.pth"
    for name in ("resnet50", "densenet161", "efficientnet_b0", "mobilenet_v2")
]


def make_weights(file: Path) -> None:
    """Write random weights in torchvision's form, with the statistics of normalizations that activations have.

    With those that a network starts with, activations of deep ones leave the range of float16.
    """
    torch.manual_seed(0)
    model = models.build(file.stem, len(tiny_imagenet.CLASSES), 1.0, "large_input")
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the mean of all batches
    # Each image of the archives is of one colour.
    colours = [
        [100 * label, green, 30 * number]
        for label, _ in enumerate(tiny_imagenet.CLASSES)
        for green in (50, 200)
        for number in range(tiny_imagenet.VALIDATION)
    ]
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    pixels = (torch.tensor(colours) / 255 - mean) / deviation
    with torch.no_grad():
        model.train()(pixels[:, :, None, None].expand(-1, 3, 224, 224))
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), file)


def test_it_is_the_papers_grid(fresh: Project) -> None:
    overlay = fresh.folder / "local.yaml"
    overlay.write_text("study: {platforms: [local_cpu]}")
    for name in WEIGHTS:
        (fresh.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (fresh.folder / name).touch()
    papers = fresh.planned("--configfile", "config/paper.yaml", "local.yaml", config=None)
    rehearsed = fresh.planned(*CONFIGS, config=None)
    downloads = {"download_archive", "download_weights"}
    fewer = {"total", "tune_network", "build_library"}  # are auto-scheduled
    same = papers.keys() - downloads - fewer
    assert {rule: papers[rule] for rule in same} == {rule: rehearsed[rule] for rule in same}


@pytest.mark.rehearsal
def test_every_configuration_runs_end_to_end(fresh: Project) -> None:
    data = fresh.folder / "data"
    tiny_imagenet.archives(data / "imagenet")
    tiny_cifar10.archive(data / "cifar-10-binary.tar.gz", tiny_cifar10.official_files())
    for name in WEIGHTS:
        make_weights(fresh.folder / name)
    # Its progress is shown.
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "all", *CONFIGS]
    assert subprocess.run(command, cwd=fresh.folder).returncode == 0
    study = pd.read_csv(fresh.folder / "results/study.csv")
    assert set(study.dataset) == {"cifar10", "imagenet"} and study.model.nunique() == 7
    assert set(study.status) <= {"ok", "emulated"}
    paper = yaml.safe_load((fresh.folder / "config/paper.yaml").read_text())
    levels = paper["compression"]["techniques"]["weight_pruning"]["levels"]
    assert set(study.level[study.compression == "weight_pruning"]) == {max(levels)}
    assert len([*fresh.folder.glob("plots/observation_*.pdf")]) == 13
