"""A copy of the project in which the smoke study is run once, for real."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

sys.path.insert(0, str(Path(__file__).parent))  # for what the tests share

from planning import ROOT, jobs_of


def lack(reason: str) -> None:
    """End a test for lack of a program: it fails in CI, where all are installed, and is skipped elsewhere."""
    pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)


PARTS = (
    "Snakefile",
    "config.yaml",
    "config",
    "rules",
    "workflow",
    "dlas",
    "envs",
    "profiles",
    "report",
)


@dataclass(frozen=True)
class Project:
    """A working copy of the project."""

    folder: Path

    def snakemake(self, *arguments: str, config: str | None = "config/smoke.yaml") -> str:
        """Run Snakemake to a good end and return what it printed."""
        done = self.attempt(*arguments, config=config)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def attempt(
        self, *arguments: str, config: str | None = "config/smoke.yaml"
    ) -> subprocess.CompletedProcess[str]:
        """Run Snakemake, whatever comes of it."""
        overlay = ["--configfile", config] if config else []
        command = [sys.executable, "-m", "snakemake", *arguments, *overlay]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True)

    def report(self) -> Path:
        """Make the report, as `make report` does, and return its file."""
        style = ("--report-stylesheet", "report/report.css")
        self.snakemake("--report", "report.html", *style)
        return self.folder / "report.html"

    def planned(self, *arguments: str, config: str | None = "config/smoke.yaml") -> dict[str, int]:
        """Return how many jobs of each rule Snakemake would run."""
        return jobs_of(self.snakemake("--dry-run", *arguments, config=config))

    def edit(self, name: str, change: Callable[[str], str]) -> None:
        """Change the text of a file, for certain."""
        file = self.folder / name
        before = file.read_text()
        after = change(before)
        assert after != before
        file.write_text(after)

    def artifacts(self) -> dict[str, tuple[int, int]]:
        """Return the time stamp and size of every finished artifact."""
        files = [*self.folder.glob("results/**/*"), *self.folder.glob("plots/*")]
        return {
            str(file.relative_to(self.folder)): (file.stat().st_mtime_ns, file.stat().st_size)
            for file in files
            if file.is_file() and "logs" not in file.parts
        }


def copy(source: Path, target: Path) -> Project:
    for part in PARTS:
        if (source / part).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source / part, target / part, ignore=ignored)
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / part, target / part)
    return Project(target)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Project:
    """The project after `snakemake all` on config/smoke.yaml, run once for all workers. It must not be changed."""
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
