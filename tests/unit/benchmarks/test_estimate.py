"""The estimate of a study: the workflow's jobs, stages that follow the config, the report."""

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.estimate import __main__ as command
from benchmarks.estimate import demand, report
from benchmarks.estimate.rates import (
    STARTED,
    Code,
    NetworkRates,
    Rates,
    Technique,
    measure_network,
    measure_start,
)
from benchmarks.estimate.stages import (
    Finished,
    Inputs,
    candidates,
    dominating,
    stages,
    total,
)
from dlas import registry, study
from dlas.errors import StudyError

ROOT = Path(__file__).parents[3]
HERE = {"study": {"platforms": ["local_cpu", "local_cpu_avx2"]}}  # jobs on boards are not timed
SMOKE = study.load(ROOT / "config/smoke.yaml")


def changed(key, value):
    """The paper's config with another value at a dotted key."""
    for part in reversed(key.split(".")):
        value = {part: value}
    return study.load(ROOT / "config/paper.yaml", HERE, value)


PAPER = changed("seed", 0)
SECOND = Code(build_layer=0.1, mac=1e-9, mac_all_cores=5e-10, layer_bytes=1e4)


@pytest.fixture(scope="module")
def networks():
    return demand.networks(PAPER)


@pytest.fixture(scope="module")
def rates(networks):
    """Round numbers in place of a machine."""
    codes = {
        f"{primitive}-{format_}": SECOND
        for primitive in PAPER.study.primitives
        for format_ in registry.names("format")
    }
    techniques = {"float16": Technique(1, 0, 0.02), "int8": Technique(2, 0.05, 0.03)}
    return Rates(
        cores=4,
        start=dict.fromkeys(STARTED, 1.0),
        start_bytes=dict.fromkeys(STARTED, 1e8),
        networks={name: NetworkRates(0.03, 0.01, techniques) for name in networks},
        codes={"dense": codes, "depthwise": codes},
        import_layer=0.1,
        export_layer=0.1,
        candidate={"autotuned": 0.5, "auto_scheduled": 1.0},
        record_bytes={"autotuned": 1e3, "auto_scheduled": 4e3},
        image=0.01,
        measured_on={"dense": "cifar10/vgg16", "depthwise": "cifar10/mobilenet_v1"},
    )


def estimated(config, networks, rates, **others):
    inputs = Inputs(config, networks, rates, Finished(), **others)
    return {stage.rule: stage for stage in stages(inputs, demand.jobs(config))}


@pytest.mark.parametrize("overlay", [None, "config/paper.yaml", "config/smoke.yaml"])
def test_jobs_are_those_that_the_study_enumerates(overlay):
    config = study.load(*([ROOT / overlay] if overlay else []))
    jobs = demand.jobs(config)
    configurations = study.configurations(config)
    paths = {study.path("tuning", **one) for one in study.tuning_jobs(config)}
    assert {study.path("tuning", **job) for job in jobs["tune_network"]} == paths
    for name, rule in (("builds", "build_libraries"), ("check", "check_libraries")):
        paths = Counter(study.path(name, **job) for job in jobs[rule])
        assert paths == Counter(set(study.artifacts(name, configurations)))
    weights = set(study.pairs(config)) & set(study.untrained(config))
    assert {(job["dataset"], job["model"]) for job in jobs["load_weights"]} == weights
    assert len(jobs["train_model"]) + len(weights) == len(study.pairs(config))
    timings = {entry["files"]["timing"] for entry in study.row_files(config)}
    assert {study.path("timing", **job) for job in jobs["time_libraries"]} == timings


def test_jobs_are_those_of_a_dry_run():
    dry_run = [sys.executable, "-m", "snakemake", "--dry-run", "--forceall", "--quiet", "rules"]
    dry_run += ["--configfile", "config/smoke.yaml", "--nolock"]
    done = subprocess.run(dry_run, cwd=ROOT, capture_output=True, text=True, check=True)
    lines = (line.split() for line in (done.stdout + done.stderr).splitlines())
    planned = {line[0]: int(line[1]) for line in lines if len(line) == 2 and line[1].isdecimal()}
    counted = {rule: len(jobs) for rule, jobs in demand.jobs(SMOKE).items() if jobs}
    assert counted == {
        rule: count for rule, count in planned.items() if rule not in ("all", "total")
    }


def test_images_of_data_that_is_not_on_disk(networks):
    images = networks["imagenet/resnet50"].images
    assert (images.train, images.validation, images.test) == (100_000, 10_000, 50_000)
    images = networks["cifar10/vgg16"].images
    assert (images.train, images.validation, images.test) == (45_000, 5000, 10_000)


