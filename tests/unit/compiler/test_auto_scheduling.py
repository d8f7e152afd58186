"""Auto-scheduling: right schedules from bare loops, surviving records, counted trials."""

import json
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import tvm
import tvm_ffi
from hypothesis import given, settings
from hypothesis import strategies as st
from tvm import tirx

from dlas.compiler.build import build_library, complete, schedule_network
from dlas.compiler.choices import Choices
from dlas.compiler.importer import import_network
from dlas.compiler.library import load_library
from dlas.compiler.network import save_network
from dlas.compiler.schedulers import auto_scheduled
from dlas.compiler.tuning.allocation import Progress, next_task
from dlas.compiler.tuning.auto_scheduling import auto_schedule
from dlas.compiler.tuning.settings import CURVE, Settings
from dlas.compiler.tuning.workloads import Workload, find_workloads
from dlas.compiler.workload import apply_trace, workload_key
from dlas.errors import FailedError, StudyError, UnsupportedError
from dlas.hardware.devices import device_opener
from dlas.hardware.platforms import Platform, target
from tests.unit.compiler.imported import imported, layer_of, network_of
from tests.unit.compiler.searches import count, lines, trials

ONE = Platform("host", threads=1)
HOST, HERE = target(ONE), device_opener(ONE)
TIMEOUT_S = 60  # no candidate may fail because other tests take the machine
SETTINGS = Settings(
    "evolutionary",
    {"layer": 4, "network": 100},
    4,
    {"repeats": 2, "min_repeat_ms": 0.2, "timeout_s": TIMEOUT_S},
    {"finalists": 1, "repeats": 5},
)
ATOL = {"float32": 1e-4, "float16": 2e-2}


@pytest.fixture(scope="module")
def network():
    """One layer that is called twice, and two others."""
    return network_of(16, 16, 16)


def scheduled(network, records, primitive="spatial_pack", weight_format="dense", **changes):
    return auto_schedule(
        network,
        primitive,
        weight_format,
        HOST,
        replace(SETTINGS, **changes),
        records=records,
        seed=0,
        opener=HERE,
    )


def traces_of(outcome):
    """The traces by workload."""
    return {key: choice["trace"] for key, choice in outcome.choices.items() if choice["trace"]}


def assert_same_network(network, primitive, outcome, dtype="float32"):
    """Return the library of what was found, which computes what the default one does."""
    images = np.random.default_rng(0).standard_normal((2, *network.input_shape[1:]), "float32")
    expected = build_library(network, primitive, "dense", HOST).load().run(images)
    choices = json.loads(json.dumps(outcome.choices))  # as they come back from a file
    library = build_library(network, primitive, "dense", HOST, choices, scheduler=auto_scheduled)
    tolerance = ATOL[dtype] * np.abs(expected).max()
    np.testing.assert_allclose(library.load().run(images), expected, rtol=0, atol=tolerance)
    return library


@pytest.mark.parametrize(
    ("primitive", "dtype"),
    [("spatial_pack", "float32"), ("direct", "float16"), ("gemm", "float16")],
)
def test_a_network_by_the_traces_of_auto_scheduling_is_right(tmp_path, primitive, dtype, caplog):
    technique = "none" if dtype == "float32" else "float16"
    network, *_ = imported("resnet18", "small_input", 32, technique, width=0.0625)
    assert network.dtype == dtype
    outcome = scheduled(network, tmp_path, primitive, trials=trials(2), batch=2)
    traces = traces_of(outcome)
    assert len(traces) == len(outcome.choices) > 8, caplog.text
    assert sum(choice["calls"] for choice in outcome.choices.values()) == 21
    for choice in outcome.choices.values():
        assert 0 < choice["trials"] <= 2
        assert choice["latency_ms"] > 0 < choice["default_ms"] and choice["ratio"] > 0
    assert [row["trial"] for row in outcome.curve] == list(range(1, count(tmp_path) + 1))
    assert all(list(row) == CURVE for row in outcome.curve)
    whole = [row["network_ms"] for row in outcome.curve if row["network_ms"] is not None]
    own = sum(each["calls"] * each["latency_ms"] for each in outcome.choices.values())
    assert whole and whole[-1] == pytest.approx(own)
    default = schedule_network(network, primitive, "dense", complete(HOST))
    choices = Choices(outcome.choices, HOST)
    module = schedule_network(network, primitive, "dense", complete(HOST), choices=choices)
    kernels = {name for name in module.functions if "convolution" in name.name_hint}
    for name in kernels:
        assert not tvm_ffi.structural_equal(module[name], default[name.name_hint])
    assert assert_same_network(network, primitive, outcome, dtype).scheduled_layers == 21


