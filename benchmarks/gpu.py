"""Whole networks on this machine's GPU of CUDA: this project's primitives against PyTorch, in one run.

Batch 1, every runtime in float32 and in float16. PyTorch takes part as it runs by itself (eager) and as a CUDA graph,
which leaves out what Python and the launches cost. It may multiply float32 in TF32 on the tensor cores, as it does by
default in convolutions; this project's primitives do not. All take turns, so that a drift meets all of them alike.
"""

import argparse
import copy
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import torch
from tqdm import tqdm

from benchmarks.interleaved import Sampler, write
from benchmarks.network_contenders import (
    Case,
    Contender,
    Workload,
    auto_scheduled,
    loaded,
    measure,
    own_libraries,
    workload,
)
from benchmarks.networks import RESULTS
from dlas.compiler.library import Here
from dlas.compiler.network import Network, load_network, save_network
from dlas.hardware.platforms import Platform, status

CASES = (
    Case("resnet18", 224, "large_input", 1000, compressed=True),
    Case("resnet50", 224, "large_input", 1000, compressed=True),
)
TECHNIQUES = ("none", "float16", "int8")
PEERS = {
    f"ratio_to_{runtime}_{dtype}": (runtime, dtype)
    for runtime in ("pytorch", "pytorch_graph")
    for dtype in ("float32", "float16")
}


def pytorch(work: Workload, dtype: torch.dtype) -> Iterator[Contender]:
    """Yield PyTorch on the GPU, eager and as a CUDA graph, with the image there already."""
    model = copy.deepcopy(work.model).to("cuda", dtype)
    image = torch.from_numpy(work.image).to("cuda", dtype)

    @torch.inference_mode()
    def run() -> None:
        model(image)

    side = torch.cuda.Stream()
    with torch.cuda.stream(side):  # as torch.cuda.graph asks for, before the capture
        for _ in range(3):
            run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    name = str(dtype).removeprefix("torch.")
    for runtime, call in (("pytorch", run), ("pytorch_graph", graph.replay)):
        yield Contender(runtime, "", "dense", name, 0.0, "", synchronized(call))


def synchronized(run) -> Sampler:  # type: ignore[no-untyped-def]
    """Return what gives the mean seconds of `number` runs in a row, of which the GPU has finished the last."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def sample(number: int) -> float:
        run()
        torch.cuda.synchronize()
        start.record()
        for _ in range(number):
            run()
        end.record()
        torch.cuda.synchronize()
        return start.elapsed_time(end) / 1e3 / number

    return sample


def apart(
    network: Network, primitive: str, format: str, gpu: Platform, trials: Mapping[str, int]
) -> dict[str, Any]:
    """Do what `auto_scheduled` does in a process of its own: it forks, and a GPU in use does not survive that."""
    with (
        TemporaryDirectory() as folder,
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process,
    ):
        files = Path(folder, "network.json"), Path(folder, "parameters.safetensors")
        save_network(network, *files)
        return process.submit(_scheduled, files, primitive, format, gpu, trials).result()


def _scheduled(files: tuple[Path, Path], *choices: Any) -> dict[str, Any]:
    return auto_scheduled(load_network(*files), *choices)


def contenders(
    work: Workload, trials: Mapping[str, int] | None, gpu: Platform
) -> Iterator[Contender]:
    """Yield all that take turns on a network."""
    built = [
        library
        for technique in TECHNIQUES
        for library in own_libraries(work, work.model, technique, "dense", 0.0, trials, gpu, apart)
    ]
    for dtype in (torch.float32, torch.float16):
        yield from pytorch(work, dtype)
    board = Here(gpu.kind)
    for library in built:
        yield loaded(library, board)


def main() -> None:
    """Measure, print and write gpu.csv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="samples of each runtime")
    parser.add_argument("--seconds", type=float, default=0.1, help="length of a sample")
    parser.add_argument("--networks", default="", help="those with this in their name alone")
    parser.add_argument("--trials", type=int, default=0, help="of each layer; 0: untuned alone")
    parser.add_argument("--network-trials", type=int, default=1 << 20, help="of all its layers")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder to write to")
    parser.add_argument("--linker", nargs="+", default=(), help="of candidates, in words")
    arguments = parser.parse_args()
    gpu = Platform("local_cuda", "cuda", linker=arguments.linker)
    if (found := status(gpu)) != "ok":
        parser.error(found)
    trials = {"layer": arguments.trials, "network": arguments.network_trials}
    tables = []
    for case in CASES:
        if arguments.networks not in case.name:
            continue
        work = workload(case)
        each = contenders(work, trials if arguments.trials else None, gpu)
        built = list(tqdm(each, desc=f"{case.name}, built", unit=" runtimes"))
        turns = tqdm(range(arguments.rounds), desc=f"{case.name}, timed", unit="round")
        tables.append(measure(case.name, built, turns, arguments.seconds, PEERS))
        write(pd.concat(tables, ignore_index=True), arguments.results / "gpu.csv")
        print(tables[-1].to_string(index=False, na_rep=""), flush=True)


if __name__ == "__main__":
    main()