def test_images_of_embedded_data_are_those_that_are_cut():
    images = demand.images(SMOKE, "digits_8x8")
    assert (images.total, images.classes, images.size) == (1797, 10, 32)


def test_networks_have_their_published_size(networks):
    """torchvision: ResNet50 25557032 parameters and 4.09e9 MACs, MobileNetV2 3504872."""
    resnet50 = networks["imagenet/resnet50"]
    assert resnet50.parameters == 25_557_032
    assert resnet50.macs == pytest.approx(4.09e9, rel=0.01)
    assert (resnet50.kind, resnet50.layers) == ("dense", 54)
    assert networks["imagenet/mobilenet_v2"].parameters == 3_504_872
    assert networks["imagenet/mobilenet_v2"].kind == "depthwise"


def test_twice_the_epochs_take_twice_as_long(networks, rates):
    before = estimated(PAPER, networks, rates)["train_model"]
    models = {"mobilenet_v1": {"epochs": 600}, "mobilenet_v2": {"epochs": 600}}
    twice = {"cifar10": {"epochs": 400, "models": models}, "imagenet": {"epochs": 180}}
    config = changed("models.training", twice)
    after = estimated(config, networks, rates)["train_model"]
    started = before.jobs * rates.start["training"]
    assert after.seconds - started == pytest.approx(2 * (before.seconds - started))


def test_more_levels_are_more_jobs_of_compression_alone(networks, rates):
    key = "compression.techniques.weight_pruning.levels"
    before = estimated(PAPER, networks, rates)
    after = estimated(changed(key, [0.5]), networks, rates)
    assert before["compress_model"].jobs - after["compress_model"].jobs == 5 * len(networks)
    assert after["compress_model"].seconds < before["compress_model"].seconds
    different = {rule for rule in before if before[rule].seconds != after[rule].seconds}
    assert different == {"compress_model"}


def test_tuning_follows_the_trials(networks, rates):
    network = networks["cifar10/vgg16"]

    def trials(layer, whole=1 << 20):
        number = {"layer": layer, "network": whole}
        searches = {"study": {"tuning": ["untuned", "autotuned"]}}
        config = ROOT / "config/paper.yaml"
        return study.load(config, HERE, searches, {"tuning": {"trials": {"autotuned": number}}})

    assert candidates(trials(8), "autotuned", network) == 8 * network.workloads
    assert candidates(trials(64, 20), "autotuned", network) == 20
    assert candidates(trials(8), "best_of", network) == 0
    few, many = (estimated(trials(layer), networks, rates) for layer in (4, 8))
    started = few["tune_network"].jobs * rates.start["compiling"]
    assert many["tune_network"].seconds - started == pytest.approx(
        2 * (few["tune_network"].seconds - started)
    )


def test_more_cores_shorten_what_runs_side_by_side(networks, rates):
    found = estimated(PAPER, networks, rates)
    build, tune = found["build_libraries"], found["tune_network"]
    assert build.wall(4) == pytest.approx(build.seconds / 4)
    assert build.wall(1 << 20) == build.longest
    assert tune.wall(4) == tune.seconds


def test_a_gpu_takes_the_place_of_what_was_measured(networks, rates):
    macs = networks["imagenet/resnet50"].macs
    slow = estimated(PAPER, networks, rates, gpu=100, gpu_macs=macs)["train_model"]
    fast = estimated(PAPER, networks, rates, gpu=1000, gpu_macs=macs)["train_model"]
    assert fast.seconds < slow.seconds / 5
    assert fast.wall(4) == fast.seconds  # there is one


def test_boards_are_counted_and_not_timed(networks, rates):
    config = changed("study.platforms", ["local_cpu", "hikey970_cpu"])
    found = estimated(config, networks, rates)
    assert found["time_libraries"].elsewhere == found["time_libraries"].jobs / 2
    alone = estimated(changed("study.platforms", ["local_cpu"]), networks, rates)
    assert found["time_libraries"].seconds == pytest.approx(alone["time_libraries"].seconds)


def test_a_data_set_is_mapped_and_not_held(networks, rates):
    found = estimated(PAPER, networks, rates)
    assert found["prepare_dataset"].disk > 3 * 224 * 224 * 160_000
    assert found["check_libraries"].memory < found["prepare_dataset"].disk / 10


