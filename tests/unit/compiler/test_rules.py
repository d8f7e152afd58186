"""The design space of a target: candidates use its instructions and compute the same."""

import re
import subprocess
import sys

import numpy as np
import pytest
import tvm
from tvm.s_tir import Schedule

from dlas import primitives
from dlas.compiler.build import complete
from dlas.compiler.pipeline import compile_kernel
from dlas.compiler.tuning import rules, schedule_search
from dlas.compiler.tuning.metaschedule import meta_schedule as ms
from dlas.compiler.tuning.rules import design_space, supports
from dlas.compiler.tuning.schedule_search import QUIET, ScheduleSearch, cost_model
from dlas.compiler.tuning.workloads import find_workloads
from dlas.compiler.workload import named_main
from dlas.hardware.platforms import Platform, target
from dlas.primitives import thread_blocks, tiling
from dlas.primitives.instruction_sets import extension
from dlas.primitives.vector import processor
from tests.unit.compiler.imported import layer_of, network_of
from tests.unit.primitives.layers import GENERAL

HOST = target(Platform("host", threads=1))
X86 = {"kind": "llvm", "mtriple": "x86_64-linux-gnu", "num-cores": 1}
ARM = {"kind": "llvm", "mtriple": "aarch64-linux-gnu", "num-cores": 1}
# A target, LLVM's intrinsic for 16 output channels, and the instruction.
DOT_PRODUCTS = {
    "AVX512-VNNI": (
        X86 | {"mcpu": "icelake-server"},
        "llvm.x86.avx512.vpdpbusd.512",
        r"\bvpdpbusd\s.*zmm",
    ),
    "AVX-VNNI": (X86 | {"mcpu": "alderlake"}, "llvm.x86.avx512.vpdpbusd.256", r"vpdpbusd\s.*ymm"),
    "FEAT_DotProd": (
        ARM | {"mcpu": "cortex-a76"},
        "llvm.aarch64.neon.sdot",
        r"\bsdot\s",
    ),
}
int8_primitives = pytest.mark.parametrize("primitive", ["gemm", "spatial_pack"])


@pytest.fixture(scope="module")
def int8():
    return layer_of("int8")


def workload_of(network, primitive, described, folder):
    (workload,) = find_workloads(network, primitive, "dense", described, folder)
    return workload


def context_of(workload, space, seed=1):
    return ms.TuneContext(
        workload.records.module,
        target=workload.target,
        space_generator=space,
        search_strategy=ms.search_strategy.ReplayTrace(),
        num_threads=1,
        rand_state=seed,
        logger=QUIET,
    )


def sampled(workload, space, count=16):
    """Random points of a design space."""
    context = context_of(workload, space)
    context.pre_tuning(count, count)
    return [candidate.sch for candidate in context.generate_measure_candidates()]


def output(schedule, workload, data):
    """What a candidate computes of a feature map."""
    library = compile_kernel(named_main(schedule.mod["main"]), workload.target)
    ty = workload.function.params[-1].ty
    result = tvm.runtime.empty([int(extent) for extent in ty.shape], str(ty.dtype))
    library["main"](*map(tvm.runtime.tensor, [data, *workload.constants]), result)
    return result.numpy()


@int8_primitives
@pytest.mark.parametrize("name", DOT_PRODUCTS)
def test_every_candidate_uses_the_dot_product(int8, tmp_path, primitive, name, capfd):
    described, intrinsic, instruction = DOT_PRODUCTS[name]
    workload = workload_of(int8, primitive, described, tmp_path)
    schedules = sampled(workload, design_space(workload.target))
    assert len(schedules) > 4
    for schedule in schedules:
        assert intrinsic in schedule.mod.script()
    code = compile_kernel(named_main(schedules[0].mod["main"]), workload.target)
    assert re.search(instruction, code.inspect_source("asm"))
    # A candidate that cannot use it is rejected without a word.
    assert "Tensorize failed" not in capfd.readouterr().err


@pytest.mark.parametrize("primitive", GENERAL)
def test_candidates_of_int8_are_exact(int8, tmp_path, primitive, monkeypatch):
    monkeypatch.setattr(schedule_search, "POPULATION", 8)
    workload = workload_of(int8, primitive, HOST, tmp_path)
    data_type = workload.function.params[0].ty
    shape = [int(extent) for extent in data_type.shape]
    data = np.random.default_rng(0).integers(0, 127, shape).astype(str(data_type.dtype))
    expected = output(workload.default_code, workload, data)
    assert np.unique(expected).size > 9
    schedules = ScheduleSearch(workload, cost_model(0), 4, 0).propose(4)
    assert len(schedules) == 4
    for schedule in schedules:
        np.testing.assert_array_equal(output(schedule, workload, data), expected)
    dot_product = extension(workload.target, "int8").dot_product.format(bits=512)
    if dot_product and primitive != "direct":  # whose neighbouring channels are a plane apart
        assert all(dot_product in schedule.mod.script() for schedule in schedules)


def test_the_rule_for_int8_leaves_other_kernels_to_the_plain_rules(tmp_path):
    described = X86 | {"mcpu": "icelake-server"}
    workload = workload_of(network_of(16, linear=False), "spatial_pack", described, tmp_path)
    plain = ms.space_generator.PostOrderApply(
        sch_rules="llvm", postprocs="llvm", mutator_probs="llvm"
    )
    both = (sampled(workload, space) for space in (design_space(workload.target), plain))
    for schedule, expected in zip(*both, strict=True):
        tvm.ir.assert_structural_equal(schedule.mod, expected.mod)


def test_sums_that_threads_of_a_gpu_share_have_a_design_space_whatever_the_seed(tmp_path):
    limits = {"max_threads_per_block": 1024, "max_shared_memory_per_block": 49152}
    gpu = {"kind": "cuda", "arch": "sm_90", **limits, "thread_warp_size": 32, "host": X86}
    found = find_workloads(network_of(64, 64, linear=False), "direct", "dense", gpu, tmp_path)
    (workload,) = (each for each in found if "64x64" in each.name)
    assert thread_blocks.PRODUCTS in tiling.block_names(Schedule(workload.function))
    space = design_space(workload.target)
    for seed in range(1, 17):
        assert context_of(workload, space, seed).generate_design_space()


def test_what_has_no_rules_is_declined():
    dense, csr = primitives.load_format("dense"), primitives.load_format("csr")
    limits = {"max_threads_per_block": 256, "max_shared_memory_per_block": 32768}
    here, cuda, opencl = (
        processor(complete(each), "float32")
        for each in (
            HOST,
            {"kind": "cuda", "arch": "sm_90", **limits, "host": X86},
            {"kind": "opencl", "device": "mali", **limits, "host": {"kind": "llvm"}},
        )
    )
    assert supports(dense, here) is None
    assert supports(dense, cuda) is None
    assert supports(dense, opencl) == (
        "auto-scheduling for opencl; allowed: targets of the kinds llvm, cuda"
    )
    assert supports(csr, here) == (
        "auto-scheduling of csr weights, whose loops depend on data; allowed: dense"
    )


def test_no_tensor_intrinsics_of_tvm_are_imported():
    program = (
        f"import sys, {schedule_search.__name__}, {rules.__name__};"
        f"{rules.__name__}.ms.TuneContext();"
        "print([name for name in sys.modules if name.startswith('tvm.s_tir.tensor_intrin.')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
