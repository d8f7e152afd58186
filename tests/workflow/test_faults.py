"""A killed study resumes to the same end; two at once do not disturb one another."""

from subprocess import TimeoutExpired

import numpy as np
import pytest

from tests.workflow.comparing import digests, leftovers, table, wait_until
from tests.workflow.project import Project

CORES = ("--cores", "2")


def test_a_training_whose_workflow_is_killed_goes_on_to_the_same_network(fresh: Project) -> None:
    target = "results/models/digits_8x8/resnet18/checkpoint.safetensors"
    fresh.edit(
        "config/smoke.yaml",
        lambda text: text.replace("      epochs: 1\n", "      epochs: 6\n", 1),
    )
    kept = fresh.folder / "results/resume/digits_8x8"

    def last_kept() -> int:
        return max((file.stat().st_mtime_ns for file in kept.glob("[!.]*.pt")), default=0)

    for _ in range(2):
        before = last_kept()
        with fresh.started(*CORES, target):
            wait_until(lambda before=before: last_kept() > before)
        assert not (fresh.folder / target).exists()
    fresh.snakemake(*CORES, target)
    log = fresh.folder / "results/logs/train_model/digits_8x8/resnet18.log"
    assert "training goes on after epoch" in log.read_text()
    alone = fresh.folder / target
    content = alone.read_bytes()
    alone.unlink()
    fresh.snakemake(*CORES, target)
    same = alone.read_bytes() == content  # a name of its own: pytest would print both
    assert same and not leftovers(fresh.folder)


def test_of_two_workflows_at_once_the_second_says_so_and_disturbs_nothing(fresh: Project) -> None:
    target = "results/models/digits_8x8/resnet18/checkpoint.safetensors"
    locks = fresh.folder / ".snakemake/locks"
    with fresh.started(*CORES, target) as first:
        wait_until(lambda: any(locks.glob("*.lock")))
        second = fresh.attempt("--cores", "1", target)
        assert second.returncode and "cannot be locked" in second.stdout + second.stderr
        assert first.wait(300) == 0
    assert (fresh.folder / target).exists()


@pytest.mark.faults
def test_twenty_kills_at_random_moments_lose_nothing(finished: Project, fresh: Project) -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        # It must be running still when it is killed at the end of the block.
        with fresh.started(*CORES, "all") as process, pytest.raises(TimeoutExpired):
            process.wait(random.uniform(3, 9))
    fresh.snakemake(*CORES, "all")
    assert digests(fresh.folder) == digests(finished.folder)
    assert table(fresh.folder).equals(table(finished.folder))
    assert not leftovers(fresh.folder)
    assert "Nothing to be done" in fresh.snakemake("--cores", "1", "all")
