"""Compare the ways to schedule on one network: their latencies, and the cost of each search.

All run on one thread, in one run. The libraries of a primitive take turns, so drift affects all
alike.
"""

import argparse
import logging
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

# PyTorch reads this when it is imported.
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from benchmarks.interleaved import ratios_to, take_turns, write
from benchmarks.network_contenders import (
    CASES,
    HERE,
    Contender,
    Workload,
    checked,
    imported,
    searched,
    workload,
)
from dlas import primitives, registry
from dlas.analysis import tuning_curves
from dlas.analysis.style import Looks, style
from dlas.compiler.build import build_library
from dlas.compiler.network import Network
from dlas.compiler.schedulers import plugin
from dlas.compiler.tuning.settings import Outcome
from dlas.hardware import host
from dlas.hardware.platforms import target
from dlas.study.descriptions import described

RESULTS = Path(__file__).parent / "results"
SEARCHES = ("autotuned", "auto_scheduled")
COST = re.compile(r"(\d+) candidates measured.* in ([\d.]+) s: .*search ([\d.]+) s")
COLUMNS = [
    *("network", "primitive", "dtype", "tuning", "trials", "latency_ms", "ratio_to_untuned"),
    *("candidates", "seconds", "search_seconds"),
]


class Costs(logging.Handler):
    """Read the cost of the last search from its log: candidates, seconds, seconds of the search."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.last = (np.nan, np.nan, np.nan)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the costs in a message of the search."""
        if found := COST.search(record.getMessage()):
            self.last = tuple(map(float, found.groups()))  # type: ignore[assignment]


@dataclass(frozen=True)
class Found:
    """The schedules that a way to schedule found, its trials per layer, and its `Costs.last`."""

    tuning: str
    trials: int = 0
    cost: tuple[float, float, float] = (np.nan, np.nan, np.nan)
    outcome: Outcome | None = None


def found(
    network: Network, primitive: str, trials: Sequence[int], ways: Sequence[str]
) -> Iterator[Found]:
    """Yield the variants to build: the default, the bare loops, and the result of each search."""
    costs = Costs()
    logger = logging.getLogger("dlas")
    logger.setLevel(logging.INFO)
    logger.addHandler(costs)
    yield Found("untuned")
    yield Found("unscheduled")
    for layer in sorted(trials):
        for way in ways:
            limits = {"layer": layer, "network": 1 << 20}
            outcome = searched(network, primitive, "dense", HERE, limits, way)
            yield Found(way, layer, costs.last, outcome)


def contender(
    work: Workload, network: Network, expected: np.ndarray, primitive: str, one: Found
) -> Contender:
    """Return the checked contender of one way to schedule."""
    own = Contender("dlas", primitive, "dense", network.dtype, 0.0, one.tuning, None)
    library = build_library(
        network,
        primitive,
        "dense",
        target(HERE),
        one.outcome and one.outcome.choices,
        scheduler=plugin.load(one.tuning),
    )
    return checked(work, library.load(), expected, own)


def draw(curves: pd.DataFrame, path: Path) -> None:
    """Write the figure of the speed over the trials."""
    kinds: tuple[registry.Kind, ...] = ("dataset", "model", "compression", "primitive", "format")
    words = {kind: described(kind, curves[kind].unique()) for kind in (*kinds, "tuning")}
    words["platform"] = {"this_cpu": {"label": "this CPU"}}
    with style():
        tuning_curves.draw(curves, Looks(words)).savefig(path, dpi=200)


def main() -> None:
    """Measure, print and write schedulers.csv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="resnet18_32", choices=[case.name for case in CASES])
    parser.add_argument("--primitives", nargs="+", default=primitives.names())
    parser.add_argument("--technique", default="none", choices=["none", "float16", "int8"])
    parser.add_argument("--trials", nargs="+", type=int, default=[64], help="of each layer")
    parser.add_argument("--ways", nargs="+", default=SEARCHES, choices=SEARCHES)
    parser.add_argument("--rounds", type=int, default=15, help="samples of each library")
    parser.add_argument("--seconds", type=float, default=0.1, help="length of a sample")
    parser.add_argument("--results", type=Path, default=RESULTS / "schedulers.csv")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    (case,) = (case for case in CASES if case.name == arguments.network)
    work = workload(case)
    network, expected = imported(work, work.model, arguments.technique)
    # Searches build on all cores, and fork this process, which must have run no kernels.
    ways = {
        primitive: list(found(network, primitive, arguments.trials, arguments.ways))
        for primitive in arguments.primitives
    }
    host.use_threads(1)
    tables, curves = [], []
    for primitive, made in ways.items():
        contenders = [contender(work, network, expected, primitive, one) for one in made]
        turns = tqdm(range(arguments.rounds), desc=f"{primitive}, timed", unit="round")
        samples = take_turns([one.sample for one in contenders], turns, arguments.seconds)
        rows = zip(made, np.median(samples, axis=0), ratios_to(samples, 0), strict=True)
        tables.append(
            pd.DataFrame(
                [
                    (case.name, primitive, network.dtype, one.tuning, one.trials, *taken, *one.cost)
                    for one, *taken in rows
                ],
                columns=COLUMNS,
            ).round(4)
        )
        curves += [
            pd.DataFrame(one.outcome.curve).assign(
                dataset=f"{case.size}x{case.size}",
                model=case.model,
                compression=arguments.technique,
                primitive=primitive,
                format="dense",
                tuning=one.tuning,
                platform="this_cpu",
            )
            for one in made
            if one.outcome and one.trials == max(arguments.trials)
        ]
        print(tables[-1].to_string(index=False, na_rep=""), flush=True)
    write(pd.concat(tables, ignore_index=True), arguments.results)
    draw(pd.concat(curves, ignore_index=True), arguments.results.with_suffix(".png"))


if __name__ == "__main__":
    main()
