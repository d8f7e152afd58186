"""A platform behind a connection, on this machine's loopback: everything done with one."""

import sys
import threading
import time

import numpy as np
import pandas as pd
import pytest

from dlas.compiler.build import build_library
from dlas.compiler.library import load_library
from dlas.compiler.tuning.network import tune_network
from dlas.compiler.tuning.settings import Settings
from dlas.errors import StudyError
from dlas.hardware import host, peak
from dlas.hardware.connections.remote import RemoteDevice
from dlas.hardware.devices import device_opener, open_device
from dlas.hardware.platforms import Platform, resolve, target
from tests.boards import serving
from tests.unit.compiler.imported import network_of

IMAGES = np.random.default_rng(0).standard_normal((2, 3, 8, 8), "float32")


def remote(address, **changes):
    """A platform of one thread behind a server."""
    connection = {"server": address, "timeout_s": 20} | changes.pop("connection", {})
    return Platform("board", serving.CPU, 1, connection=connection, **changes)


def folder_of(board):
    """Where the session keeps its files."""
    return str(board.session.get_function("tvm.rpc.server.workpath")(""))


@pytest.fixture(scope="module")
def network():
    return network_of(16, 16)


@pytest.fixture(scope="module")
def library(network, tmp_path_factory):
    file = tmp_path_factory.mktemp("library") / "net.so"
    build_library(network, "direct", "dense", target(remote("127.0.0.1:1"))).export(file)
    return file


def test_a_network_computes_the_same_on_a_board_and_is_timed_there(server, library):
    here = load_library(library).run(IMAGES)
    with open_device(remote(server), 1) as board:
        assert not board.observable and len(board.devices) == 1
        there = load_library(library, board)
        np.testing.assert_array_equal(there.run(IMAGES), here)
        first, again = (there.timer(IMAGES[:1]), load_library(library, board).timer(IMAGES[:1]))
        assert 0 < min(first.time(10)[0], again.time(10)[0]) < 0.1


def test_a_board_keeps_no_file_once_it_is_loaded(server, library):
    with RemoteDevice(remote(server)) as board:
        board.load(library)
        assert board.session.get_function("dlas.digest")("0.so") == ""


def test_the_limits_of_a_board_are_measured_on_it(server):
    with RemoteDevice(remote(server)) as board:
        assert board.facts["cores"] == len(host.cores()) and board.status(1) == "ok"
        assert board.status(99).startswith("unsupported: 99 threads asked for, the board has")
        board.use_threads(1)
        rate = peak.measure_arithmetic(target(remote(server)), 1, device=board)
        assert 1 < rate < 1000
        kernel, size = peak.reading(target(remote(server)), 1, 1 << 20, board)
        assert 0.1 < 1e-9 * size / kernel.best() < 1000


def test_a_simulated_platform_has_no_limits(server):
    record = peak.measure_platform(remote(server, simulated=True))
    assert record["status"] == "ok" and record["simulated"] and record["peak_gflops"] is None
    assert record["tvm_version"] and record["cores"] == len(host.cores())


def test_a_gpu_that_the_board_does_not_have_is_unreachable(server):
    mali = {"kind": "opencl", "device": "mali", "max_threads_per_block": 256}
    platform = Platform("mali", mali, 1, serving.CPU, connection={"server": server})
    record = peak.measure_platform(platform)
    assert record["status"] == "unreachable: the board has no device of kind opencl"
    assert record["peak_gflops"] is None
    assert resolve(platform)["target"]["host"]["mcpu"] == "x86-64-v2"


@pytest.mark.parametrize("finalists", [1, 2])
def test_a_network_is_tuned_on_a_board(server, network, tmp_path, finalists):
    platform = remote(server)
    settings = Settings(
        "evolutionary",
        {"layer": 3, "network": 100},
        3,
        {"repeats": 2, "min_repeat_ms": 0.2, "timeout_s": 60},
        {"finalists": finalists, "repeats": 5},
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
    assert len(outcome.choices) == 3 and pd.DataFrame(outcome.curve)["latency_ms"].notna().sum() > 2
    # The network is timed as a whole, so that all its layers are decided alike.
    changed = [choice["ratio"] for choice in outcome.choices.values() if choice["decisions"]]
    assert len(set(changed)) <= 1
    library = build_library(network, "spatial_pack", "dense", target(platform), outcome.choices)
    library.export(tmp_path / "net.so")
    with open_device(platform, 1) as board:
        tuned = load_library(tmp_path / "net.so", board).run(IMAGES)
    default = build_library(network, "spatial_pack", "dense", target(platform)).load().run(IMAGES)
    np.testing.assert_allclose(tuned, default, atol=1e-5)


def test_a_tracker_gives_each_client_a_board_of_its_own(library):
    with serving.tracker() as tracker:
        host_, port = tracker.address.split(":")
        report = ("--tracker", f"{host_}:{port}", "--key", "pair", "--custom-addr", "127.0.0.1")
        settings = {"tracker": tracker.address, "key": "pair", "timeout_s": 20}
        platform = Platform("pair", serving.CPU, 1, connection=settings)
        with serving.server(*report), serving.server(*report):
            with RemoteDevice(platform) as first, RemoteDevice(platform) as second:
                assert len({folder_of(board) for board in (first, second)}) == 2
                waited = []

                def third():
                    with RemoteDevice(platform):
                        waited.append(time.monotonic())

                waiting = threading.Thread(target=third)
                waiting.start()
                time.sleep(1)
                assert not waited
                released = time.monotonic()
            waiting.join(20)
            assert waited and waited[0] >= released


def test_a_linker_is_a_command_in_words(network, tmp_path):
    library = build_library(network, "direct", "dense", target(remote("127.0.0.1:1")))
    library.export(tmp_path / "net.so", [sys.executable, "-m", "ziglang", "ld.lld"])
    np.testing.assert_array_equal(
        load_library(tmp_path / "net.so").run(IMAGES), library.load().run(IMAGES)
    )
    with pytest.raises(StudyError, match="the linker no-such-linker cannot be run"):
        library.export(tmp_path / "none.so", ["no-such-linker"])
    assert not (tmp_path / "none.so").exists()
