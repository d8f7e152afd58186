"""A study whose jobs see different machines, or are interrupted: no wrong number, and one line that
says why.
"""

import json
import os
import signal
import subprocess
import sys

import pandas as pd
import psutil
import pytest
import yaml

from dlas.analysis.table import read_table
from dlas.hardware import cpus
from tests.workflow.comparing import wait_until
from tests.workflow.project import ROOT, Project, copy

BUILDS = "results/builds/digits_8x8/resnet18/none/{}.json"
TIMING = "results/timings/digits_8x8/resnet18/local_cpu.csv"
CORES = len(cpus.cores())
two_cores = pytest.mark.skipif(CORES < 2, reason="needs two cores")
# So that the study is made once.
one_worker = pytest.mark.xdist_group("several")


def on_one_core(project: Project, *targets: str) -> subprocess.CompletedProcess[str]:
    """Run Snakemake on a single core, as a step of a batch system does."""
    snakemake = [sys.executable, "-m", "snakemake", "--cores", "1", *targets]
    command = ["taskset", "-c", str(cpus.cores()[0]), *snakemake]
    command += ["--configfile", "config/smoke.yaml"]
    return subprocess.run(command, cwd=project.folder, capture_output=True, text=True)


def record(project: Project, file: str) -> dict:
    return json.loads((project.folder / file).read_text())


def test_variables_that_change_measurements_are_set_aside(fresh: Project, monkeypatch) -> None:
    monkeypatch.setenv("OMP_PROC_BIND", "close")
    monkeypatch.setenv("TVM_NUM_THREADS", "1")
    printed = fresh.snakemake("--cores", "1", "results/targets/local_cpu.json")
    assert "set aside" in printed and "OMP_PROC_BIND" in printed and "TVM_NUM_THREADS" in printed
    machine = record(fresh, "results/provenance/targets/local_cpu.json.json")["machine"]
    assert not {"OMP_PROC_BIND"} & machine["environment"].keys()


@pytest.fixture(scope="module")
def several(tmp_path_factory) -> Project:
    """A finished study of one network on this CPU: with one thread, with all, and with more than
    there are.
    """
    timing = {"warmup": 1, "rounds": 4, "min_repeat_ms": 1}
    overlay = {
        "study": {
            "datasets": ["digits_8x8"],
            "models": {"digits_8x8": ["resnet18"]},
            "compression": ["none"],
            "primitives": ["direct", "gemm"],
            "formats": ["dense"],
            "tuning": ["untuned"],
            "platforms": ["local_cpu", "local_cpu_all_cores", "too_many"],
            "peers": ["onnxruntime"],
        },
        "compiler": {"check": {"images": 2}},
        "platforms": {
            "local_cpu": {"timing": timing},
            "local_cpu_all_cores": {"timing": timing | {"rounds": 6}},
            "too_many": {"target": "host", "threads": 1000, "timing": timing},
        },
    }
    project = copy(ROOT, tmp_path_factory.mktemp("several") / "study")
    smoke = yaml.safe_load((project.folder / "config/smoke.yaml").read_text())
    smoke = {name: smoke[name] for name in ("models", "recommendation")} | overlay
    (project.folder / "config/smoke.yaml").write_text(yaml.safe_dump(smoke))
    project.snakemake("--cores", "2", "results/study.csv")
    return project


@two_cores
@one_worker
def test_platforms_of_this_cpu_are_timed_in_one_job(several: Project) -> None:
    timed = several.folder / "results/timings/digits_8x8/resnet18"
    assert sorted(file.name for file in timed.iterdir()) == ["local_cpu.csv", "local_cpu.json"]
    samples = read_table(several.folder / "results/samples.csv.gz")
    assert set(samples.machine) == {"local_cpu"}
    one, both = samples.platform == "local_cpu", samples.platform == "local_cpu_all_cores"
    assert (one | both).all()
    # Two libraries, each twice; the reference kernel and a peer.
    for platform, rounds in ((one, 4), (both, 6)):
        counts = samples[platform].groupby("round").size()
        assert list(counts.index) == list(range(rounds)) and set(counts) == {6}
    turns = [list(turn.platform) for _, turn in samples[samples["round"] < 4].groupby("round")]
    assert any(turn not in (sorted(turn), sorted(turn)[::-1]) for turn in turns)


