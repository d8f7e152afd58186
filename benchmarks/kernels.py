"""Time single layers: this project's primitives against PyTorch, ONNX Runtime and a sparse library.

All run on one thread, in one process, with random operands. All runtimes of a layer take turns and
are called from the same loop. A ratio is latency over PyTorch's dense float32 convolution: the
median over turns of the ratio of two samples of a turn.
"""

import argparse
import os
from pathlib import Path

# PyTorch reads this when it is imported.
os.environ["OMP_NUM_THREADS"] = "1"

import pandas as pd
import torch
from tqdm import tqdm
from tvm.target import Target

from benchmarks import break_even
from benchmarks.contenders import measure, own_kernels, pytorch
from benchmarks.interleaved import write
from benchmarks.layers import all_layers
from benchmarks.onnx_layers import onnx_runtime
from benchmarks.roofline import Roofline
from dlas.analysis import panels
from dlas.compiler.build import OPTIMIZATION_LEVEL
from dlas.hardware import host
from dlas.hardware.platforms import Platform, target

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Measure, print and write kernels.csv and the figure of the break-even."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="samples of each runtime")
    parser.add_argument("--seconds", type=float, default=0.01, help="length of a sample")
    parser.add_argument("--layers", default="", help="those with this in their name alone")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder to write to")
    arguments = parser.parse_args()
    layers = [layer for layer in all_layers() if arguments.layers in layer.name]
    if not layers:
        names = "\n".join(layer.name for layer in all_layers())
        parser.error(f"no layer has {arguments.layers!r} in its name; there are\n{names}")
    torch.set_num_threads(1)
    host.use_threads(1)
    described = target(Platform("local_cpu", threads=1))
    compiled_for = Target({"opt-level": OPTIMIZATION_LEVEL, **described})
    roofline = Roofline(described)
    tables = []
    progress = tqdm(layers, unit="layer")
    for layer in progress:
        progress.set_description(layer.name)
        contenders = [*pytorch(layer), *onnx_runtime(layer), *own_kernels(layer, compiled_for)]
        turns = range(arguments.rounds)
        tables.append(measure(layer, contenders, roofline, turns, arguments.seconds))
    table = pd.concat(tables, ignore_index=True)
    write(table, arguments.results / "kernels.csv")
    if break_even.resnet18(table).empty:
        print("no figure: none of these is a 3x3 layer of ResNet18")
        return
    paths = [arguments.results / f"kernels_break_even.{suffix}" for suffix in ("pdf", "png")]
    panels.save(break_even.draw(table), paths)
    print(break_even.summary(table))


if __name__ == "__main__":
    main()
