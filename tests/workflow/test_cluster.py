"""The same study on a cluster: profiles/slurm, a real Slurm, killed jobs and a lost node."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.workflow import slurm
from tests.workflow.comparing import digests, leftovers, table, wait_until
from tests.workflow.project import Project, lack
from tests.workflow.slurm import Cluster

CORES = 2  # of a node
SETTING = ("--slurm-init-seconds-before-status-checks", "2")


@pytest.fixture
def cluster(tmp_path) -> Iterator[Cluster]:
    if lacking := slurm.missing():
        lack(f"Slurm is not on this machine: {', '.join(lacking)}")
    with slurm.cluster(tmp_path / "cluster", CORES) as running:
        yield running


@pytest.fixture
def fresh(fresh: Project) -> Project:
    """A copy of the project whose profile has the nodes' cores, as a user would write it."""
    fresh.edit(
        "profiles/slurm/config.yaml",
        lambda text: re.sub(r"cpus_per_task: [2-9]", f"cpus_per_task: {CORES}", text),
    )
    return fresh


@contextmanager
def submitted(project: Project, cluster: Cluster, *targets: str) -> Iterator[None]:
    """Start the workflow through the profile; it must come to a good end."""
    arguments = ("--profile", "profiles/slurm", *targets, *SETTING)
    with project.started(*arguments, environment=cluster.environment) as process:
        yield
        assert process.wait() == 0, project.printed.read_text()[-5000:]


def node_of(cluster: Cluster, rule: str) -> tuple[str, str]:
    """Wait until a job of a rule runs, and return its number and node."""
    found: list[tuple[str, str]] = []

    def runs() -> bool:
        found[:] = [
            (number, node)
            for number, (node, comment) in cluster.running().items()
            if rule in comment
        ]
        return bool(found)

    wait_until(runs, 1200)
    return found[0]


def test_a_job_that_slurm_kills_begins_again_and_goes_on(fresh: Project, cluster: Cluster) -> None:
    fresh.edit(
        "config/smoke.yaml",
        lambda text: text.replace("      epochs: 1\n", "      epochs: 6\n", 1),
    )
    with submitted(fresh, cluster, "results/compressed/digits_8x8/resnet18/none/summary.json"):
        number, _ = node_of(cluster, "train_model")
        wait_until(lambda: any(fresh.folder.glob("results/resume/digits_8x8/[!.]*.pt")))
        cluster.ask("scancel", number)
    log = fresh.folder / "results/logs/train_model/digits_8x8/resnet18.log"
    assert "training goes on after epoch" in log.read_text()
    assert not leftovers(fresh.folder)


@pytest.mark.cluster
def test_the_study_on_a_cluster_that_loses_a_node_is_that_of_one_machine(
    finished: Project, fresh: Project, cluster: Cluster
) -> None:
    with submitted(fresh, cluster, "all"):
        _, node = node_of(cluster, "libraries")
        cluster.lose(node)
        wait_until(lambda: "State=DOWN" in cluster.ask("scontrol", "show", "node", node))
        cluster.start(node)
    assert digests(fresh.folder) == digests(finished.folder)
    assert table(fresh.folder).equals(table(finished.folder))
    assert "Nothing to be done" in fresh.snakemake("--cores", "1", "all")
