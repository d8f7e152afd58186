"""Real peers in processes of their own, on a network of two layers."""

import io
import os
import signal
import time
import zipfile
from pathlib import Path

import pytest
import torch

from dlas.errors import StudyError, UnsupportedError
from dlas.runtimes import peer as peers
from tests.unit.runtimes.exported import CORES, FILES, export_network

NETWORKS = {"onnxruntime": FILES["onnx"], "pytorch": FILES["pt2"]}
ONE = {"onnxruntime": FILES["onnx"]}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return export_network(tmp_path_factory.mktemp("tiny"))


def started(folder, cores=CORES, files=NETWORKS):
    networks = {name: folder / file for name, file in files.items()}
    return peers.started(networks, folder / "reference.npz", cores)


def test_an_export_is_there_whole_and_alone(tiny):
    assert sorted(file.name for file in tiny.iterdir()) == [
        *sorted(["reference.npz", *FILES.values()])
    ]


def test_a_peer_has_the_cores_that_it_is_given(tiny):
    with started(tiny, CORES[-1:], ONE) as found:
        (peer,) = found.values()
        peer.logits()
        assert os.sched_getaffinity(peer.worker.pid) == {CORES[-1]}


def test_an_idle_peer_leaves_the_cores_alone(tiny):
    """Threads that spin for more work would use all of them."""
    with started(tiny) as found:
        for peer in found.values():
            peer.logits()
            peer.time(100)
        before = [processor_seconds(peer) for peer in found.values()]
        time.sleep(0.2)
        after = [processor_seconds(peer) for peer in found.values()]
    assert after == pytest.approx(before, abs=0.02)


def processor_seconds(peer):
    """What all threads of a peer have used, in user and in system mode."""
    stat = Path(f"/proc/{peer.worker.pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, stat[11:13])) / os.sysconf("SC_CLK_TCK")


def test_a_peer_that_dies_is_told(tiny):
    with started(tiny, files=ONE) as found:
        (peer,) = found.values()
        peer.logits()
        os.kill(peer.worker.pid, signal.SIGKILL)
        with pytest.raises(StudyError, match="the peer onnxruntime: the process died of SIGKILL"):
            peer.time(1)


def test_a_peer_that_hangs_is_told_and_ended(tiny):
    with started(tiny, files=ONE) as found:
        (peer,) = found.values()
        peer.logits()
        os.kill(peer.worker.pid, signal.SIGSTOP)
        with pytest.raises(StudyError, match=r"onnxruntime: no answer within 0\.1 s"):
            peer.logits(timeout_s=0.1)
        assert peer.worker.pid is None


def test_a_network_that_holds_code_does_not_run_it(tiny, tmp_path):
    ran = tmp_path / "ran"

    class Code:
        def __reduce__(self):
            return Path.touch, (ran,)

    pickled = io.BytesIO()
    torch.save(Code(), pickled)
    file = tmp_path / FILES["pt2"]
    with zipfile.ZipFile(tiny / file.name) as sound, zipfile.ZipFile(file, "w") as changed:
        for name in sound.namelist():
            inside = "sample_inputs" in name
            changed.writestr(name, pickled.getvalue() if inside else sound.read(name))
    with started(tiny, files={"pytorch": file}) as found, pytest.raises(StudyError):
        found["pytorch"].logits()
    assert not ran.exists()


def test_peers_end_with_the_block_whatever_happens(tiny):
    with pytest.raises(ValueError), started(tiny) as found:
        raise ValueError
    assert all(peer.worker.pid is None for peer in found.values())


def test_a_peer_that_is_not_installed_is_told(tiny, tmp_path, monkeypatch):
    missing = "raise ModuleNotFoundError('No module named ncnn', name='ncnn')"
    (tmp_path / "ncnn.py").write_text(missing)
    monkeypatch.syspath_prepend(tmp_path)
    with (
        started(tiny, files={"ncnn": FILES["onnx"]}) as found,
        pytest.raises(UnsupportedError, match="the peer ncnn: its package ncnn is not installed"),
    ):
        found["ncnn"].logits()


def test_an_unknown_peer_is_told(tiny):
    with pytest.raises(StudyError, match="unknown runtime 'tvm'; allowed: mnn, ncnn, onnxruntime"):
        peers.Peer("tvm", "any", tiny / "reference.npz", CORES)
