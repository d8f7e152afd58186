"""Whole networks: this project's primitives against PyTorch eager and ONNX Runtime, one thread, one run.

All runtimes take turns within a round, so that a drift of the machine meets all of them alike; a ratio is the
median over the rounds of two samples of one round. Weights are random: latency does not depend on them.
"""

import argparse
import io
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # read by PyTorch when it starts

import numpy as np
import onnxruntime
import pandas as pd
import torch
from tqdm import tqdm

from benchmarks.interleaved import Sampler, ratios_to, repeated, take_turns, write
from dlas import models, primitives
from dlas.compiler.build import build_library
from dlas.compiler.check import largest_relative_error
from dlas.compiler.importer import import_network
from dlas.compiler.library import NetworkTimer
from dlas.hardware import host
from dlas.hardware.platforms import Platform, target

RESULTS = Path(__file__).parent / "results" / "networks.csv"


@dataclass(frozen=True)
class Case:
    """A network of width 1 and the size of its input in pixels."""

    model: str
    size: int
    stem: str
    classes: int

    @property
    def name(self) -> str:
        return f"{self.model}_{self.size}"


CASES = (
    Case("resnet18", 32, "small_input", 10),
    Case("mobilenet_v2", 32, "small_input", 10),
    Case("resnet50", 224, "large_input", 1000),
)


@dataclass(frozen=True)
class Runtime:
    """A way to run a network: what it is called, one run, and its logits for a check."""

    runtime: str
    primitive: str
    tuning: str
    sample: Sampler
    logits: np.ndarray


def timed(timer: NetworkTimer) -> Sampler:
    """Return a function that gives the mean seconds of `number` runs of a compiled network."""
    return lambda number: timer.time(number)[0]


def runtimes(case: Case) -> list[Runtime]:
    """Return every runtime with the network loaded."""
    torch.manual_seed(0)
    model = models.build(case.model, case.classes, 1.0, case.stem).eval()
    images = torch.randn(1, 3, case.size, case.size)

    def eager() -> torch.Tensor:
        with torch.inference_mode():
            return model(images)  # type: ignore[no-any-return]

    found = [Runtime("pytorch", "", "", repeated(eager), eager().numpy())]

    exported = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, (images,), exported, input_names=["images"], dynamo=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        exported.getvalue(), options, providers=["CPUExecutionProvider"]
    )
    feed = {"images": images.numpy()}

    def onnx() -> np.ndarray:
        return session.run(None, feed)[0]  # type: ignore[no-any-return]

    found.append(Runtime("onnxruntime", "", "", repeated(onnx), onnx()))

    network = import_network(model, tuple(images.shape))
    described = target(Platform("local_cpu", threads=1))
    for primitive in primitives.names():
        compiled = build_library(network, primitive, "dense", described).load()
        logits = compiled.run(images.numpy())
        found.append(
            Runtime("dlas", primitive, "untuned", timed(compiled.timer(images.numpy())), logits)
        )
    return found


def measure(case: Case, rounds: int, seconds: float) -> pd.DataFrame:
    """Time all runtimes of one network in turns; a sample fills `seconds`."""
    contenders = runtimes(case)
    for contender in contenders:
        error = largest_relative_error(contender.logits, contenders[0].logits)
        if error > 1e-4:
            raise SystemExit(f"{case.name}: {contender.runtime} is wrong by {error:.2g}")
    turns = tqdm(range(rounds), desc=case.name, unit="round")
    samples = take_turns([contender.sample for contender in contenders], turns, seconds)
    names = [contender.runtime for contender in contenders]

    def ratio_to(peer: str) -> np.ndarray:
        return ratios_to(samples, names.index(peer)).round(3)

    return pd.DataFrame(
        {
            "network": case.name,
            "runtime": names,
            "primitive": [contender.primitive for contender in contenders],
            "tuning": [contender.tuning for contender in contenders],
            "latency_ms": np.median(samples, axis=0).round(4),
            "ratio_to_pytorch": ratio_to("pytorch"),
            "ratio_to_onnxruntime": ratio_to("onnxruntime"),
        }
    )


def main() -> None:
    """Measure, print and write benchmarks/results/networks.csv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="samples of each runtime")
    parser.add_argument("--seconds", type=float, default=0.1, help="length of a sample")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    host.use_threads(1)
    tables = [measure(case, arguments.rounds, arguments.seconds) for case in CASES]
    table = pd.concat(tables, ignore_index=True)
    print(table.to_string(index=False))
    write(table, RESULTS)


if __name__ == "__main__":
    main()
