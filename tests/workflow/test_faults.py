"""A study that is killed at any moment goes on to the same end; two at once do not disturb one another."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from tests.workflow.comparing import digests, leftovers, table, wait_until
from tests.workflow.project import Project

SETTING = ("--configfile", "config/smoke.yaml")


@contextmanager
def started(project: Project, *targets: str) -> Iterator[subprocess.Popen[str]]:
    """Start the workflow as the leader of a group of processes, which ends with the block.

    What is still running then is killed, and the folder unlocked, as a user must do.
    """
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *targets, *SETTING]
    process = subprocess.Popen(
        command,
        cwd=project.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        killed = process.poll() is None
        if killed:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if killed:
            project.snakemake("--unlock")


def killed(project: Project, seconds: float, *targets: str) -> bool:
    """Start the workflow and kill all its processes after so long; return whether it was still running."""
    with started(project, *targets) as process:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            return True
    return False


def test_a_training_whose_workflow_is_killed_goes_on_to_the_same_network(fresh: Project) -> None:
    target = "results/models/digits/resnet18/checkpoint.safetensors"
    fresh.edit(
        "config/smoke.yaml",
        lambda text: text.replace("digits: {epochs: 1}", "digits: {epochs: 6}", 1),
    )
    kept = fresh.folder / "results/unfinished/digits"

    def last_kept() -> int:
        return max((file.stat().st_mtime_ns for file in kept.glob("[!.]*.pt")), default=0)

    for _ in range(2):
        before = last_kept()
        with started(fresh, target):
            wait_until(lambda before=before: last_kept() > before)
        assert not (fresh.folder / target).exists()
    fresh.snakemake("--cores", "2", target)
    log = fresh.folder / "results/logs/train_model/digits/resnet18.log"
    assert "training goes on after epoch" in log.read_text()
    alone = fresh.folder / target
    content = alone.read_bytes()
    alone.unlink()
    fresh.snakemake("--cores", "2", target)
    same = alone.read_bytes() == content  # a name of its own: pytest would print both
    assert same and not leftovers(fresh.folder)


def test_of_two_workflows_at_once_the_second_says_so_and_disturbs_nothing(fresh: Project) -> None:
    target = "results/models/digits/resnet18/checkpoint.safetensors"
    locks = fresh.folder / ".snakemake/locks"
    with started(fresh, target) as first:
        wait_until(lambda: any(locks.glob("*.lock")))
        second = fresh.attempt("--cores", "1", target)
        assert second.returncode and "cannot be locked" in second.stdout + second.stderr
        assert first.wait(300) == 0
    assert (fresh.folder / target).exists()


@pytest.mark.faults
def test_twenty_kills_at_random_moments_lose_nothing(finished: Project, fresh: Project) -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        assert killed(fresh, random.uniform(4, 25), "all"), "the study ended before the last kill"
    fresh.snakemake("--cores", "2", "all")
    assert digests(fresh.folder) == digests(finished.folder)
    assert table(fresh.folder).equals(table(finished.folder))
    assert not leftovers(fresh.folder)
    assert "Nothing to be done" in fresh.snakemake("--cores", "1", "all")
