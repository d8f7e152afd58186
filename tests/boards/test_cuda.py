"""Every primitive's kernels for GPUs of CUDA: compiled as TVM compiles them, without a GPU."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.compiler.imported import PAIRS, imported, layer_of

if os.environ.get("CI") != "true":
    for package in ("cuda.bindings.nvrtc", "nvidia.cuda_nvrtc", "nvidia.cuda_cccl"):
        pytest.importorskip(package, reason=f"{package}, of requirements-test.txt, is needed")

from dlas.compiler.build import build_library, complete
from dlas.compiler.network import save_network
from dlas.compiler.pipeline import compile_module
from dlas.compiler.tuning import schedule_search
from dlas.compiler.tuning.schedule_search import ScheduleSearch, cost_model
from dlas.compiler.tuning.workloads import find_workloads
from dlas.compiler.workload import named_main
from tests.boards import nvrtc
from tests.boards.launches import Lowered, Unseen, beyond_limits, lower
from tests.boards.samples import (
    KINDS,
    LAYERS,
    TECHNIQUES,
    matrix_product,
    networks,
    sample,
    scheduled,
)
from tests.unit.primitives.layers import GENERAL

ROOT = Path(__file__).parents[2]
HOST = {"kind": "llvm", "mtriple": "x86_64-linux-gnu"}
LIMITS = {
    "max_threads_per_block": 1024,
    "max_shared_memory_per_block": 49152,
    "thread_warp_size": 32,
}
DESCRIBED = {
    architecture: {"kind": "cuda", "arch": architecture, **LIMITS, "host": HOST}
    for architecture in ("sm_72", "sm_90")  # Jetson AGX Xavier; H100
}
TARGETS = {architecture: complete(described) for architecture, described in DESCRIBED.items()}
both = pytest.mark.parametrize("architecture", TARGETS)


def kernels(
    name: str, weight_format: str, dtype: str, layer: str, architecture: str, point: int = 0
) -> Lowered:
    """Return the kernels of a layer at a point of its space."""
    target = TARGETS[architecture]
    function = sample(name, weight_format, dtype, LAYERS[layer], target, point).function
    symbol = "layer_" + re.sub(r"\W", "_", layer)
    lowered = lower(tvm.IRModule({symbol: function.with_attr("global_symbol", symbol)}), target)
    assert beyond_limits(lowered, target) == []
    return lowered


@both
@pytest.mark.parametrize(("name", "weight_format", "dtype"), KINDS)
def test_the_kernels_of_all_layers_compile(name, weight_format, dtype, architecture):
    every = [kernels(name, weight_format, dtype, layer, architecture) for layer in LAYERS]
    preamble = max((lowered.preamble for lowered in every), key=len)
    sources = [source for lowered in every for source in lowered.sources.values()]
    assert nvrtc.build(preamble + "".join(sources), architecture)
    # Neighbouring channels are a plane apart in direct and in sparse formats.
    if (weight_format, dtype) == ("dense", "int8") and name != "direct":
        assert any("__dp4a" in source for source in sources)


@pytest.mark.boards
@both
@pytest.mark.parametrize(("name", "weight_format", "dtype"), KINDS)
@given(layer=st.sampled_from(sorted(LAYERS)), point=st.integers(1, 100))
@settings(max_examples=2, deadline=None, derandomize=True)
def test_so_does_every_point_of_their_space(name, weight_format, dtype, layer, point, architecture):
    lowered = kernels(name, weight_format, dtype, layer, architecture, point)
    nvrtc.build(lowered.preamble + "".join(lowered.sources.values()), architecture)


@both
@pytest.mark.parametrize(
    ("name", "technique"),
    [*((name, "none") for name in GENERAL), ("direct", "float16"), ("gemm", "int8")],
)
def test_candidates_of_auto_scheduling_compile(
    name, technique, architecture, tmp_path, monkeypatch
):
    monkeypatch.setattr(schedule_search, "POPULATION", 8)
    network, described = layer_of(technique), DESCRIBED[architecture]
    (workload,) = find_workloads(network, name, "dense", described, tmp_path)
    schedules = ScheduleSearch(workload, cost_model(0), 3, 0).propose(3)
    assert len(schedules) == 3
    for schedule in schedules:
        function = named_main(schedule.mod["main"])
        lowered = lower(tvm.IRModule({"main": function}), workload.target)
        assert beyond_limits(lowered, workload.target) == []
        source = lowered.preamble + "".join(lowered.sources.values())
        assert nvrtc.build(source, architecture)
        assert technique != "int8" or "__dp4a(" in source


@both
def test_a_source_is_the_one_that_a_library_holds(architecture):
    module, target = tvm.IRModule({"main": matrix_product()}), TARGETS[architecture]
    (device,) = compile_module(module, target).mod.imports
    lowered = lower(module, target)
    assert all(source in device.inspect_source() for source in lowered.sources.values())


def test_a_script_compiles_the_same_though_it_imports_less_of_tvm(tmp_path):
    network = imported(*PAIRS[0], "int8")[0]
    files = tmp_path / "network.json", tmp_path / "parameters.safetensors"
    save_network(network, *files)
    target = DESCRIBED["sm_90"]
    program = (
        "import json, sys; from fast_imports import tvm; from dlas.compiler import build, network;"
        "read = network.load_network(*sys.argv[2:]);"
        "made = build.build_library(read, 'gemm', 'dense', json.loads(sys.argv[1]));"
        "print(made.executable.mod.imports[0].imports[0].inspect_source())"
    )
    script = subprocess.run(
        [sys.executable, "-c", program, json.dumps(target), *files],
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'workflow/scripts'}"},
        capture_output=True,
        text=True,
    )
    assert "__dp4a" in script.stdout, script.stderr
    (device,) = build_library(network, "gemm", "dense", target).executable.mod.imports[0].imports
    assert script.stdout == device.inspect_source() + "\n"


def test_what_is_no_cuda_is_refused():
    with pytest.raises(RuntimeError, match=r"identifier .wrong. is undefined"):
        nvrtc.build("__global__ void kernel(float* x) { *x = wrong; }", "sm_72")


@pytest.fixture(scope="module")
def unseen() -> dict[str, Unseen]:
    return {architecture: Unseen() for architecture in TARGETS}


@pytest.mark.boards
@pytest.mark.parametrize(("pair", "name", "technique"), networks(TECHNIQUES, in_turn=True))
def test_every_network_compiles_within_the_limits(pair, technique, name, unseen):
    for architecture, target in TARGETS.items():
        lowered = lower(scheduled(pair, name, technique, target), target)
        assert beyond_limits(lowered, target) == []
        if new := unseen[architecture].of(lowered):
            nvrtc.build("".join((lowered.preamble, *new)), architecture)
