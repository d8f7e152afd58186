"""The cache of compiled kernels: each is compiled once, and nothing depends on what is in it."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from dlas.compiler import kernel_cache
from dlas.compiler.build import build_library
from dlas.compiler.network import Network
from dlas.hardware.platforms import Platform, target
from tests.unit.compiler.imported import imported, network_of

HOST = target(Platform("host", threads=1))
IMAGES = np.random.default_rng(0).standard_normal((2, 3, 8, 8), "float32")


@pytest.fixture(scope="module")
def network():
    return network_of(16, 16, 16)


def pruned(network: Network) -> Network:
    """The same network with half of its weights zero."""
    parameters = {
        name: np.where(np.abs(values) > np.median(np.abs(values)), values, 0).astype(values.dtype)
        for name, values in network.parameters.items()
    }
    return Network(network.module, parameters)


def objects(folder):
    """The object files and when they were written."""
    return {file: file.stat().st_mtime_ns for file in folder.rglob("*.o")}


@pytest.mark.parametrize("primitive", ["direct", "gemm", "spatial_pack"])
def test_weights_in_dense_code_have_no_part_in_the_kernels(network, tmp_path, primitive):
    build_library(network, primitive, "dense", HOST, kernels=tmp_path)
    before = objects(tmp_path)
    assert len(before) >= 3
    build_library(pruned(network), primitive, "dense", HOST, kernels=tmp_path)
    assert objects(tmp_path) == before
    build_library(pruned(network), primitive, "csr", HOST, kernels=tmp_path)
    assert objects(tmp_path).keys() > before.keys()


def test_kernels_are_those_of_a_library_without_a_cache_bit_by_bit(network, tmp_path):
    for compiled in (network, pruned(network)):
        cached = build_library(compiled, "direct", "dense", HOST, kernels=tmp_path)
        alone = build_library(compiled, "direct", "dense", HOST)
        assert cached.record()["convolutions"] == alone.record()["convolutions"] == 3
        np.testing.assert_array_equal(cached.load().run(IMAGES), alone.load().run(IMAGES))


@pytest.mark.xdist_group("resnet18-small_input")
@pytest.mark.parametrize("technique", ["none", "float16", "int8"])
def test_a_network_of_all_kinds_of_kernels_computes_the_same(tmp_path, technique):
    network, images, _ = imported("resnet18", "small_input", 32, technique)
    cached = build_library(network, "gemm", "dense", HOST, kernels=tmp_path).load()
    alone = build_library(network, "gemm", "dense", HOST).load()
    np.testing.assert_array_equal(cached.run(images), alone.run(images))


def test_the_folder_may_be_deleted_at_any_time(network, tmp_path):
    first = build_library(network, "gemm", "dense", HOST, kernels=tmp_path / "kernels")
    first.export(tmp_path / "first.so")
    shutil.rmtree(tmp_path / "kernels")
    second = build_library(network, "gemm", "dense", HOST, kernels=tmp_path / "kernels")
    second.export(tmp_path / "second.so")
    assert (tmp_path / "first.so").read_bytes() == (tmp_path / "second.so").read_bytes()


def test_a_build_that_is_killed_leaves_no_half_of_a_kernel(network, tmp_path, monkeypatch):
    class Interrupted(BaseException):
        pass

    compiled = kernel_cache.compile_kernel

    def interrupted(function, described):
        class Torn:
            def write_to_file(self, name):
                compiled(function, described).write_to_file(name)
                with open(name, "r+b") as file:
                    file.truncate(100)
                raise Interrupted

        return Torn()

    monkeypatch.setattr(kernel_cache, "compile_kernel", interrupted)
    with pytest.raises(Interrupted):
        build_library(network, "direct", "dense", HOST, kernels=tmp_path)
    assert not objects(tmp_path)
    monkeypatch.undo()
    library = build_library(network, "direct", "dense", HOST, kernels=tmp_path)
    assert library.load().run(IMAGES).shape == (2, 4)


def test_a_kernel_has_one_name_in_all_processes_and_another_for_each_target(network, tmp_path):
    build_library(network, "direct", "dense", HOST, kernels=tmp_path / "here")
    code = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from dlas.compiler.build import build_library\n"
        "from tests.unit.compiler.imported import network_of\n"
        "target, folder = json.loads(sys.argv[1]), Path(sys.argv[2])\n"
        "build_library(network_of(16, 16), 'direct', 'dense', target, kernels=folder)\n"
    )
    command = [sys.executable, "-c", code, json.dumps(HOST), str(tmp_path / "there")]
    subprocess.run(command, check=True)

    def names(folder):
        return {str(file.relative_to(folder)) for file in objects(folder)}

    # A network with one layer less.
    assert len(names(tmp_path / "there")) >= 3
    assert names(tmp_path / "there") <= names(tmp_path / "here")
    other = target(Platform("other", {"kind": "llvm", "mcpu": "x86-64-v2"}, 1))
    build_library(network, "direct", "dense", other, kernels=tmp_path / "here")
    assert len({name.partition("/")[0] for name in names(tmp_path / "here")}) == 2
