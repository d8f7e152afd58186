"""Time every kernel of each benchmark network by itself, against the machine's arithmetic peak.

A kernel runs on warm data and one thread; a row adds up the kernels of one kind. If a network takes
longer than the sum of its kernels, data was not in cache when it was needed, mostly weights.
"""

import argparse
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tvm
from tqdm import tqdm
from tvm.s_tir.analysis import estimate_tir_flops
from tvm.target import Target

from benchmarks.interleaved import write
from benchmarks.network_contenders import CASES, Case, imported, workload
from dlas import primitives
from dlas.compiler.build import fuse_operators, kernel_calls, kernel_names, schedule_network
from dlas.compiler.layer import Chosen, Layer
from dlas.compiler.lowering import lower
from dlas.compiler.network import Network
from dlas.compiler.pipeline import compile_module
from dlas.errors import UnsupportedError
from dlas.hardware import host, peak
from dlas.hardware.platforms import Platform, target
from dlas.primitives.vector import vector_unit

RESULTS = Path(__file__).parent / "results" / "limits.csv"
KINDS = ("depthwise_convolution", "pointwise_convolution", "convolution")


def kernels(network: Network, primitive: str, compiled_for: Target) -> Iterator[dict[str, Any]]:
    """Time every kernel of a network.

    The operations of a layer are those of the direct convolution, also if Winograd's algorithm
    needs fewer.

    Yields
    ------
    dict
        "kind", "calls", and "milliseconds" and "gflop" (10^9 operations) of all calls.
    """
    algorithm, dense = primitives.load(primitive), primitives.load_format("dense")
    macs: dict[str, int] = {}

    def note(layer: Layer) -> Chosen:
        macs[layer.label] = layer.convolution.macs
        return {}

    vector = vector_unit(compiled_for, network.dtype)
    plain = fuse_operators(lower(network, algorithm, dense, vector, note))
    scheduled, counted = (
        schedule_network(network, primitive, "dense", compiled_for),
        kernel_calls(plain),
    )
    for name in tqdm(kernel_names(scheduled), desc=primitive, unit="kernel"):
        kernel = scheduled[name].with_attr("global_symbol", "main")
        library = compile_module(tvm.IRModule({"main": kernel}), compiled_for)
        arguments = [tvm.runtime.tensor(constant(argument)) for argument in kernel.params]
        evaluator = library.mod.time_evaluator(
            "main", tvm.cpu(), number=1, repeat=7, min_repeat_ms=5
        )
        seconds = float(np.median(evaluator(*arguments).results))
        own = [2 * number for label, number in macs.items() if label in name]
        operations = own[0] if own else estimate_tir_flops(tvm.IRModule({"main": plain[name]}))
        yield {
            "kind": next((kind for kind in KINDS if kind in name), "other"),
            "calls": counted[name],
            "milliseconds": 1e3 * seconds * counted[name],
            "gflop": operations / 1e9 * counted[name],
        }


def constant(argument: Any) -> np.ndarray:
    """Return an array of small constants for an argument of a kernel."""
    dtype = str(argument.dtype)
    shape = [int(extent) for extent in argument.shape]
    return np.full(shape, 0.01 if dtype.startswith("float") else 1, dtype)


def measure(
    case: Case, network: Network, primitive: str, described: dict[str, Any], limit: float
) -> pd.DataFrame:
    """Add up the kernels of one network by kind, beside the peak `limit` in 10^9 operations/s."""
    timed = pd.DataFrame(kernels(network, primitive, Target(described)))
    table = timed.groupby("kind", as_index=False).sum()
    table.insert(0, "network", case.name)
    table.insert(1, "dtype", network.dtype)
    table.insert(2, "primitive", primitive)
    rate = table["gflop"] / table["milliseconds"] * 1e3
    table["gflops"] = rate.where(table["kind"] != "other").round(1)
    table["peak_fraction"] = (table["gflops"] / limit).round(3)
    return table.round({"milliseconds": 3, "gflop": 4})


def main() -> None:
    """Measure, print and write limits.csv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", default="", help="those with this in their name alone")
    parser.add_argument("--results", type=Path, default=RESULTS, help="file to write")
    arguments = parser.parse_args()
    cases = [case for case in CASES if arguments.networks in case.name]
    if not cases:
        names = ", ".join(case.name for case in CASES)
        parser.error(f"no network has {arguments.networks!r} in its name; there are {names}")
    host.use_threads(1)
    described = target(Platform("local_cpu", threads=1))
    limits = peak.measure_each_arithmetic(described, 1)
    print("peak of one thread, 10^9 operations/s:", limits)
    tables = []
    for case in cases:
        work = workload(case)
        for dtype in ("float32", "int8"):
            technique = "none" if dtype == "float32" else dtype
            network, _ = imported(work, work.model, technique)
            for primitive in primitives.names():
                # A primitive may support no layer of the network.
                with suppress(UnsupportedError):
                    tables.append(measure(case, network, primitive, described, limits[dtype]))
    table = pd.concat(tables, ignore_index=True)
    print(table.to_string(index=False))
    write(table, arguments.results)


if __name__ == "__main__":
    main()
