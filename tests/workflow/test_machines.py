"""A study whose jobs see different machines, or are interrupted: no wrong number, and one line that says why."""

import json
import os
import signal
import subprocess
import sys

import psutil
import pytest

from dlas.hardware import cpus
from tests.workflow.comparing import wait_until
from tests.workflow.project import Project

NETWORK = "digits_8x8/resnet18/none"
BUILDS = f"results/builds/{NETWORK}/local_cpu.json"
TIMING = "results/timings/digits_8x8/resnet18/local_cpu.csv"
two_cores = pytest.mark.skipif(len(cpus.cores()) < 2, reason="needs two cores")


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


@two_cores
def test_a_library_is_built_for_the_threads_that_it_is_timed_with(study: Project) -> None:
    threads = record(study, "results/targets/local_cpu.json")["threads"]
    (study.folder / BUILDS).unlink()
    done = on_one_core(study, BUILDS)
    assert done.returncode == 0, done.stdout + done.stderr
    for built in record(study, BUILDS).values():
        assert built["target"]["num-cores"] == threads == 2
    (study.folder / TIMING).unlink()
    done = on_one_core(study, TIMING)
    assert done.returncode != 0
    assert "2 threads asked for; allowed on this host: 1 to 1" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not (study.folder / TIMING).exists()


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
        wait_until(lambda: any(fresh.folder.glob("results/unfinished/digits_8x8/[!.]*.pt")))
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
    assert any(fresh.folder.glob("results/unfinished/digits_8x8/[!.]*.pt"))
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
