"""An error of one configuration is the status of its row, and all others are ok."""

import ctypes

import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from dlas import study
from tests.workflow.project import ROOT, copy

pytestmark = pytest.mark.xdist_group("statuses")

# Primitives like `direct`, each with one thing that is different.
LIKE_DIRECT = '''"""A primitive for tests."""

import os

from tvm import te, tirx

from dlas.plugins import PrimitivePlugin
from dlas.primitives import direct
from dlas.primitives.direct import convolve, layout, pack_weight, packing, planes, schedule

PLUGIN = PrimitivePlugin(label="{name}")

'''
DECLINES = """
def supports(convolution, dtype, vector):
    return None if convolution.kernel == (1, 1) else "allowed: kernels of 1x1"
"""
WRONG = """
def pack_weight(weight, *rest):
    return -direct.pack_weight(weight, *rest)
"""
ABORTS = """
def schedule(*_):
    os.abort()
"""
# In the first layer each run takes one number from the C library's sequence, and waits for ever at
# a number that comes after the runs of the check and before the last ones of the timing.
HANGS = """
def convolve(data, weight, convolution, *rest):
    sums = direct.convolve(data, weight, convolution, *rest)
    if convolution.in_channels != 3:
        return sums

    def maybe(*index):
        number = tirx.call_extern("int32", "rand")
        wait = tirx.call_extern("int32", "pause")
        ends = tirx.if_then_else(number == {number}, wait, 0).astype(data.dtype)
        return sums(*index) + tirx.if_then_else(sum(index) == 0, ends, tirx.const(0, data.dtype))

    return te.compute(sums.shape, maybe, name="maybe")
"""
RUNS = 150  # until a run hangs
PRIMITIVES = {
    "declines": DECLINES,
    "wrong": WRONG,
    "aborts": ABORTS,
    "hangs": HANGS,
}
TIMING = {"warmup": 100, "rounds": 5, "min_repeat_ms": 1}
OVERLAY = {
    "study": {
        "datasets": ["digits_8x8"],
        "models": {"digits_8x8": ["resnet18"]},
        "compression": ["none", "float16"],
        "primitives": ["direct", "gemm", *PRIMITIVES],
        "formats": ["dense"],
        "tuning": ["untuned"],
        "platforms": ["local_cpu", "gone"],
        "peers": ["onnxruntime"],
    },
    "datasets": {"digits_8x8": {"test_fraction": 0.05}},
    "models": {"weights": {"digits_8x8": {"resnet18": "overflowing.safetensors"}}},
    "compiler": {"check": {"images": 2}},
    "platforms": {
        "local_cpu": {"threads": 1, "timing": TIMING},
        "gone": {
            "target": {"kind": "llvm", "mcpu": "x86-64-v2"},
            "threads": 1,
            "connection": {"server": "127.0.0.1:9", "timeout_s": 1},
            "timing": TIMING,
        },
    },
}
CHECKPOINT = "results/models/digits_8x8/resnet18/checkpoint.safetensors"


def number_after(runs):
    """Return the number that the C library's `rand` gives in the run after so many."""
    library = ctypes.CDLL(None)
    library.srand(1)
    return [library.rand() for _ in range(runs + 1)][-1]


