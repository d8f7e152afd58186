"""The calls of the README, on the study's own configs, as plans."""

import subprocess
from collections import Counter

from dlas import study
from tests.workflow.chains import BUILD, alone, starting, together
from tests.workflow.project import ROOT


def test_the_papers_grid_is_planned(fresh):
    """All of it on boards; the networks of ImageNet are published ones."""
    config = study.load(ROOT / "config/paper.yaml")
    jobs = fresh.plan(config="config/paper.yaml")
    rules = {name.split()[0] for name in jobs}
    trained = {"train_model dataset=cifar10 model=" + one for one in config.study.models["cifar10"]}
    assert {name for name in jobs if name.startswith("train_model")} == trained
    assert {"download_archive", "download_weights", "load_weights"} <= rules
    enumerated = alone("compress_model", "choose_level", "import_network", BUILD)(config)
    for rule in ("tune_network", "check_libraries", "time_libraries"):
        enumerated |= {name.replace(rule, f"{rule}_remotely") for name in alone(rule)(config)}
    others = {name.split()[0] for name in jobs - enumerated}
    assert enumerated <= jobs and not others & {name.split()[0] for name in enumerated}
    # Both searches are for every configuration.
    ways = Counter(one.tuning for one in study.configurations(config))
    assert ways["autotuned"] == ways["auto_scheduled"] == ways["untuned"] > ways["unscheduled"] > 0


def test_one_figure_can_be_asked_for(fresh):
    jobs = fresh.planned("plots/observation_07.pdf", config=None)
    assert jobs["assess_observation"] == jobs["draw_observation"] == 1
    others = {rule for rule in jobs if rule.startswith(("draw_", "tabulate_", "recommend"))}
    assert others == {"draw_observation", "tabulate_study", "tabulate_curves", "tabulate_answers"}


def test_the_embedded_study_is_planned_as_it_is_enumerated(fresh):
    config = study.load()
    jobs = fresh.plan("--cores", "8", "all", config=None)
    assert jobs == together(starting("prepare_dataset"), starting("resolve_target"))(config)
    # Both platforms, and each technique and form of one model with every primitive.
    assert alone("probe_platform", platform=("local_cpu", "local_cpu_avx2"))(config) <= jobs
    tuned = study.tuned_choices(config)
    assert {one["primitive"] for one in tuned} == set(config.study.primitives)
    assert {one["compression"] for one in tuned} == set(config.study.compression)


def test_without_peers_nothing_is_exported(fresh):
    (fresh.folder / "overlay.yaml").write_text("study: {peers: []}")
    assert "export_network" not in fresh.planned(config="overlay.yaml")


def test_make_takes_a_config_and_a_number_of_cores(fresh):
    """The command that `make study` would run, as a plan."""
    make = ["make", "--dry-run", "study", "CONFIG=config/smoke.yaml", "CORES=1"]
    printed = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    python, module, snakemake, *arguments = printed.splitlines()[-1].split()
    assert (python, module, snakemake) == (".venv/bin/python", "-m", "snakemake")
    assert "1" in arguments
    assert fresh.planned(*arguments, config=None)["train_model"] == 2


def test_a_dry_run_makes_nothing(fresh):
    fresh.planned()
    assert not (fresh.folder / "results").exists()
