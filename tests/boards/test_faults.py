"""Failures on the way to a board: every wait ends, and one line names the platform."""

import os
import resource
import sys
import threading
import time
from functools import partial

import numpy as np
import psutil
import pytest

from dlas import datasets
from dlas.compiler.build import build_library, complete
from dlas.compiler.device import DeviceError, LostError
from dlas.compiler.library import load_library
from dlas.compiler.lowering import layers
from dlas.compiler.tuning.building import Job, build, write_candidate
from dlas.compiler.tuning.measurement import CandidateError, Measurer, Reference
from dlas.compiler.tuning.network import tune_network
from dlas.compiler.tuning.records import Records
from dlas.compiler.tuning.settings import Settings
from dlas.hardware import contenders, peak
from dlas.hardware.checking import Expectation, check_libraries
from dlas.hardware.connections.remote import RemoteDevice
from dlas.hardware.devices import device_opener, open_device
from dlas.hardware.platforms import Platform, target
from dlas.hardware.timing import Contenders, Variant, time_libraries
from dlas.primitives import load, load_format
from dlas.primitives.vector import vector_unit
from tests.boards import arm, serving
from tests.unit.compiler.imported import network_of

IMAGE = np.zeros((1, 3, 8, 8), "float32")
ARM = {"kind": "llvm", "mtriple": "aarch64-linux-gnu", "mcpu": "cortex-a73"}
SETTINGS = Settings(
    "replay-trace",
    {"layer": 30, "network": 1000},
    3,
    {"repeats": 2, "min_repeat_ms": 0.2, "timeout_s": 30},
    {"finalists": 1, "repeats": 5},
)


def platform_at(address, timeout_s=20.0, kind="server", **more):
    connection = {kind: address, "timeout_s": timeout_s} | more
    return Platform("paperweight", serving.CPU, 1, connection=connection)


CPU = target(platform_at("127.0.0.1:1"))


@pytest.fixture(scope="module")
def network():
    return network_of(32, 32)


@pytest.fixture(scope="module")
def library(network, tmp_path_factory):
    file = tmp_path_factory.mktemp("library") / "net.so"
    build_library(network, "direct", "dense", CPU).export(file)
    return file


def fails(said, within, run, kind=DeviceError):
    """Check that something ends in time with one line on the platform."""
    start = time.monotonic()
    with pytest.raises(kind, match=said) as error:
        run()
    assert time.monotonic() - start < within
    assert str(error.value).startswith("platform 'paperweight': ")
    assert "\n" not in str(error.value)


def later(what, seconds=0.5):
    """Do something while the test goes on."""
    timer = threading.Timer(seconds, what)
    timer.start()
    return timer


def session_of(served):
    """The process of the session that a server has."""
    (process,) = psutil.Process(served.process.pid).children()
    return process


def time_for_long(address, library):
    with open_device(platform_at(address), 1) as board:
        timer = load_library(library, board).timer(IMAGE)
        for _ in range(10_000):
            timer.time(1000)


def test_a_board_that_disappears_while_timing(library):
    with serving.server() as board:
        later(board.kill, 1.5)
        fails("the board is gone", 10, lambda: time_for_long(board.address, library), LostError)


def tuned(network, address, records, settings=SETTINGS):
    platform = platform_at(address, 3)
    opener = device_opener(platform)
    return tune_network(
        network, "direct", "dense", CPU, settings, records=records, seed=0, opener=opener
    )


def trials(network, records):
    found = layers(
        network, load("direct"), load_format("dense"), vector_unit(complete(CPU), "float32")
    )
    kept = {}
    for folder in records.iterdir():
        layer = next(
            layer for layer, _ in found if folder.name.startswith(f"{layer.workload:016x}")
        )
        kept[folder.name] = Records(folder, layer, complete(CPU)).trials
    return kept


def test_a_board_that_disappears_while_tuning_leaves_the_records_as_they_are(network, tmp_path):
    with serving.server() as board:

        def kill_after_some():
            while (
                sum(len(file.read_bytes().splitlines()) for file in tmp_path.glob("*/*.jsonl")) < 6
            ):
                time.sleep(0.01)
            board.kill()

        later(kill_after_some, 0)
        fails("no free board at the server", 60, lambda: tuned(network, board.address, tmp_path))
    kept = trials(network, tmp_path)
    assert sum(map(len, kept.values())) >= 6
    assert not any(trial.failed for one in kept.values() for trial in one)
    few = Settings(
        SETTINGS.strategy,
        {"layer": 3, "network": 100},
        3,
        SETTINGS.measurement,
        SETTINGS.confirmation,
    )
    with serving.server() as board:  # another one, later: the job goes on
        assert tuned(network, board.address, tmp_path, few).choices
    after = trials(network, tmp_path)
    assert all(after[name][: len(one)] == one for name, one in kept.items())