def overflowing(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return float32 weights of the same function whose activations overflow float16."""
    factor = 1e5
    for name in ("layer4.0.bn2", "layer4.0.downsample.1", "layer4.1.bn2"):
        for part in ("weight", "bias"):
            weights[f"{name}.{part}"] *= factor
    weights["layer4.1.bn1.running_mean"] *= factor
    weights["layer4.1.bn1.running_var"] *= factor**2
    weights["fc.weight"] /= factor
    return weights


@pytest.fixture(scope="module")
def provoked(tmp_path_factory):
    """The study after `snakemake all`, with one fault of each kind."""
    project = copy(ROOT, tmp_path_factory.mktemp("statuses") / "study")
    project.snakemake("--cores", "1", CHECKPOINT)
    weights = load_file(project.folder / CHECKPOINT)
    save_file(overflowing(weights), project.folder / "overflowing.safetensors")
    for name, difference in PRIMITIVES.items():
        text = LIKE_DIRECT.replace("{name}", name) + difference
        text = text.replace("{number}", str(number_after(RUNS)))
        (project.folder / f"dlas/primitives/{name}.py").write_text(text)
    project.edit(
        "dlas/hardware/contenders.py",
        lambda text: text.replace(
            "START_TIMEOUT_S, SLOWER = 120.0", "START_TIMEOUT_S, SLOWER = 20.0"
        ),
    )
    (project.folder / "overlay.yaml").write_text(yaml.safe_dump(OVERLAY))
    files = ("--configfile", "config/smoke.yaml", "overlay.yaml")
    project.snakemake(*files, "--cores", "2", "all", config=None)
    return project


def table(project, name):
    return pd.read_csv(project.folder / f"results/{name}.csv", keep_default_na=False)


def expected(row):
    """Return how the status of a row begins."""
    if row.compression == "float16":
        return "failed: layer4.0.conv2.bias in the compressed network: 10 of 64 values are NaN or "
    if row.platform == "gone":
        return "unreachable: platform 'gone': no free board at the server 127.0.0.1:9 within 1 s"
    broken = {
        "declines": "unsupported: convolution 3x3",
        "aborts": "failed: the compiler: the process died of SIGABRT",
    }
    if row.primitive in broken:
        return broken[row.primitive]
    return {
        "wrong": "wrong: largest relative error of a logit ",
        "hangs": "failed: its timing: no answer within ",
    }.get(row.primitive, "ok")


def test_each_configuration_has_a_row_with_its_status(provoked):
    rows = table(provoked, "study")
    assert len(rows) == 2 * 2 * (2 + len(PRIMITIVES))
    for row in rows.itertuples():
        assert row.status.startswith(expected(row)), row
        assert "\n" not in row.status
    measured = rows[rows.status == "ok"]
    assert sorted(measured.primitive) == ["direct", "gemm"]
    assert (pd.to_numeric(measured.latency_ms) > 0).all() and set(
        pd.to_numeric(measured.repeats)
    ) == {5}
    assert (rows[rows.status != "ok"].latency_ms == "").all()


def test_a_network_whose_weights_are_not_finite_has_no_accuracy(provoked):
    for name in ("study", "accuracy_curves", "tables/accuracy_and_compression"):
        rows = table(provoked, name)
        assert (rows[rows.compression == "float16"].top1 == "").all()
        assert (rows[rows.compression == "none"].top1 != "").all()
    assert not list(provoked.folder.glob("results/libraries/digits_8x8/resnet18/float16/*/*/*"))


def test_all_others_are_timed_in_all_rounds(provoked):
    samples = pd.read_csv(provoked.folder / "results/timings/digits_8x8/resnet18/local_cpu.csv")
    assert set(samples.primitive.dropna()) == {"direct", "gemm"}
    measured = samples[samples.role == "measured"].groupby("primitive")["round"]
    assert all(list(rounds) == list(range(5)) for _, rounds in measured)
    peers = table(provoked, "peers")
    assert list(peers.runtime) == ["onnxruntime"] and list(peers.status) == ["ok"]


def test_tables_verdicts_and_figures_are_there(provoked):
    observations = table(provoked, "observations")
    assert len(observations) == 15 and set(observations.verdict) <= {
        "supported",
        "contradicted",
        "inconclusive",
    }
    for number in observations.observation:
        assert (provoked.folder / f"plots/observation_{int(number):02}.pdf").stat().st_size
    for name in study.FIGURES:
        assert (provoked.folder / study.path(name, extension="pdf")).stat().st_size
    for name in study.SUMMARY_TABLES:
        assert len(table(provoked, f"tables/{name}"))
    assert len(table(provoked, "recommendation")) and len(table(provoked, "noise_floor"))


def test_nothing_is_left_to_do(provoked):
    files = ("--configfile", "config/smoke.yaml", "overlay.yaml")
    assert provoked.planned(*files, config=None) == {}
