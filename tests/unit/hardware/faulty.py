"""A network of two layers whose libraries are right, are wrong, or end their process."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tvm import te, tirx

from dlas import datasets, primitives
from dlas.compiler import build
from dlas.compiler.network import Network
from dlas.hardware.checking import Expectation
from dlas.hardware.platforms import Platform, resolve, resolved
from tests.unit.compiler.imported import network_of

HERE = Platform("here", threads=1)
FACTS = resolve(HERE)
PLATFORM = resolved(HERE, FACTS)
# What ends or stops a process from within a kernel, by the functions of the C library.
ENDS = {"crashes": "abort", "hangs": "pause"}


def calling(function: str) -> ModuleType:
    """Return the primitive `direct` whose first layer calls a C library function once a run."""
    direct: Any = primitives.load("direct")
    one = ModuleType("dlas.primitives.calling")
    vars(one).update({name: each for name, each in vars(direct).items() if name[0] != "_"})

    def convolve(data: te.Tensor, weight: te.Tensor, convolution: Any, *rest: Any) -> te.Tensor:
        sums = direct.convolve(data, weight, convolution, *rest)
        if convolution.in_channels != 3:
            return sums

        def called(*index: Any) -> Any:
            result = tirx.call_extern("int32", function).astype(data.dtype)
            return sums(*index) + tirx.if_then_else(sum(index) == 0, result, 0.0)

        return te.compute(sums.shape, called, name="called")

    vars(one)["convolve"] = convolve
    return one


@contextmanager
def _loading(module: ModuleType) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build.primitives, "load", lambda _: module)
        yield


def write(kind: str, folder: Path, target: dict[str, Any] = FACTS["target"]) -> dict[str, Any]:
    """Write the library `kind`.so and return the record of its build."""
    network = network_of(16)
    if kind in ENDS:
        with _loading(calling(ENDS[kind])):
            library = build.build_library(network, "calling", "dense", target)
    else:
        change = {"wrong": 2.0, "infinite": np.inf}.get(kind, 1.0)
        parameters = {
            name: values * np.float32(change) if name.endswith("weight") else values
            for name, values in network.parameters.items()
        }
        library = build.build_library(
            Network(network.module, parameters), "direct", "dense", target
        )
    library.export(folder / f"{kind}.so")
    return library.record() | {"variant": [kind, "dense", "untuned"]}


def split(count: int, seed: int) -> datasets.Split:
    images = np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    return datasets.Split(images, np.arange(count) % 4)


def expectation(folder: Path) -> Expectation:
    """Write a data set, and what the network computes of it, by one of its libraries."""
    data = datasets.assemble(split(8, 0), split(8, 1), split(40, 2), tuple("abcd"))
    datasets.save(data, folder / "dataset.npz")
    images = np.stack(list(datasets.normalized(data.test, data)))
    logits = (
        build.build_library(network_of(16), "gemm", "dense", FACTS["target"]).load().run(images)
    )
    np.savez(folder / "reference.npz", inputs=images[:4], outputs=logits[:4])
    top1 = datasets.top1(logits, data.test.labels)
    return Expectation(folder / "dataset.npz", folder / "reference.npz", "float32", top1, 1e-4, 0.5)