def test_another_process_reads_and_builds_what_was_found(tmp_path):
    """A trace may name instructions that this process has registered for the search."""
    layer = layer_of("int8")
    outcome = scheduled(layer, tmp_path / "records", "gemm", trials=trials(3))
    assert all(choice["trace"] for choice in outcome.choices.values())
    save_network(
        layer, *(files := (tmp_path / "network.json", tmp_path / "parameters.safetensors"))
    )
    choices = tmp_path / "choices.json"
    choices.write_text(json.dumps(outcome.choices))
    code = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from dlas.compiler.build import build_library\n"
        "from dlas.compiler.network import load_network\n"
        "from dlas.compiler.tuning.workloads import find_workloads\n"
        "target, choices = (json.loads(Path(file).read_text()) for file in sys.argv[1:3])\n"
        "network, library, records = load_network(*sys.argv[3:5]), *map(Path, sys.argv[5:])\n"
        "if library.name == 'library.so':\n"
        "    made = build_library(network, 'gemm', 'dense', target, choices)\n"
        "    assert made.scheduled_layers == 1\n"
        "    made.export(library)\n"
        "else:\n"
        "    (found,) = find_workloads(network, 'gemm', 'dense', target, records)\n"
        "    assert len(found.records.trials) == 3\n"
    )
    library, host = tmp_path / "library.so", tmp_path / "target.json"
    host.write_text(json.dumps(HOST))
    for product in (library, tmp_path / "nothing"):
        arguments = map(str, (host, choices, *files, product, tmp_path / "records"))
        subprocess.run([sys.executable, "-c", code, *arguments], check=True)
    images = np.random.default_rng(0).standard_normal((2, *layer.input_shape[1:]), "float32")
    expected = build_library(layer, "gemm", "dense", HOST).load().run(images)
    np.testing.assert_array_equal(load_library(library).run(images), expected)


