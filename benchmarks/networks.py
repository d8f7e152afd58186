"""Whole networks: this project's primitives, dense and compressed, against PyTorch eager and ONNX Runtime.

One thread, one run. All runtimes of a network take turns, so that a drift of the machine meets all of them alike; a
ratio is the median over the turns of two samples of one turn.
"""

import argparse
import os
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # read by PyTorch when it starts

import pandas as pd
import torch
from tqdm import tqdm

from benchmarks.interleaved import write
from benchmarks.network_contenders import CASES, measure, own_networks, pytorch, workload
from benchmarks.network_ratios import summary
from benchmarks.onnx_networks import onnx_runtime
from dlas.hardware import host

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Measure, print and write networks.csv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="samples of each runtime")
    parser.add_argument("--seconds", type=float, default=0.1, help="length of a sample")
    parser.add_argument("--networks", default="", help="those with this in their name alone")
    parser.add_argument("--trials", type=int, default=0, help="of each layer; 0: untuned alone")
    parser.add_argument("--network-trials", type=int, default=1 << 20, help="of all its layers")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder to write to")
    arguments = parser.parse_args()
    cases = [case for case in CASES if arguments.networks in case.name]
    if not cases:
        names = ", ".join(case.name for case in CASES)
        parser.error(f"no network has {arguments.networks!r} in its name; there are {names}")
    trials = {"layer": arguments.trials, "network": arguments.network_trials}
    torch.set_num_threads(1)
    host.use_threads(1)
    tables = []
    for case in cases:
        work = workload(case)
        contenders = [pytorch(work)]
        for found in (onnx_runtime(work), own_networks(work, trials if arguments.trials else None)):
            contenders += tqdm(found, desc=f"{case.name}, built", unit=" runtimes")
        turns = tqdm(range(arguments.rounds), desc=f"{case.name}, timed", unit="round")
        tables.append(measure(case.name, contenders, turns, arguments.seconds))
        table = pd.concat(tables, ignore_index=True)
        # A killed run keeps the networks that it has done.
        write(table, arguments.results / "networks.csv")
    print(table.to_string(index=False, na_rep=""))
    print(summary(table))


if __name__ == "__main__":
    main()
