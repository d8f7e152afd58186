"""The calls of the README, on the study's own configs, as plans."""

import time

from dlas import study


def test_the_papers_grid_is_planned_within_half_a_minute(fresh):
    start = time.perf_counter()
    jobs = fresh.planned(config="config/paper.yaml")
    assert time.perf_counter() - start < 30
    assert jobs["train_model"] == jobs["import_network"] == 8
    assert jobs["prepare_dataset"] == 2


def test_one_figure_can_be_asked_for(fresh):
    jobs = fresh.planned("plots/observation_07.pdf", config=None)
    assert jobs["assess_observation"] == 1
    assert "tabulate_observations" not in jobs


def test_the_embedded_study_takes_both_platforms(fresh):
    jobs = fresh.planned("--cores", "8", "all", config=None)
    assert jobs["probe_platform"] == 2
    assert jobs["train_model"] == 8
    assert jobs["time_libraries"] > jobs["train_model"]
    assert jobs["assess_observation"] == 3


def test_a_dry_run_makes_nothing(fresh):
    fresh.planned()
    assert not (fresh.folder / "results").exists()


def test_the_tree_of_the_stack_is_the_tree_of_the_rules(fresh):
    included = [file.stem for file in (fresh.folder / "rules").glob("*.smk")]
    assert {"datasets", "models", "compiler", "hardware", "analysis", "common"} <= set(included)
    assert study.PATHS["study"] == "results/study.csv"