class Residual(torch.nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body

    def forward(self, data):
        return data + self.body(data)


@st.composite
def layers(draw):
    """A network with one layer of any kind, something fused behind it, between plain ones."""
    channels = draw(st.sampled_from([4, 12, 16]))
    groups = draw(st.sampled_from([1, channels]))
    size = draw(st.sampled_from([1, 3]))
    stride = draw(st.sampled_from([1, 2]))
    activation = draw(st.sampled_from([torch.nn.ReLU, torch.nn.ReLU6, torch.nn.SiLU]))
    middle = torch.nn.Conv2d(channels, channels, size, stride, size // 2, groups=groups)
    body = torch.nn.Sequential(middle, activation())
    if stride == 1 and draw(st.booleans()):
        body = Residual(body)
    first = torch.nn.Conv2d(3, channels, 3, padding=1)
    modules = [first, torch.nn.ReLU(), body, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()]
    model = torch.nn.Sequential(*modules, torch.nn.Linear(channels, 4)).eval()
    return import_network(model, (1, 3, 8, 8))


@settings(max_examples=6, deadline=None, derandomize=True)
@given(network=layers(), primitive=st.sampled_from(["direct", "gemm", "spatial_pack"]))
def test_any_layer_is_scheduled_from_its_bare_loops(tmp_path_factory, network, primitive):
    outcome = scheduled(network, tmp_path_factory.mktemp("records"), primitive, trials=trials(2))
    assert len(traces_of(outcome)) == len(outcome.choices)
    assert_same_network(network, primitive, outcome)


def test_a_key_is_that_of_the_computation_not_of_the_name(network, tmp_path):
    found = find_workloads(network, "spatial_pack", "dense", HOST, tmp_path)
    assert sorted(each.calls for each in found) == [1, 1, 2]
    assert len({each.key for each in found}) == 3
    for each in found:
        assert each.key == workload_key(each.function.with_attr("global_symbol", "other"))
        assert "convolution" in each.name and each.name.count("_") < 9
    again = find_workloads(network_of(16, 16, 16, 16), "spatial_pack", "dense", HOST, tmp_path)
    assert {each.key for each in again} == {each.key for each in found}


def what(outcome):
    """What was found in which trials; the ratios in the network are measured anew each time."""
    return {key: {**one, "ratio": None} for key, one in outcome.choices.items()}, outcome.curve


def test_what_is_recorded_is_not_measured_again(network, tmp_path, caplog):
    caplog.set_level(logging.INFO, "dlas")
    first = scheduled(network, tmp_path)
    before = lines(tmp_path)
    again = scheduled(network, tmp_path)
    assert what(again) == what(first)
    assert lines(tmp_path) == before
    assert f"0 candidates measured, 0 of them failed, {count(tmp_path)} trials saved" in caplog.text
    more = scheduled(network, tmp_path, trials=trials(6))
    assert len(more.curve) > len(first.curve)
    for workload, kept in before.items():
        assert lines(tmp_path)[workload][: len(kept)] == kept
    few = scheduled(network, tmp_path)  # records of a larger budget are as if they were not there
    assert what(few) == what(first)


def test_a_killed_job_goes_on_with_nothing_lost(network, tmp_path, caplog):
    job = multiprocessing.get_context("fork").Process(target=scheduled, args=(network, tmp_path))
    job.start()
    while count(tmp_path) < 6:
        assert job.is_alive()
        time.sleep(0.01)
    os.kill(job.pid, signal.SIGKILL)
    job.join()
    before = {
        workload: [line for line in kept if line.endswith(b"\n")]
        for workload, kept in lines(tmp_path).items()
    }
    kept = sum(map(len, before.values()))
    caplog.set_level(logging.INFO, "dlas")
    outcome = scheduled(network, tmp_path)
    for workload, kept_lines in before.items():
        assert lines(tmp_path)[workload][: len(kept_lines)] == kept_lines
    assert len(outcome.curve) == count(tmp_path) == 12
    assert f"{12 - kept} candidates measured" in caplog.text


def test_a_damaged_record_is_dropped_and_measured_again(network, tmp_path, caplog):
    scheduled(network, tmp_path)
    before = lines(tmp_path)
    damaged = next(iter(before))
    file = tmp_path / damaged / "records.jsonl"
    file.write_bytes(b"".join(before[damaged][:-1]) + before[damaged][-1][:100])
    scheduled(network, tmp_path)
    assert "1 damaged records dropped" in caplog.text
    assert lines(tmp_path)[damaged][:-1] == before[damaged][:-1]
    assert count(tmp_path) == sum(map(len, before.values()))


def test_records_of_another_target_or_version_are_not_read(network, tmp_path, monkeypatch):
    small = network_of(16, linear=False)
    scheduled(small, tmp_path, trials=trials(1))
    other = find_workloads(small, "spatial_pack", "dense", HOST | {"num-cores": 2}, tmp_path)
    monkeypatch.setattr(tvm, "__version__", "0.0")
    newer = find_workloads(small, "spatial_pack", "dense", HOST, tmp_path)
    assert len(other) == len(newer) == 1
    for each in other + newer:
        assert not each.records.trials and each.default_trial() is None
    assert len(list(tmp_path.iterdir())) == 3


def with_changed(monkeypatch, change, wrong=lambda candidate: True):
    """Change the library of those candidates that are `wrong`, but not the default code."""
    write = Workload.write

    def changed(self, candidate, folder, linker):
        if candidate is not self.default_code and wrong(candidate):
            candidate = change(self, candidate)
        write(self, candidate, folder, linker)

    monkeypatch.setattr(Workload, "write", changed)


def odd(candidate):
    return int(tvm_ffi.structural_hash(candidate.mod["main"])) % 2 == 1


def doubled(workload, candidate):
    """The candidate with all constants doubled."""
    object.__setattr__(workload, "constants", [2 * each for each in workload.constants])
    return candidate


def calling(function):
    """The change to a kernel that only calls a function of C."""

    def change(_, candidate):
        body = tirx.Evaluate(tirx.call_extern("int32", function))
        return SimpleNamespace(mod={"main": candidate.mod["main"].with_body(body)})

    return change


def test_a_wrong_candidate_never_wins(network, tmp_path, monkeypatch, caplog):
    with_changed(monkeypatch, doubled, odd)
    outcome = scheduled(network, tmp_path, trials=trials(6), batch=6)
    assert "its output is wrong by" in caplog.text
    failed = sum(row["latency_ms"] is None for row in outcome.curve)
    assert 0 < failed == caplog.text.count("thrown away")
    for each in find_workloads(network, "spatial_pack", "dense", HOST, tmp_path):
        for trial in each.records.trials:
            assert trial.failed == odd(apply_trace(each.function, trial.trace, each.target))
    assert_same_network(network, "spatial_pack", outcome)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (calling("abort"), "the process died of SIGABRT"),
        (calling("pause"), "it takes longer than"),
        (lambda *_: time.sleep(60), "compiling takes longer than"),
        (lambda *_: os.kill(os.getpid(), signal.SIGKILL), "the compiler died with status -9"),
    ],
)
def test_a_candidate_that_crashes_or_hangs_costs_itself(
    tmp_path, monkeypatch, change, reason, caplog
):
    with_changed(monkeypatch, change, odd)
    small = network_of(16, linear=False)
    limits = SETTINGS.measurement | {"timeout_s": 1}
    outcome = scheduled(small, tmp_path, trials=trials(6), measurement=limits, batch=6)
    assert reason in caplog.text
    (choice,) = outcome.choices.values()
    assert choice["trials"] == 6 and choice["trace"]


