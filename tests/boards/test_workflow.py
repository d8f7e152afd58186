"""The workflow with boards: a config entry is enough, and jobs of one board take turns."""

import json
import re
from datetime import datetime

import pandas as pd
import pytest
import yaml

from tests.boards import arm, serving
from tests.workflow.project import ROOT, copy

TIMING = {"warmup": 1, "rounds": 5, "min_repeat_ms": 2}
KIND = '''"""A server whose port stands in a file."""

from pathlib import Path

from tvm import rpc

from dlas.plugins import ConnectionPlugin, Setting, Text

PLUGIN = ConnectionPlugin(
    label="port file", settings={"port_file": Setting(Text, "a file that holds the port")}
)


def connect(settings):
    """Return a session with the server."""
    return rpc.connect("127.0.0.1", int(Path(settings["port_file"]).read_text()))
'''


def entry(address, timeout_s=20, **changes):
    """A platform of the config that is reached at an address."""
    return {
        "target": serving.CPU,
        "threads": 1,
        "connection": {"server": address, "timeout_s": timeout_s},
        "timing": TIMING,
    } | changes


@pytest.fixture
def project(tmp_path):
    return copy(ROOT, tmp_path / "study")


def snakemake(project, config, *arguments):
    (project.folder / "overlay.yaml").write_text(yaml.safe_dump(config))
    configs = ("--configfile", "config/smoke.yaml", "overlay.yaml")
    return project.attempt(*configs, "--cores", "2", *arguments, config=None)


def probe(name):
    return f"results/platforms/{name}.json"


def test_a_platform_is_an_entry_of_the_config(project, server):
    done = snakemake(project, {"platforms": {"mine": entry(server)}}, probe("mine"))
    assert done.returncode == 0, done.stderr
    record = json.loads((project.folder / probe("mine")).read_text())
    assert record["status"] == "ok" and record["peak_gflops"]["float32"] > 1
    facts = json.loads((project.folder / "results/targets/mine.json").read_text())
    assert facts["target"]["mcpu"] == "x86-64-v2" and facts["threads"] == 1


def test_a_new_kind_of_connection_is_one_file(project, server):
    (project.folder / "dlas/hardware/connections/port_file.py").write_text(KIND)
    (project.folder / "port").write_text(server.rpartition(":")[2])
    mine = entry(server, connection={"port_file": "port"}, simulated=True)
    done = snakemake(project, {"platforms": {"mine": mine}}, probe("mine"))
    assert done.returncode == 0, done.stderr
    assert json.loads((project.folder / probe("mine")).read_text())["status"] == "ok"
    wrong = mine | {"connection": {"file": "port"}}
    message = snakemake(project, {"platforms": {"mine": wrong}}, probe("mine")).stderr
    assert (
        "mine.connection: must have exactly one of the keys server, tracker, port_file" in message
    )


def interval(project, name):
    """When a job began and ended, by its log."""
    lines = (project.folder / f"results/logs/probe_platform/{name}.log").read_text().splitlines()
    first, *_, last = (re.match(r"\S+ \S+", line)[0] for line in lines)
    return [datetime.strptime(each, "%Y-%m-%d %H:%M:%S,%f") for each in (first, last)]


def overlap(one, other):
    return max(one[0], other[0]) < min(one[1], other[1])


def test_jobs_of_different_boards_run_side_by_side_and_those_of_one_board_never(project, server):
    with serving.server() as second:
        platforms = {
            "cpu": entry(server),
            "gpu": entry(server),  # on the same board
            "other": entry(second.address),
        }
        done = snakemake(project, {"platforms": platforms}, *map(probe, platforms))
    assert done.returncode == 0, done.stderr
    cpu, gpu, other = (interval(project, name) for name in platforms)
    assert not overlap(cpu, gpu)
    assert overlap(other, cpu) or overlap(other, gpu)


def resources(text):
    """The resources and threads of each job of a dry run, by its rule and platform or machine."""
    found = {}
    for block in re.split(r"\n(?=(?:local)?rule )", text):
        rule = re.match(r"(?:local)?rule (\w+):", block)
        platform = re.search(r"(?:platform|machine)=(\w+)", block)
        if rule and platform:
            threads = re.search(r"threads: (\d+)", block)
            held = re.findall(r"(board_\w+)=(\d+)", block)
            job = rule[1], platform[1]
            found[job] = int(threads[1]) if threads else 1, {n: int(c) for n, c in held if c != "0"}
    return found