@two_cores
@one_worker
def test_each_platform_has_its_threads_peers_and_noise_floor(several: Project) -> None:
    study, peers, floor = (
        pd.read_csv(several.folder / f"results/{name}.csv", keep_default_na=False)
        for name in ("study", "peers", "noise_floor")
    )
    threads = {"local_cpu": 1, "local_cpu_all_cores": CORES, "too_many": 1000}
    for table in (study, peers):
        assert dict(zip(table.platform, table.threads, strict=True)) == threads
    measured = study[study.status == "ok"]
    assert set(measured.platform) == {"local_cpu", "local_cpu_all_cores"} and len(measured) == 4
    repeats = dict(zip(measured.platform, pd.to_numeric(measured.repeats), strict=True))
    assert repeats == {"local_cpu": 4, "local_cpu_all_cores": 6}
    assert sorted(floor.platform) == sorted(set(measured.platform))
    reason = f"unsupported: 1000 threads asked for, the host has {CORES} cores"
    for table in (study, peers):
        assert set(table[table.platform == "too_many"].status) == {reason}
    beside = peers[peers.platform != "too_many"]
    assert set(beside.status) == {"ok"} and (pd.to_numeric(beside.latency_ms) > 0).all()


@two_cores
@one_worker
def test_a_library_is_built_for_the_threads_that_it_is_timed_with(several: Project) -> None:
    builds = BUILDS.format("local_cpu_all_cores")
    (several.folder / builds).unlink()
    done = on_one_core(several, builds)
    assert done.returncode == 0, done.stdout + done.stderr
    for built in record(several, builds).values():
        assert built["target"]["num-cores"] == CORES
    (several.folder / TIMING).unlink()
    done = on_one_core(several, TIMING)
    assert done.returncode != 0
    assert f"{CORES} threads asked for; allowed on this host: 1 to 1" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not (several.folder / TIMING).exists()


def test_a_study_that_goes_on_on_another_machine_is_refused(study: Project) -> None:
    """Timings of two machines in one table would be compared as if they were of one."""
    for file in ("results/targets/local_cpu.json", "results/platforms/local_cpu.json"):
        path = study.folder / file
        before = path.stat()
        path.write_text(json.dumps(json.loads(path.read_text()) | {"cpu_model": "Other CPU"}))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    (study.folder / TIMING).unlink()
    done = study.attempt("--cores", "2", TIMING)
    assert done.returncode != 0
    assert "'local_cpu': it was resolved on 'Other CPU', this is" in done.stderr
    assert "--forcerun resolve_target" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP], ids=str)
def test_an_interruption_ends_all_jobs_and_says_how_to_go_on(fresh: Project, number) -> None:
    target = "results/models/digits_8x8/resnet18/checkpoint.safetensors"
    fresh.edit(
        "config/smoke.yaml",
        lambda text: text.replace("      epochs: 1\n", "      epochs: 500\n", 1),
    )
    with fresh.started("--cores", "2", target) as process:
        wait_until(lambda: any(fresh.folder.glob("results/resume/digits_8x8/[!.]*.pt")))
        running = psutil.Process(process.pid).children(recursive=True)
        # As a terminal does: to all processes of its group.
        os.killpg(process.pid, number)
        assert process.wait(60) != 0
    printed = fresh.printed.read_text()
    assert "Traceback" not in printed and "the same command goes on" in printed
    ending = printed.partition("Terminating processes on user request")[2]
    assert 0 < len(ending.splitlines()) < 30, ending
    _, alive = psutil.wait_procs(running, timeout=10)
    assert not alive
    assert any(fresh.folder.glob("results/resume/digits_8x8/[!.]*.pt"))
    # The folder is not locked.
    assert fresh.plan(target)


def test_a_terminated_workflow_finishes_its_jobs_and_starts_no_others(fresh: Project) -> None:
    dataset, trained = "results/datasets/digits_8x8.npz", "results/models/digits_8x8/resnet18"
    with fresh.started("--cores", "1", f"{trained}/checkpoint.safetensors") as process:
        wait_until(lambda: (fresh.folder / "results/logs/prepare_dataset/digits_8x8.log").exists())
        process.terminate()
        assert process.wait(120) != 0
    assert (fresh.folder / dataset).exists() and not (fresh.folder / trained).exists()
    printed = fresh.printed.read_text()
    assert "Traceback" not in printed and "the same command goes on" in printed
    assert "prepare_dataset" not in fresh.planned(f"{trained}/checkpoint.safetensors")
