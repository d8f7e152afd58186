"""All libraries of a network in one job: a failed build is a status, a bug is an error."""

import faulthandler
import json
import os
import sys
import time
from types import ModuleType

import numpy as np
import pytest

from dlas import primitives
from dlas.compiler import build, libraries
from dlas.compiler.build import build_library
from dlas.compiler.layer import workload_hash
from dlas.compiler.library import load_library
from dlas.compiler.lowering import layers
from dlas.compiler.network import save_network
from dlas.errors import StudyError
from dlas.hardware.platforms import Platform, target
from dlas.primitives.vector import vector_unit
from dlas.processes import WorkerError
from tests.unit.compiler.imported import network_of

HOST = target(Platform("host", threads=1))
IMAGES = np.random.default_rng(0).standard_normal((2, 3, 8, 8), "float32")


@pytest.fixture(scope="module")
def network():
    return network_of(16, 16)


@pytest.fixture(scope="module")
def files(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("network")
    found = folder / "network.json", folder / "parameters.safetensors"
    save_network(network, *found)
    return found


def configuration(primitive, tuning="untuned"):
    return {"primitive": primitive, "format": "dense", "tuning": tuning}


def built(files, tmp_path, *names, tunings=None, tuning="untuned", linker=()):
    asked = {f"{name}-dense/{tuning}": configuration(name, tuning) for name in names}
    folders = tmp_path / "libraries", tmp_path / "kernels"
    return libraries.build_libraries(files, asked, HOST, tunings or {}, *folders, linker)


def like_direct(monkeypatch, **differences):
    """Have the primitive `direct` be another one, in the processes that are forked as well."""
    direct = primitives.load("direct")
    one = ModuleType(direct.__name__)
    vars(one).update({name: each for name, each in vars(direct).items() if name[0] != "_"})
    vars(one).update(differences)
    monkeypatch.setitem(sys.modules, direct.__name__, one)


def test_each_library_has_a_record_and_a_file(files, network, tmp_path):
    records = built(files, tmp_path, "direct", "gemm")
    assert json.loads(json.dumps(records)) == records
    for name, record in records.items():
        library = tmp_path / "libraries" / f"{name}.so"
        assert record["status"] == "ok" and record["target"] == HOST
        assert record["variant"] == [name.partition("-")[0], "dense", "untuned"]
        assert record["library_bytes"] == library.stat().st_size
        assert record["convolutions"] == 3 and record["scheduled_layers"] is None
        alone = build_library(network, record["variant"][0], "dense", HOST)
        np.testing.assert_array_equal(load_library(library).run(IMAGES), alone.load().run(IMAGES))


def declines(convolution, dtype, vector):
    return "allowed: kernels of 5x5"


def aborts(*_):
    faulthandler.disable()  # it is one process's of many that pytest would print
    os.abort()


def fails(*_):
    raise ValueError("a tile of 0 rows")


@pytest.mark.parametrize(
    ("difference", "status"),
    [
        ({"supports": declines}, "unsupported: convolution 3x3 stride 1x1, 3 to 16 channels"),
        ({"schedule": aborts}, "failed: the compiler: the process died of SIGABRT"),
        ({"schedule": fails}, "failed: the compiler: ValueError: a tile of 0 rows"),
    ],
)
def test_a_library_that_cannot_be_built_is_a_status_and_stops_no_other(
    files, tmp_path, monkeypatch, difference, status
):
    like_direct(monkeypatch, **difference)
    records = built(files, tmp_path, "gemm", "direct", "spatial_pack")
    assert records["direct-dense/untuned"]["status"].startswith(status)
    assert "library_bytes" not in records["direct-dense/untuned"]
    assert not (tmp_path / "libraries/direct-dense/untuned.so").exists()
    for name in ("gemm-dense/untuned", "spatial_pack-dense/untuned"):
        assert records[name]["status"] == "ok"
        assert load_library(tmp_path / f"libraries/{name}.so").run(IMAGES).shape == (2, 4)


def test_a_compiler_that_hangs_is_a_status(files, tmp_path, monkeypatch):
    monkeypatch.setattr(libraries, "TIMEOUT_S", 30.0)
    like_direct(monkeypatch, schedule=lambda *_: time.sleep(600))
    records = built(files, tmp_path, "direct", "gemm")
    assert (
        records["direct-dense/untuned"]["status"] == "failed: the compiler: no answer within 30 s"
    )
    assert records["gemm-dense/untuned"]["status"] == "ok"


def test_a_bug_is_no_status(files, tmp_path, monkeypatch):
    like_direct(monkeypatch, schedule=lambda function, *_: function.no_such_method())
    with pytest.raises(WorkerError, match="AttributeError"):
        built(files, tmp_path, "direct")


@pytest.mark.parametrize(
    ("linker", "reason"),
    [
        (["no-such-linker"], "cannot be run"),
        ([sys.executable, "-c", "raise SystemExit(3)"], "fail"),
    ],
)
def test_a_linker_that_does_not_work_is_no_status(files, tmp_path, linker, reason):
    with pytest.raises(StudyError, match=f"the linker .*{reason}"):
        built(files, tmp_path, "direct", linker=linker)


def test_a_damaged_network_is_no_status(files, tmp_path):
    damaged = tmp_path / "network.json"
    damaged.write_text("{")
    with pytest.raises(StudyError, match="is damaged"):
        built((damaged, files[1]), tmp_path, "direct")


def found_for(network, primitive, without=()):
    """What a search may have found: the defaults of all layers, but for some."""
    methods = primitives.load(primitive), primitives.load_format("dense")
    found = layers(network, *methods, vector_unit(build.complete(HOST), network.dtype))
    hashes = [workload_hash(layer, HOST) for layer, _ in found]
    return {each: {"decisions": {}} for each in hashes[len(without) :]}


def test_a_tuned_library_has_the_choice_of_each_layer_or_the_status_of_the_search(
    files, network, tmp_path
):
    tunings = {
        "direct-dense/autotuned": {"status": "ok", "layers": found_for(network, "direct")},
        "gemm-dense/autotuned": {"status": "failed: tuning: it hangs", "layers": {}},
    }
    records = built(files, tmp_path, "direct", "gemm", tunings=tunings, tuning="autotuned")
    assert records["direct-dense/autotuned"]["status"] == "ok"
    assert records["direct-dense/autotuned"]["scheduled_layers"] == 0
    assert records["gemm-dense/autotuned"]["status"] == "failed: tuning: it hangs"


def test_a_layer_without_a_choice_is_an_error(files, network, tmp_path):
    """Not the default, silently."""
    layers_found = found_for(network, "direct", without=["one"])
    tunings = {"direct-dense/autotuned": {"status": "ok", "layers": layers_found}}
    with pytest.raises(StudyError, match="was not tuned for the target") as error:
        built(files, tmp_path, "direct", tunings=tunings, tuning="autotuned")
    assert "\n" not in str(error.value)
    cores = {"direct-dense/autotuned": {"status": "ok", "layers": found_for(network, "direct")}}
    other = HOST | {"num-cores": HOST["num-cores"] + 1}
    with pytest.raises(StudyError, match="was not tuned for the target"):
        libraries.build_libraries(
            files,
            {"direct-dense/autotuned": configuration("direct", "autotuned")},
            other,
            cores,
            tmp_path / "libraries",
            tmp_path / "kernels",
        )
