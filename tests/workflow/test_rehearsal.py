"""The paper's study with its networks, sizes and archives, but less data and no search."""

import subprocess
import sys

import pandas as pd
import pytest
import yaml

from tests import tiny_cifar10, tiny_imagenet
from tests.workflow.chains import BUILD
from tests.workflow.project import Project

CONFIGS = ("--configfile", "config/paper.yaml", "config/rehearsal.yaml")


def test_it_is_the_papers_grid(fresh: Project) -> None:
    overlay = fresh.folder / "local.yaml"
    overlay.write_text("study: {platforms: [local_cpu]}")
    papers = fresh.planned("--configfile", "config/paper.yaml", "local.yaml", config=None)
    rehearsed = fresh.planned(*CONFIGS, config=None)
    downloads = {"download_archive", "download_weights", "load_weights"}
    # More are trained, fewer are tuned.
    same = papers.keys() - downloads - {"train_model", "tune_network", BUILD}
    assert {rule: papers[rule] for rule in same} == {rule: rehearsed[rule] for rule in same}
    assert rehearsed["train_model"] == rehearsed["export_network"]


@pytest.mark.rehearsal
def test_every_configuration_runs_end_to_end(fresh: Project) -> None:
    data = fresh.folder / "data"
    tiny_imagenet.archives(data / "imagenet", tiny_imagenet.photograph)
    tiny_cifar10.archive(data / "cifar-10-binary.tar.gz", tiny_cifar10.official_files())
    # Its progress is shown.
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "all", *CONFIGS]
    assert subprocess.run(command, cwd=fresh.folder).returncode == 0
    study = pd.read_csv(fresh.folder / "results/study.csv")
    assert set(study.dataset) == {"cifar10", "imagenet"} and study.model.nunique() == 7
    assert set(study.status) <= {"ok", "widened"}
    paper = yaml.safe_load((fresh.folder / "config/paper.yaml").read_text())
    levels = paper["compression"]["techniques"]["weight_pruning"]["levels"]
    assert set(study.level[study.compression == "weight_pruning"]) == {max(levels)}
    assert len([*fresh.folder.glob("plots/observation_*.pdf")]) == 15