def test_a_candidate_that_crashes_the_board_is_its_own_fault(network, tmp_path):
    vector = vector_unit(complete(CPU), "float32")
    (layer, _), *_ = layers(network, load("direct"), load_format("dense"), vector)
    folder = tmp_path / "candidate"

    def write(place):
        write_candidate(layer, {}, complete(CPU), place)

    assert [built.reason for built in build([Job(write, folder)], 60)] == [None]
    with serving.server() as board:
        opener = device_opener(platform_at(board.address))
        measurer = Measurer(opener, repeats=100_000, min_repeat_ms=10, timeout_s=60)
        try:
            measurer.use(Reference(folder, 1))
            later(lambda: session_of(board).kill())
            with pytest.raises(CandidateError, match="the board is gone"):
                measurer.time(folder)
            measurer.repeats = 2
            assert len(measurer.time(folder)) == 2
        finally:
            measurer.close()


def test_a_tracker_without_a_free_board():
    with serving.tracker() as tracker:
        platform = platform_at(tracker.address, 2, "tracker", key="unicorn")
        fails(
            "no free board at the tracker 127.0.0.1:.* within 2 s",
            6,
            lambda: RemoteDevice(platform),
        )


@pytest.mark.parametrize(("kind", "more"), [("server", {}), ("tracker", {"key": "unicorn"})])
def test_nobody_at_the_address(kind, more):
    platform = platform_at("127.0.0.1:9", 2, kind, **more)
    said = f"no free board at the {kind} 127.0.0.1:9 within 2 s"
    fails(said, 6, lambda: RemoteDevice(platform), LostError)


def test_a_board_that_another_client_keeps(server):
    with RemoteDevice(platform_at(server)):
        fails(
            "no free board at the server",
            6,
            lambda: RemoteDevice(platform_at(server, 2)),
            LostError,
        )
    with RemoteDevice(platform_at(server)) as board:
        assert board.status(1) == "ok"


def test_a_board_of_another_version_of_tvm():
    older = (
        "import runpy, sys, tvm\n"
        "tvm.__version__ = '0.26.0'\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    with serving.server(python=(sys.executable, "-c", older)) as board:
        platform = platform_at(board.address)
        fails(r"the board runs TVM 0\.26\.0; allowed: 0\.27", 20, lambda: RemoteDevice(platform))


@pytest.mark.boards
def test_a_board_of_an_older_release(tmp_path):
    """The same with the release itself."""
    packages = ["apache-tvm==0.26.0", *arm.pinned(["apache-tvm-ffi"])]
    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path / "site")]
    try:
        arm.run([sys.executable, *install, *packages], tmp_path)
    except arm.UnavailableError as error:
        arm.give_up(error)
    older = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    with serving.server(environment=older) as board:
        platform = platform_at(board.address)
        fails(r"the board runs TVM 0\.26\.0; allowed: 0\.27", 20, lambda: RemoteDevice(platform))


def test_a_server_that_says_nothing_of_itself():
    stock = (
        "from tvm.rpc.server import PopenRPCServerState, _popen_start_rpc_server as start\n"
        "print(f'serving on 127.0.0.1:{start(\"127.0.0.1\", 9400, 9500)}', flush=True)\n"
    )
    with serving.started([sys.executable, "-c", stock]) as board:
        platform = platform_at(board.address)
        fails("allowed: one that dlas/hardware/board.py starts", 20, lambda: RemoteDevice(platform))


def test_a_library_for_another_architecture_is_refused_before_it_is_sent(server, network, tmp_path):
    file = tmp_path / "arm.so"
    arm = target(Platform("arm", ARM, 1))
    build_library(network, "direct", "dense", arm).export(file)
    with RemoteDevice(platform_at(server)) as board:
        said = r"arm\.so is for aarch64 \(64 bits\), the board is x86_64 \(64 bits\); allowed: "
        fails(said, 5, lambda: load_library(file, board))
        assert board.session.get_function("dlas.digest")("0.so") == ""