def test_a_plan_holds_one_board_for_each_job_that_measures(project):
    tracked = {"tracker": "127.0.0.1:9190", "key": "rock5"}
    platforms = {
        "rock5_cpu": entry("", connection=tracked | {"timeout_s": 5}, boards=3),
        "rock5_big": entry("", connection=tracked),
        "alone": entry("127.0.0.1:9"),
    }
    config = {"platforms": platforms, "study": {"platforms": [*platforms, "local_cpu"]}}
    config["tuning"] = {
        "select": [{"model": "resnet18", "compression": "none", "primitive": "gemm"}]
    }
    done = snakemake(project, config, "--dry-run", "results/study.csv")
    assert done.returncode == 0, done.stderr
    jobs = resources(done.stdout + done.stderr)
    for rule in ("probe_platform", "tune_network", "time_libraries", "check_libraries"):
        threads, held = jobs[f"{rule}_remotely", "rock5_cpu"]
        assert threads == 1 and held == {"board_rock5_big": 1}
        assert jobs[f"{rule}_remotely", "rock5_big"] == (threads, held)
        assert jobs[f"{rule}_remotely", "alone"] == (1, {"board_alone": 1})
        threads, held = jobs[rule, "local_cpu"]
        assert threads == (1 if rule == "check_libraries" else 2) and held == {}
    assert jobs["build_libraries", "alone"] == (1, {})


def test_a_board_that_is_not_there_is_a_status_and_stops_no_other(project, server):
    platforms = {"gone": entry("127.0.0.1:9", timeout_s=1), "there": entry(server, simulated=True)}
    done = snakemake(project, {"platforms": platforms}, *map(probe, platforms))
    assert done.returncode == 0, done.stderr
    gone, there = (json.loads((project.folder / probe(name)).read_text()) for name in platforms)
    assert gone["status"].startswith(
        "unreachable: platform 'gone': no free board at the server 127.0.0.1:9 within 1 s"
    )
    assert gone["peak_gflops"] is None and there["status"] == "ok"


@pytest.mark.boards
def test_the_study_on_an_emulated_arm_processor_from_end_to_end(project):
    """Each row has a latency and says that it means nothing; no table of comparisons has one."""
    try:
        command, environment = arm.python(arm.set_up())
    except arm.UnavailableError as error:
        arm.give_up(error)
    with serving.server(python=command, environment=environment) as board:
        a73 = {
            "kind": "llvm",
            "mtriple": "aarch64-linux-gnu",
            "mcpu": "cortex-a73",
            "mattr": ["+neon"],
        }
        config = {
            "study": {
                "datasets": ["digits_8x8"],
                "models": {"digits_8x8": ["resnet18"]},
                "compression": ["none"],
                "primitives": ["direct"],
                "formats": ["dense"],
                "tuning": ["untuned"],
                "platforms": ["simulated_arm"],
                "peers": [],
            },
            "datasets": {"digits_8x8": {"test_fraction": 0.05}},  # few images: each takes long
            "platforms": {
                "simulated_arm": entry(board.address, timeout_s=200, target=a73, simulated=True)
                | {"timing": {"warmup": 1, "rounds": 2, "min_repeat_ms": 1}}
            },
        }
        tables = ("study", "observations", "recommendation")
        figures = ("latency", "roofline", "pareto", "tuning_curves")
        wanted = [f"results/{name}.csv" for name in tables] + [
            f"plots/{name}.svg" for name in figures
        ]
        done = snakemake(project, config, *wanted)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = pd.read_csv(project.folder / "results/study.csv", keep_default_na=False, na_values=[""])
    assert set(rows["status"]) == {"simulated"}
    assert len(rows) == 1 and (rows["latency_ms"] > 0).all() and (rows["top1_compiled"] > 0).all()
    assert rows[["gflops", "peak_fraction"]].isna().all(axis=None)
    assert pd.read_csv(project.folder / "results/noise_floor.csv").empty
    verdicts = pd.read_csv(project.folder / "results/observations.csv")
    on_latency = verdicts[~verdicts["observation"].isin([2, 3])]
    assert (on_latency["verdict"] == "inconclusive").all()
    recommended = pd.read_csv(project.folder / "results/recommendation.csv")
    assert recommended["model"].isna().all() and len(recommended) == 1
