"""Working copies of the project, and Snakemake's runs and plans in them."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from dlas import study

ROOT = Path(__file__).parents[2]
PARTS = (
    "Snakefile",
    "config.yaml",
    "config",
    "rules",
    "workflow",
    "dlas",
    "snakemake_logger_plugin_dlas",
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
        command = _command(*arguments, config=config)
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True)

    @contextmanager
    def started(
        self,
        *arguments: str,
        config: str = "config/smoke.yaml",
        environment: Mapping[str, str] | None = None,
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Start Snakemake, which prints to `self.printed`; end it with the block.

        If it still runs then, all its processes are killed and the folder is unlocked, as a user
        must do.
        """
        command = _command(*arguments, config=config)
        with open(self.printed, "w") as stream:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
                # As from a terminal: what runs in the background ignores these.
                preexec_fn=_heed_interrupts,
            )
        try:
            yield process
        finally:
            if killed := process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if killed:
                self.snakemake("--unlock", config=config)

    @property
    def printed(self) -> Path:
        """What the last started Snakemake printed."""
        return self.folder / "printed.log"

    def report(self) -> Path:
        """Make the report, as `make report` does, and return its file."""
        style = ("--report-stylesheet", "report/report.css")
        self.snakemake("--report", "report.html", *style)
        return self.folder / "report.html"

    def plan(self, *arguments: str, config: str | None = "config/smoke.yaml") -> set[str]:
        """Return the jobs that Snakemake would run."""
        return jobs_of(self.snakemake("--dry-run", *arguments, config=config))

    def planned(self, *arguments: str, config: str | None = "config/smoke.yaml") -> dict[str, int]:
        """Return how many jobs of each rule Snakemake would run."""
        return dict(Counter(job.split()[0] for job in self.plan(*arguments, config=config)))

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
            if file.is_file() and not {"logs", "provenance"} & {*file.parts}
        }


def _heed_interrupts() -> None:
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def _command(*arguments: str, config: str | None) -> list[str]:
    overlay = ["--configfile", config] if config else []
    return [sys.executable, "-m", "snakemake", *arguments, *overlay]


def copy(source: Path, target: Path) -> Project:
    for part in PARTS:
        if (source / part).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source / part, target / part, ignore=ignored)
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / part, target / part)
    return Project(target)


def jobs_of(output: str) -> set[str]:
    """Return a dry run's jobs in the words of `job`, without the last, which only has targets."""
    found = set()
    for block in re.split(r"\n(?=(?:local)?rule )", output):
        if (rule := re.match(r"(?:local)?rule (\w+):\n", block)) and rule[1] != "all":
            wildcards = re.search(r"^    wildcards: (.*)$", block, re.MULTILINE)
            found.add(
                job(rule[1], dict(re.findall(r"(\w+)=([^,]+)", wildcards[1] if wildcards else "")))
            )
    assert found or "Nothing to be done" in output, output
    return found


def job(rule: str, wildcards: Mapping[str, str]) -> str:
    """Return a job's name: its rule and wildcards."""
    return " ".join([rule, *(f"{name}={wildcards[name]}" for name in sorted(wildcards))])


def smoke_config(folder: Path = ROOT) -> study.Config:
    """Return the config of the smoke study, as a project has it."""
    files = (folder / "config.yaml", folder / "config/smoke.yaml")
    return study.load(*(yaml.safe_load(file.read_text()) for file in files))


def lack(reason: str) -> None:
    """End a test for lack of a program: fail in CI, where all are installed; skip elsewhere."""
    pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
