"""Time whole networks on this machine's CUDA GPU: this project's primitives against PyTorch.

All runtimes run at batch 1, in float32 and in float16. PyTorch runs eagerly and as a CUDA graph,
which leaves out the costs of Python and of kernel launches. It may compute float32 in TF32 on the
tensor cores, as it does by default in convolutions; this project's primitives do not. All take
turns, so drift affects all alike.
"""

import argparse
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import torch
from tqdm import tqdm

from benchmarks.interleaved import Sampler, ratios_to, write
from benchmarks.network_contenders import (
    WAY,
    Case,
    Contender,
    Workload,
    checked,
    imported,
    measure,
    searched,
    workload,
)
from benchmarks.networks import RESULTS
from dlas import primitives
from dlas.compiler.build import Library, build_library
from dlas.compiler.device import LocalDevice
from dlas.compiler.library import load_library
from dlas.compiler.network import Network, load_network, save_network
from dlas.compiler.tuning.building import LIBRARY, Job
from dlas.compiler.tuning.building import build as build_all
from dlas.errors import StudyError
from dlas.files import code_folder
from dlas.hardware.platforms import Platform, status, target

CASES = (
    Case("resnet18", 224, "large_input", 1000),
    Case("resnet50", 224, "large_input", 1000),
)
TECHNIQUES = ("none", "float16", "int8")
# Seconds to build a network.
TIMEOUT_S = 600.0
PEERS = {
    f"ratio_to_{runtime}_{dtype}": (runtime, dtype)
    for runtime in ("pytorch", "pytorch_graph")
    for dtype in ("float32", "float16")
}


def pytorch(work: Workload, dtype: torch.dtype) -> Iterator[Contender]:
    """Yield PyTorch on the GPU, eager and as a CUDA graph, with the image on the GPU."""
    model = copy.deepcopy(work.model).to("cuda", dtype)
    image = torch.from_numpy(work.image).to("cuda", dtype)

    @torch.inference_mode()
    def run() -> None:
        model(image)

    side = torch.cuda.Stream()
    # torch.cuda.graph needs warm-up runs on another stream before the capture.
    with torch.cuda.stream(side):
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
    """Return a sampler of the mean seconds of `number` runs in a row, timed by CUDA events."""
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


def own_networks(
    work: Workload, gpu: Platform, tuned: Sequence[str], trials: Mapping[str, int]
) -> Iterator[Contender]:
    """Yield every primitive in each technique's dtype; primitives in `tuned` also auto-tuned.

    All libraries are built first, in forked processes: a GPU in use does not survive a fork.
    """
    described = target(gpu)
    with code_folder() as folder:
        jobs, made = [], []
        for technique in TECHNIQUES:
            network, expected = imported(work, work.model, technique)
            for primitive in primitives.names():
                codes: dict[str, dict[str, Any] | None] = {"untuned": None}
                if primitive in tuned:
                    codes |= apart(network, primitive, gpu, trials)
                for tuning, choices in codes.items():
                    build = partial(build_library, network, primitive, "dense", described, choices)
                    jobs.append(Job(partial(export, build, gpu.linker), folder / str(len(jobs))))
                    own = Contender("dlas", primitive, "dense", network.dtype, 0.0, tuning, None)
                    made.append((expected, own))
        built = build_all(jobs, TIMEOUT_S)
        device = LocalDevice(gpu.kind)
        for job, done, (expected, own) in zip(jobs, built, made, strict=True):
            if done.reason is not None:
                raise StudyError(f"{work.case.name}: {own.primitive} {own.dtype}: {done.reason}")
            yield checked(work, load_library(job.folder / LIBRARY, device), expected, own)


def export(build: Callable[[], Library], linker: Sequence[str], folder: Path) -> None:
    """Build a library into a folder."""
    build().export(folder / LIBRARY, linker)


def apart(
    network: Network, primitive: str, gpu: Platform, trials: Mapping[str, int]
) -> dict[str, Any]:
    """Tune in a subprocess, as tuning forks and this process uses the GPU later."""
    with (
        TemporaryDirectory() as folder,
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process,
    ):
        files = Path(folder, "network.json"), Path(folder, "parameters.safetensors")
        save_network(network, *files)
        return process.submit(_tuned, files, primitive, "dense", gpu, trials).result()


def _tuned(files: tuple[Path, Path], *choices: Any) -> dict[str, Any]:
    return {WAY: searched(load_network(*files), *choices).choices}


def main() -> None:
    """Measure, print and write gpu.csv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="samples of each runtime")
    parser.add_argument("--seconds", type=float, default=0.1, help="length of a sample")
    parser.add_argument("--networks", default="", help="those with this in their name alone")
    parser.add_argument("--trials", type=int, default=0, help="of each layer; 0: untuned alone")
    parser.add_argument("--tuned", nargs="*", default=primitives.names(), help="primitives")
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
        own = own_networks(work, gpu, arguments.tuned if arguments.trials else (), trials)
        built = list(tqdm(own, desc=f"{case.name}, built", unit=" runtimes"))
        for dtype in (torch.float32, torch.float16):
            built += pytorch(work, dtype)
        turns = tqdm(range(arguments.rounds), desc=f"{case.name}, timed", unit="round")
        table, samples = measure(case.name, built, turns, arguments.seconds)
        runtimes = list(zip(table["runtime"], table["dtype"], strict=True))
        for column, peer in PEERS.items():
            table[column] = ratios_to(samples, runtimes.index(peer)).round(3)
        tables.append(table)
        write(pd.concat(tables, ignore_index=True), arguments.results / "gpu.csv")
        print(tables[-1].to_string(index=False, na_rep=""), flush=True)


if __name__ == "__main__":
    main()
