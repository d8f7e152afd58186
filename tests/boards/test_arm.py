"""An aarch64 server under qemu, reached over RPC as a board is. Its times mean nothing."""

import time

import numpy as np
import pandas as pd
import pytest
import torch

from dlas import compression, datasets
from dlas.compiler.build import build_library
from dlas.compiler.check import check_outputs
from dlas.compiler.importer import import_network, reference_outputs
from dlas.compiler.library import load_library
from dlas.compiler.tuning import schedule_search
from dlas.compiler.tuning.auto_scheduling import auto_schedule
from dlas.compiler.tuning.network import tune_network
from dlas.compiler.tuning.settings import Settings
from dlas.errors import StudyError
from dlas.hardware import board as machine
from dlas.hardware import peak
from dlas.hardware.connections.remote import RemoteDevice
from dlas.hardware.devices import device_opener, open_device
from dlas.hardware.platforms import Platform, target
from dlas.models.training import Recipe
from tests.boards import arm, serving
from tests.unit.primitives.layers import GENERAL

pytestmark = pytest.mark.boards

AARCH64 = {"kind": "llvm", "mtriple": "aarch64-linux-gnu"}
A73 = AARCH64 | {"mcpu": "cortex-a73", "mattr": ["+neon"]}
NEWER = AARCH64 | {
    "mattr": ["+neon", "+fullfp16", "+dotprod", "+i8mm"]
}  # arithmetic on float16 and int8
A76 = AARCH64 | {"mcpu": "cortex-a76"}  # whose dot product takes int8 feature maps
TOLERANCES = {"float32": 1e-4, "float16": 2e-2, "int8": 1e-3}
SIZE, AARCH64_ELF = 16, [2, 183]


@pytest.fixture(scope="session")
def folder():
    """Where the emulator and the board's system are, set up from nothing."""
    try:
        return arm.set_up()
    except arm.UnavailableError as error:
        arm.give_up(error)


@pytest.fixture(scope="session")
def address(folder):
    """A server on an emulated processor that has all that there is."""
    command, environment = arm.python(folder)
    with serving.server(python=command, environment=environment) as board:
        yield board.address


def platform_at(address, described=A73):
    connection = {"server": address, "timeout_s": 120}
    return Platform("emulated_arm", described, 1, connection=connection, simulated=True)


def tiny():
    """Convolutions of every kind: 3x3, strided, depthwise, pointwise. Two of them have zeros."""
    torch.manual_seed(0)

    def layer(before, after, kernel, **options):
        convolution = torch.nn.Conv2d(before, after, kernel, bias=False, **options)
        return convolution, torch.nn.BatchNorm2d(after), torch.nn.ReLU()

    model = torch.nn.Sequential(
        *layer(3, 16, 3, padding=1),
        *layer(16, 24, 3, padding=1, stride=2),
        *layer(24, 24, 3, padding=1, groups=24),
        *layer(24, 32, 1),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(32, 10),
    )
    for pruned in (model[3], model[9]):
        pruned.weight.data *= torch.rand_like(pruned.weight) < 0.3
    return model.eval()


def random_split(count):
    generator = np.random.default_rng(count)
    images = generator.integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)
    return datasets.Split(images, np.arange(count, dtype=np.int64) % 10)


@pytest.fixture(scope="session")
def networks():
    """By dtype: a network, images, and the logits that it must compute."""
    dataset = datasets.assemble(*map(random_split, (20, 10, 10)), tuple("abcdefghij"))
    recipe = Recipe("sgd", 0.1, 0.0, epochs=1, batch_size=8)
    settings = {"observer": "minmax", "calibration_images": 8, "epochs": 0}
    images = datasets.normalize(dataset.test.images[:2], dataset.mean, dataset.std)
    made = {}
    for dtype, technique in (("float32", "none"), ("float16", "float16"), ("int8", "int8")):
        task = compression.Task(dataset, settings, recipe, 0, 1, False, 0)
        model = compression.load(technique).compress(tiny(), None, task)
        network = import_network(model, (1, 3, SIZE, SIZE))
        made[dtype] = network, images, reference_outputs(model, network, images)
    return made