def test_a_full_disk_on_the_board(library):
    few = library.stat().st_size // 2
    limit = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (few, few))}
    with serving.server(**limit) as board, RemoteDevice(platform_at(board.address)) as remote:
        fails(
            "the board did not keep the .* disk is full", 20, lambda: load_library(library, remote)
        )


def test_a_timing_that_never_returns_and_the_board_is_free_again(server):
    platform = platform_at(server, 2)
    with RemoteDevice(platform) as board:
        endless = peak.arithmetic(CPU, 1, steps=10**12, device=board)
        fails("no answer of the board within 2 s", 6, lambda: endless.time(1))
    with RemoteDevice(platform_at(server)) as board:
        assert board.status(1) == "ok"


def test_a_session_that_crashes_ends_no_server(library):
    with serving.server() as board:
        later(lambda: session_of(board).kill(), 1.5)
        fails("the board is gone", 10, lambda: time_for_long(board.address, library), LostError)
        with open_device(platform_at(board.address), 1) as again:
            assert load_library(library, again).run(IMAGE).shape == (1, 4)


def test_a_server_listens_where_nobody_else_reaches_it():
    with serving.server() as board:
        (end,) = [
            connection.laddr
            for connection in psutil.Process(board.process.pid).net_connections("inet")
        ]
    assert end.ip == "127.0.0.1"


def builds_of(library, count):
    """Lay out a library under some names, as a build does; return the folder and records."""
    names = [f"{number}" for number in range(count)]
    for name in names:
        (library.parent / f"{name}.so").write_bytes(library.read_bytes())
    return {name: {"status": "ok", "target": CPU} for name in names}


@pytest.fixture(scope="module")
def expected(network, tmp_path_factory):
    """What the network computes."""
    folder = tmp_path_factory.mktemp("expected")
    pixels = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    split = datasets.Split(pixels, np.arange(20) % 4)
    data = datasets.assemble(split, split, split, tuple("abcd"))
    datasets.save(data, folder / "dataset.npz")
    images = np.stack(list(datasets.normalized(data.test, data)))
    logits = build_library(network, "direct", "dense", CPU).load().run(images)
    np.savez(folder / "reference.npz", inputs=images[:4], outputs=logits[:4])
    top1 = datasets.top1(logits, data.test.labels)
    return Expectation(folder / "dataset.npz", folder / "reference.npz", "float32", top1, 1e-4, 0.5)


def test_a_board_that_is_gone_is_looked_for_three_times_and_all_libraries_have_a_status(
    library, expected
):
    start = time.monotonic()
    platform = platform_at("127.0.0.1:9", 1)
    checks = check_libraries(builds_of(library, 20), library.parent, platform, expected, 1)
    assert time.monotonic() - start < 20
    assert len(checks) == 20
    for check in checks.values():
        assert check["status"].startswith("unreachable: platform 'paperweight': no free board")
        assert check["error"] is None


def test_a_library_whose_board_vanishes_is_checked_again(library, expected):
    with serving.server() as board:

        def kill_a_session():
            while not psutil.Process(board.process.pid).children():
                time.sleep(0.01)
            session_of(board).kill()

        later(kill_a_session, 0)
        platform = platform_at(board.address)
        checks = check_libraries(builds_of(library, 3), library.parent, platform, expected, 1)
    assert [check["status"] for check in checks.values()] == ["ok"] * 3
    assert all(check["top1_compiled"] == expected.top1 for check in checks.values())


def test_the_libraries_of_a_board_that_disappears_while_timing_are_unreachable(library, expected):
    with serving.server() as board:
        later(board.kill, 3)
        with contenders.opened(platform_at(board.address, 2)) as bench:
            load = partial(contenders.library, bench, library, expected.reference)
            variants = [Variant("none", name, "dense", "untuned") for name in ("direct", "gemm")]
            chosen = Contenders(
                dict.fromkeys(variants, load),
                contenders.reference_kernel(bench),
                rounds=10_000,
                min_repeat_ms=20,
                warmup=1,
            )
            samples, statuses = time_libraries({"paperweight": chosen}, seed=0)
    assert set(statuses["paperweight"]) == set(variants)
    assert {sample["role"] for sample in samples} <= {"reference"}
    for status in statuses["paperweight"].values():
        assert status.startswith("unreachable: platform 'paperweight': ")
