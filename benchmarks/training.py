"""Time a config's trainings on this machine: an epoch or two of each network, on random images.

The last epoch counts, with its validation. Each network is trained twice, which shows whether the
machine gives the same bits.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from benchmarks.random_images import random_images
from dlas import datasets, models, study
from dlas.models import training


def main() -> None:
    """Measure and print a row for each model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configfile", type=Path, default=Path("config/paper.yaml"))
    parser.add_argument("--dataset", default="cifar10", help="whose recipes and first layers")
    parser.add_argument("--models", nargs="*", help="all of the dataset when left out")
    parser.add_argument("--images", type=int, default=45_000, help="to train on")
    parser.add_argument("--size", type=int, default=32, help="pixels on each side")
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=2, help="of which the last is timed")
    parser.add_argument("--threads", type=int, default=4, help="as many as the job's")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="another one than the config's")
    options = parser.parse_args()
    config = study.load(options.configfile)
    tenth = max(1, options.images // 10)
    data = random_images(options.images, options.size, options.classes, others=tenth)
    rows = []
    for model in options.models or config.study.models[options.dataset]:
        rows.append(measured(config, model, data, options))
        print(pd.DataFrame(rows).tail(1).to_string(index=False, header=len(rows) == 1), flush=True)


def measured(
    config: study.Config, model: str, data: datasets.Dataset, options: argparse.Namespace
) -> dict[str, object]:
    """Return the row of one network's training."""
    recipe = training.recipe(study.recipe(config, options.dataset, model))
    short = replace(recipe, epochs=options.epochs, device=options.device or recipe.device)
    runs = []
    for _ in range(2):
        width, classes = config.models.width, len(data.class_names)
        network = models.build(model, classes, width, study.stem(config, options.dataset))
        history = training.train(network, data, short, 0, options.threads)
        runs.append((network.state_dict(), history))
    (first, history), (second, _) = runs
    seconds = float(history[-1]["seconds"])
    peak = float("nan")
    if (short.device, short.processes) == ("cuda", 1):
        peak = torch.cuda.max_memory_allocated() / 1e9
        torch.cuda.reset_peak_memory_stats()
    return {
        "model": model,
        "images_per_s": round(len(data.train.labels) / seconds),
        "epoch_s": round(seconds, 2),
        "training_min": round(seconds * recipe.epochs / 60, 1),
        "gpu_gb": round(peak, 1),
        "train_loss": round(float(history[-1]["train_loss"]), 4),
        "same_bits": all(torch.equal(each, second[name]) for name, each in first.items()),
    }


if __name__ == "__main__":
    main()
