"""A peer runtime computes an exported network as PyTorch does, and can be timed."""

import time

import numpy as np
import pytest

from dlas import registry
from dlas.errors import StudyError
from dlas.runtimes import peer as peers
from tests.unit.runtimes.exported import CORES, FILES, export_network

KIND = "runtime"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    return export_network(tmp_path_factory.mktemp("exported"))


def file_of(name):
    loads = registry.describe("runtime", name).loads
    assert loads in FILES, f"it loads .{loads} files; allowed: {', '.join(FILES)}"
    return FILES[loads]


def started(folder, name, file):
    return peers.started({name: file}, folder / "reference.npz", CORES)


def test_a_peer_computes_the_network_and_is_timed(exported, name):
    with (
        np.load(exported / "reference.npz") as arrays,
        started(exported, name, exported / file_of(name)) as found,
    ):
        peer = found[name]
        np.testing.assert_allclose(peer.logits(), arrays["outputs"], rtol=1e-4, atol=1e-5)
        start = time.perf_counter()
        (seconds,) = peer.time(2000)
        assert 1e-6 < seconds < (time.perf_counter() - start) / 2000
    assert peer.worker.pid is None


def test_a_damaged_network_gives_one_line(exported, tmp_path, name):
    file = tmp_path / file_of(name)
    file.write_bytes((exported / file.name).read_bytes()[:500])
    with started(exported, name, file) as found, pytest.raises(StudyError) as error:
        found[name].logits()
    assert f"the peer {name}: " in str(error.value) and "\n" not in str(error.value)
