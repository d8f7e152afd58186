"""The calls of the README, on the study's own configs, as plans."""

import subprocess
from pathlib import Path

from dlas import study

ROOT = Path(__file__).parents[2]


def test_the_papers_grid_is_planned(fresh):
    jobs = fresh.planned(config="config/paper.yaml")
    assert jobs["train_model"] == 4  # of CIFAR-10; those of ImageNet are published
    assert jobs["download_weights"] == jobs["load_weights"] == 4
    assert jobs["compress_model"] == 8 * (1 + 6 + 7 + 1 + 1)  # none, both ladders, float16, int8
    assert jobs["choose_level"] == jobs["import_network"] == 8 * 5
    assert jobs["prepare_dataset"] == 2
    assert jobs["download_archive"] == 1
    # Four platforms and three primitives of each network, the sparse one in both formats: all are auto-scheduled.
    assert jobs["tune_network_remotely"] == 8 * 4 * 3 * (5 + 1)
    assert jobs["build_library"] == 2 * jobs["tune_network_remotely"]
    assert jobs["time_libraries_remotely"] == 8 * 4


def test_one_figure_can_be_asked_for(fresh):
    jobs = fresh.planned("plots/observation_07.pdf", config=None)
    assert jobs["assess_observation"] == jobs["draw_observation"] == 1
    others = {rule for rule in jobs if rule.startswith(("draw_", "tabulate_", "recommend"))}
    assert others == {"draw_observation", "tabulate_study", "tabulate_curves"}


def test_the_embedded_study_takes_both_platforms(fresh):
    jobs = fresh.planned("--cores", "8", "all", config=None)
    assert jobs["probe_platform"] == 2
    assert jobs["train_model"] == 8
    assert jobs["time_libraries"] > jobs["train_model"]
    assert jobs["assess_observation"] == 13
    # One model with every primitive and form, on one platform; with every primitive on the other, and so another model
    # on the first, which in every other form has one.
    assert jobs["tune_network"] == 3 * (5 + 1) + 3 + 3 + 5


def test_without_peers_nothing_is_exported(fresh):
    (fresh.folder / "overlay.yaml").write_text("study: {peers: []}")
    assert "export_network" not in fresh.planned(config="overlay.yaml")


def test_make_takes_a_config_and_a_number_of_cores(fresh):
    """The command that `make study` would run, as a plan."""
    make = ["make", "--dry-run", "study", "CONFIG=config/smoke.yaml", "CORES=1"]
    printed = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    snakemake, *arguments = printed.splitlines()[-1].split()
    assert snakemake == ".venv/bin/snakemake" and "1" in arguments
    assert fresh.planned(*arguments, config=None)["train_model"] == 2


def test_a_dry_run_makes_nothing(fresh):
    fresh.planned()
    assert not (fresh.folder / "results").exists()


def test_the_tree_of_the_stack_is_the_tree_of_the_rules(fresh):
    included = [file.stem for file in (fresh.folder / "rules").glob("*.smk")]
    layers = {"datasets", "models", "compression", "compiler", "hardware", "analysis"}
    assert layers <= set(included)
    assert study.PATHS["study"] == "results/study.csv"
