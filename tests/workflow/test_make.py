"""`make`: its list of targets, and one line for input that is wrong or missing."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workflow.project import ROOT, copy

MAKEFILE = (ROOT / "Makefile").read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project whose environment is that of this process, in which nothing has run."""
    project = copy(ROOT, tmp_path_factory.mktemp("make") / "study").folder
    shutil.copy2(ROOT / "Makefile", project)
    python = project / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (project / "list.yaml").write_text("[1\n")
    (project / "value.yaml").write_text("seed: x\n")
    (project / "folder.yaml").mkdir()
    return project


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make in a project whose environment is taken as it is."""
    there = ("--old-file=.venv/study", "--old-file=.venv/test")
    command = ("make", "--no-print-directory", *there, *arguments)
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


def targets() -> set[str]:
    """Return the targets that the rules of the Makefile make, but for files."""
    return set(re.findall(r"^([a-z][a-z-]*):(?!=)", MAKEFILE, re.MULTILINE))


def test_help_lists_each_target_once_and_nothing_of_the_rules(folder):
    printed = make(folder, "help").stdout
    assert printed == make(folder).stdout
    listed = re.findall(r"^  ([a-z-]+)  ", printed, re.MULTILINE)
    assert sorted(listed) == sorted(targets() - {"help"})
    assert "#" not in printed and "$" not in printed
    assert all(len(line) <= 100 for line in printed.splitlines())


WRONG = [
    ("study CORES=0", "CORES is '0'; allowed: all or an integer of at least 1"),
    ("estimate CORES=x", "CORES is 'x'; allowed: all or"),
    ("study CORES=it's", "CORES is 'it's'; allowed: all or"),
    ("study CONFIG=none.yaml", "CONFIG: none.yaml does not exist or is a folder; allowed: files"),
    ("study CONFIG=folder.yaml", "CONFIG: folder.yaml does not exist or is a folder"),
    ("study CONFIG=list.yaml", "config: list.yaml is not YAML: "),
    ("study CONFIG=value.yaml", "config: seed is 'x'; must be an integer"),
    ("report CONFIG=value.yaml", "config: seed is 'x'; must be an integer"),
    ("report", "error: results/study.csv does not exist; allowed: after make study"),
    ("explore", "error: results/study.csv does not exist; allowed: after make study"),
    ("bundle NAME=mine", "error: results/study.csv does not exist; allowed: after make study"),
    ("bundle", "NAME is ''; allowed: lower-case letters"),
    ("bundle NAME=../mine", "NAME is '../mine'; allowed: lower-case letters"),
    ("check-plugin KIND=primitive", "NAME is ''; allowed: lower-case letters"),
    ("check-plugin NAME=fft KIND=kernel", "KIND is 'kernel'; allowed: dataset"),
    ("study plots", "unknown target plots; known: help demo study "),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG)
def test_what_is_wrong_or_missing_is_said_in_one_line_before_any_job(folder, arguments, said):
    done = make(folder, *arguments.split())
    assert done.returncode != 0 and "Traceback" not in done.stderr
    # The other line is make's own, which names the target.
    lines = [line for line in done.stderr.splitlines() if not re.search(r"\*\*\* \[", line)]
    assert len(lines) == 1 and said in lines[0], done.stderr
    assert not (folder / "results").exists() and not (folder / ".snakemake").exists()


def test_the_demo_ends_with_a_result_and_a_figure_and_leaves_the_study_alone(folder):
    done = make(folder, "demo", "CORES=2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\[(\d+)/\1\] ", done.stderr, re.MULTILINE)
    fastest, gains = done.stderr.splitlines()[-2:]
    pattern = (
        r"local_cpu, digits: fastest with a top-1 of at least 90 %: resnet18 .*, \S+ ms, 9\S+ %"
    )
    assert re.fullmatch(pattern, fastest) and " times by the compression" in gains
    figure = Path(done.stdout.splitlines()[-1])
    assert figure == folder / "demo/plots/latency.png" and figure.stat().st_size > 10_000
    assert not (folder / "results").exists() and not (folder / "plots").exists()
