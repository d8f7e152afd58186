"""Working copies of the project, and Snakemake's runs and plans in them."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
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


def jobs_of(output: str) -> dict[str, int]:
    """Return how many jobs of each rule a dry run tells."""
    table = re.search(r"^Job stats:\n.*\n[- ]+\n((?:.+\n)+)", output, re.MULTILINE)
    if table is None:
        assert "Nothing to be done" in output, output
        return {}
    jobs = dict(line.split() for line in table[1].splitlines())
    return {rule: int(count) for rule, count in jobs.items() if rule not in ("total", "all")}


def lack(reason: str) -> None:
    """End a test for lack of a program: it fails in CI, where all are installed, and is skipped elsewhere."""
    pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
