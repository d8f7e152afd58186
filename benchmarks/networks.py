"""Time whole networks: this project's primitives, dense and compressed, against peer runtimes.

All run on one thread, in one run. All contenders of a network take turns, so drift affects all
alike. A ratio is the median over turns of the ratio of two samples of a turn. A killed run resumes
with the networks that are left.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

# PyTorch reads this when it is imported.
os.environ["OMP_NUM_THREADS"] = "1"

import pandas as pd
import torch
from tqdm import tqdm

from benchmarks.interleaved import write
from benchmarks.network_contenders import (
    CASES,
    RECORDS,
    ROOT,
    Case,
    measure,
    own_networks,
    workload,
)
from benchmarks.network_peers import peers
from benchmarks.network_ratios import draw, summary, with_ratios
from dlas import primitives, registry
from dlas.closure import code_hash
from dlas.hardware import host

RESULTS = Path(__file__).parent / "results"
# Samples' worth of time that it takes to find the number of runs in a sample.
FIRST_TURNS = 1


def main() -> None:
    """Measure, print and write networks.csv and networks.png."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="samples of each contender")
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
    done = finished_folder(arguments)
    print(estimate([case for case in cases if not (done / f"{case.name}.csv").exists()], arguments))
    torch.set_num_threads(1)
    host.use_threads(1)
    for case in cases:
        file = done / f"{case.name}.csv"
        if not file.exists():
            write(measured(case, arguments), file)
    files = [done / f"{case.name}.csv" for case in cases]
    table = updated(arguments.results / "networks.csv", pd.concat(map(read, files)))
    write(table, arguments.results / "networks.csv")
    draw(table, arguments.results / "networks.png")
    for file in files:
        file.unlink()
    print(table.to_string(index=False, na_rep=""))
    print(summary(table))


def finished_folder(arguments: argparse.Namespace) -> Path:
    """Return the folder that keeps finished networks' tables during a run, by code and options."""
    plugins = [registry.module_name("primitive", name) for name in primitives.names()]
    plugins += [registry.module_name("runtime", name) for name in registry.names("runtime")]
    code = code_hash(ROOT, None, ("benchmarks.networks", *plugins))
    effort = "-".join(
        f"{value:g}"
        for value in (
            arguments.rounds,
            arguments.seconds,
            arguments.trials,
            arguments.network_trials,
        )
    )
    folder = RECORDS / "networks" / f"{code}-{effort}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def estimate(cases: Sequence[Case], arguments: argparse.Namespace) -> str:
    """Return a line with the time of the remaining measurements, without searches."""
    minutes = 0.0
    for case in cases:
        libraries = len(primitives.names()) * len(case.forms)
        contenders = libraries + len(registry.names("runtime")) + 2 * ("int8" in case.forms)
        samples = contenders * (arguments.rounds + FIRST_TURNS)
        minutes += (libraries * case.build_s + samples * arguments.seconds) / 60
    searches = " and the searches" if arguments.trials else ""
    return f"{len(cases)} networks: about {minutes:.0f} minutes{searches}"


def measured(case: Case, arguments: argparse.Namespace) -> pd.DataFrame:
    """Return the rows of one network."""
    work = workload(case)
    limits = {"layer": arguments.trials, "network": arguments.network_trials}
    own = own_networks(work, limits if arguments.trials else None)
    contenders = list(tqdm(own, desc=f"{case.name}, built", unit=" libraries"))
    with peers(work) as others:
        turns = tqdm(range(arguments.rounds), desc=f"{case.name}, timed", unit="round")
        return with_ratios(*measure(case.name, [*others, *contenders], turns, arguments.seconds))


def updated(file: Path, measured: pd.DataFrame) -> pd.DataFrame:
    """Return the table in a file, if it exists, with new rows for the measured networks."""
    before = [read(file)] if file.exists() else []
    kept = [table[~table["network"].isin(measured["network"])] for table in before]
    table = pd.concat([*kept, measured])
    order = [case.name for case in CASES]
    return table.sort_values("network", key=lambda names: names.map(order.index), kind="stable")


def read(file: Path) -> pd.DataFrame:
    """Return a table with empty texts for missing words."""
    table = pd.read_csv(file)
    words = table.select_dtypes(exclude="number").columns
    return table.fillna(dict.fromkeys(words, ""))


if __name__ == "__main__":
    main()