def test_without_a_correct_candidate_there_is_no_trace(tmp_path, monkeypatch, caplog):
    with_changed(monkeypatch, doubled)
    small = network_of(16, linear=False)
    outcome = scheduled(small, tmp_path)
    (choice,) = outcome.choices.values()
    assert choice["trace"] is None and choice["latency_ms"] is None and choice["trials"] == 4
    assert outcome.curve[-1]["network_ms"] == pytest.approx(choice["default_ms"])
    assert assert_same_network(small, "spatial_pack", outcome).scheduled_layers == 0


def test_candidates_are_not_blamed_where_the_default_fails_too(tmp_path, monkeypatch):
    small = network_of(16, linear=False)
    scheduled(small, tmp_path, trials=trials(1))
    monkeypatch.setattr(Workload, "write", lambda *_: 1 // 0)
    with pytest.raises(FailedError, match="its default code cannot be measured: ZeroDivisionError"):
        scheduled(small, tmp_path)
    assert count(tmp_path) == 1


def test_trials_go_to_the_task_with_most_to_gain(tmp_path):
    heavy = network_of(32, 32, 32)
    outcome = scheduled(heavy, tmp_path, trials=trials(100, 20))
    shares = {choice["layer"]: choice["trials"] for choice in outcome.choices.values()}
    assert sum(shares.values()) == 20
    (name,) = (each["layer"] for each in outcome.choices.values() if each["calls"] == 2)
    assert shares.pop(name) > 10 and min(shares.values()) >= 3


def test_the_next_task_is_the_one_with_the_largest_gain():
    assert next_task([Progress(1, [5.0]), Progress(1), Progress(1)]) == 1
    light, heavy, often = Progress(1, [1.0]), Progress(1, [2.0]), Progress(3, [1.0])
    assert next_task([light, heavy]) == 1
    assert next_task([heavy, often]) == 1
    stuck, improving = Progress(1, [2.0] * 4), Progress(1, [3.0, 2.6, 2.3, 2.0])
    assert next_task([stuck, improving]) == 1
    # What has long been tried in vain gives way to what was hardly tried.
    assert next_task([Progress(1, [2.0] * 9), light]) == 1
    assert next_task([Progress(1, [9.0], closed=True), light]) == 1
    assert next_task([Progress(1, [9.0], closed=True)]) is None


def test_what_cannot_be_auto_scheduled_says_why(network, tmp_path):
    with pytest.raises(UnsupportedError, match="csr weights, whose loops depend on data; allowed"):
        scheduled(network, tmp_path, "direct", "csr")
    gpu = {
        "kind": "opencl",
        "device": "mali",
        "max_threads_per_block": 256,
        "max_shared_memory_per_block": 32768,
        "host": {"kind": "llvm"},
    }
    with pytest.raises(UnsupportedError, match="for opencl; allowed: "):
        find_workloads(network, "direct", "dense", gpu, tmp_path)
    coreless = {name: value for name, value in HOST.items() if name != "num-cores"}
    with pytest.raises(StudyError, match="no num-cores"):
        auto_schedule(
            network, "direct", "dense", coreless, SETTINGS, records=tmp_path, seed=0, opener=HERE
        )