@pytest.mark.parametrize("described", [A73, A76, NEWER], ids=["a73", "a76", "newer"])
@pytest.mark.parametrize(
    ("weight_format", "dtype"),
    [
        *(("dense", dtype) for dtype in ("float32", "float16", "int8")),
        *((sparse, dtype) for sparse in ("csr", "bsr") for dtype in ("float32", "int8")),
    ],
)
@pytest.mark.parametrize("primitive", GENERAL)
def test_every_primitive_runs_on_arm(
    address, networks, tmp_path, primitive, weight_format, dtype, described
):
    """Cross-compiled, uploaded, checked against the framework, timed."""
    platform = platform_at(address, described)
    network, images, expected = networks[dtype]
    library = build_library(network, primitive, weight_format, target(platform))
    assert library.record()["status"] == (
        "widened" if dtype == "float16" and described is A73 else "ok"
    )
    library.export(tmp_path / "net.so", platform.linker)
    assert machine.elf(tmp_path / "net.so") == AARCH64_ELF
    with open_device(platform, 1) as board:
        loaded = load_library(tmp_path / "net.so", board)
        check_outputs(loaded, images, expected, dtype, TOLERANCES[dtype])
        assert loaded.timer(images[:1]).time(2)[0] > 0


def test_a_network_is_tuned_over_the_connection(address, networks, tmp_path):
    platform, (network, images, expected) = platform_at(address), networks["float32"]
    settings = Settings(
        "evolutionary",
        {"layer": 3, "network": 12},
        3,
        {"repeats": 1, "min_repeat_ms": 1, "timeout_s": 120},
        {"finalists": 1, "repeats": 5},
    )
    outcome = tune_network(
        network,
        "spatial_pack",
        "dense",
        target(platform),
        settings,
        records=tmp_path,
        seed=0,
        opener=device_opener(platform),
    )
    assert pd.DataFrame(outcome.curve)["latency_ms"].notna().sum() > 5
    library = build_library(network, "spatial_pack", "dense", target(platform), outcome.choices)
    library.export(tmp_path / "net.so")
    with open_device(platform, 1) as board:
        loaded = load_library(tmp_path / "net.so", board)
        check_outputs(loaded, images, expected, "float32", 1e-4)


@pytest.mark.parametrize(
    ("dtype", "described", "instruction"), [("float32", A73, ""), ("int8", A76, "sdot")]
)
def test_candidates_of_auto_scheduling_run_on_arm(
    address, networks, tmp_path, dtype, described, instruction, monkeypatch
):
    """Each is right, or it would be thrown away: it is compared with the default schedule."""
    monkeypatch.setattr(schedule_search, "POPULATION", 8)
    platform, (network, _, _) = platform_at(address, described), networks[dtype]
    settings = Settings(
        "evolutionary",
        {"layer": 3, "network": 3},
        3,
        {"repeats": 1, "min_repeat_ms": 1, "timeout_s": 120},
        {"finalists": 1, "repeats": 5},
    )
    outcome = auto_schedule(
        network,
        "spatial_pack",
        "dense",
        target(platform),
        settings,
        records=tmp_path,
        seed=0,
        opener=device_opener(platform),
    )
    assert [row["latency_ms"] is None for row in outcome.curve] == [False] * 3
    (trace,) = [choice["trace"] for choice in outcome.choices.values() if choice["trace"]]
    assert instruction in str(trace)


def test_the_record_of_a_simulated_platform(address):
    record = peak.measure_platform(platform_at(address))
    assert record["status"] == "ok" and record["simulated"] and record["peak_gflops"] is None
    with RemoteDevice(platform_at(address)) as board:
        assert board.facts["elf"] == AARCH64_ELF


def test_a_library_for_this_machine_is_refused(address, networks, tmp_path):
    network, _, _ = networks["float32"]
    here = target(Platform("here", threads=1))
    build_library(network, "direct", "dense", here).export(tmp_path / "net.so")
    start = time.monotonic()
    with (
        RemoteDevice(platform_at(address)) as board,
        pytest.raises(StudyError, match=r"net\.so is for x86_64 .*the board is aarch64"),
    ):
        load_library(tmp_path / "net.so", board)
    assert time.monotonic() - start < 30
