"""The smoke study, run once for real, and copies of the project."""

import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from tests.workflow.project import ROOT, Project, copy


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Project:
    """The project after `snakemake all` on config/smoke.yaml, run once for all workers.

    It must not be changed.
    """
    base = tmp_path_factory.getbasetemp()
    project = Project((base if worker_id == "master" else base.parent) / "smoke/study")
    done = project.folder.with_name("done")
    with FileLock(f"{project.folder.parent}.lock"):
        if not done.exists():
            copy(ROOT, project.folder).snakemake("--cores", "2", "all")
            done.touch()
    return project


@pytest.fixture
def study(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished project, to be changed at will."""
    project = copy(finished.folder, tmp_path / "study")
    for part in ("results", "plots", ".snakemake/metadata"):
        shutil.copytree(finished.folder / part, project.folder / part)
    return project


@pytest.fixture
def fresh(tmp_path: Path) -> Project:
    """A copy of the project in which nothing has run."""
    return copy(ROOT, tmp_path / "study")