def test_the_stage_that_dominates_is_named(networks, rates):
    slow = {name: replace(each, training=1e3) for name, each in rates.networks.items()}
    found = list(estimated(PAPER, networks, replace(rates, networks=slow)).values())
    longest = dominating(found, 4)
    assert longest.rule == max(found, key=lambda stage: stage.wall(4)).rule
    text = report.text(found, networks, 4, ["a note"])
    assert f"dominated by {longest.rule}: " in text
    assert text.endswith("a note")
    assert total(found, 4) == pytest.approx(sum(stage.wall(4) for stage in found))


def test_json_holds_the_stages(networks, rates):
    found = list(estimated(PAPER, networks, rates).values())
    content = json.dumps(report.as_json(found, networks, 4, rates, []))
    assert report.loaded(content) == found
    assert json.loads(content)["dominating"] == dominating(found, 4).rule


def test_a_finished_study_gives_its_own_rates(tmp_path, networks, rates):
    for name, seconds in {
        "draw_overview.tsv": 7,
        "build_libraries/photos/resnet50/none/local_cpu.tsv": 109,
        "tune_network/photos/resnet50/none/local_cpu/gemm-dense/autotuned.tsv": 30,
    }.items():
        file = tmp_path / "benchmarks" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"s\tmax_rss\n{seconds}\t1\n")
    builds = tmp_path / "builds/photos/resnet50/none/local_cpu.json"
    builds.parent.mkdir(parents=True)
    builds.write_text('{"gemm-dense/untuned": {}, "gemm-dense/autotuned": {}}')
    curve = tmp_path / "tuning/photos/resnet50/none/local_cpu/gemm-dense/autotuned.csv"
    curve.parent.mkdir(parents=True)
    curve.write_text("trial,layer\n" + "1,a\n" * 10)
    found = report.finished(tmp_path, networks, rates)
    assert found == Finished({"draw_overview": 7}, {"build_libraries": 1.0}, {"autotuned": 3.0})
    assert report.finished(tmp_path / "none", networks, rates) == Finished()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("study: {datasets: [mnist]}", "study.datasets.0 is 'mnist'; allowed: digits"),
        ("tunign: {}", "unknown key tunign"),
        ("study: [", "is not YAML"),
        ("", "holds no keys"),
    ],
)
def test_a_wrong_config_gives_one_line(tmp_path, content, message):
    file = tmp_path / "wrong.yaml"
    file.write_text(content)
    with pytest.raises(StudyError, match=message) as error:
        study.load(file)
    assert "\n" not in str(error.value)


def test_a_config_that_is_missing_gives_one_line(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["estimate", "--configfile", "config/none.yaml"])
    with pytest.raises(SystemExit) as error:
        command.main()
    assert error.value.code == (
        "error: config: config/none.yaml cannot be read: No such file or directory"
    )


@pytest.mark.parametrize("wrong", [["--cores", "0"], ["--seconds", "-1"], ["--gpu", "0"]])
def test_a_wrong_option_is_told(monkeypatch, capsys, wrong):
    monkeypatch.setattr(sys, "argv", ["estimate", *wrong])
    with pytest.raises(SystemExit) as error:
        command.main()
    assert error.value.code == 2
    assert wrong[0] in capsys.readouterr().err.splitlines()[-1]


def test_the_command_prints_and_writes_the_estimate(monkeypatch, capsys, tmp_path, rates):
    """All but the measuring."""
    file = tmp_path / "estimate.json"
    options = ["--configfile", str(ROOT / "config/paper.yaml"), "--json", str(file)]
    monkeypatch.setattr(sys, "argv", ["estimate", *options, "--results", str(tmp_path)])
    monkeypatch.setattr(command, "measure", lambda *_: rates)
    command.main()
    text = capsys.readouterr().out
    content = json.loads(file.read_text())
    assert f"dominated by {content['dominating']}" in text
    assert f"on {rates.cores} cores" in text
    assert "--gpu takes its rate" in text


@pytest.fixture
def one_thread():
    """As in a process that measures: threads that wait for each other use a core as well."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_network_is_measured_as_it_is_trained_and_compressed(one_thread):
    images = demand.Images(64, 8, 8, 10, 32)
    network = demand.network("digits_8x8", "resnet18", images, SMOKE.models.width)
    found = measure_network(SMOKE, network, 0.1)
    assert 0 < found.inference < found.training
    assert set(found.techniques) == {"float16", "int8"}
    assert all(each.inference > 0 for each in found.techniques.values())


def test_a_job_starts_in_some_seconds_and_some_memory():
    seconds, memory = measure_start("tables")
    assert 0.1 < seconds < 60
    assert 1e7 < memory < 1e10
