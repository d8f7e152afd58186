"""This project's contenders on a network: its primitives, dense, compressed and in CSR, checked before they are timed.

Weights and images are random: latency does not depend on their values.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from benchmarks.interleaved import Sampler, take_turns
from benchmarks.layers import thinned
from benchmarks.random_images import random_images
from dlas import compression, datasets, models, primitives
from dlas.closure import code_hash
from dlas.compiler.build import build_library
from dlas.compiler.check import check_outputs
from dlas.compiler.importer import import_network, reference_outputs
from dlas.compiler.library import CompiledNetwork, NetworkTimer
from dlas.compiler.network import Network
from dlas.compiler.schedulers import plugin
from dlas.compiler.tuning.settings import Outcome, Settings
from dlas.compression.pruning import prunable
from dlas.errors import RowError, UnsupportedError, WrongError
from dlas.hardware.devices import device_opener
from dlas.hardware.platforms import Platform, target
from dlas.models.training import Recipe

HERE = Platform("local_cpu", threads=1)
# Of the weights that are pruned.
SPARSITY = 0.9
ROOT = Path(__file__).parent.parent
# Of candidates; they are not part of the repository.
RECORDS = ROOT / "benchmarks" / "records"
SEARCH: dict[str, Any] = {
    "strategy": "evolutionary",
    "batch": 8,
    "measurement": {"repeats": 10, "min_repeat_ms": 1, "timeout_s": 20},
    "confirmation": {"finalists": 2, "repeats": 15},
}
# The form and the way to schedule that is searched.
SEARCHED = "float32"
WAY = "autotuned"
# Runs of each of a primitive's samples, and samples, that tell the fastest.
RUNS, SAMPLES = 2, 5
EXCLUDE = ("stem", "depthwise", "classifier")
# On which integers are calibrated.
IMAGES = 32
# Of the measure that `dlas.compiler.check` has for each dtype.
TOLERANCES = {"float32": 1e-4, "float16": 2e-2, "int8": 0.0}
COLUMNS = [
    "network",
    "runtime",
    "primitive",
    "format",
    "dtype",
    "sparsity",
    "tuning",
    "status",
    "latency_ms",
]
FORMS = ("float32", "float16", "int8", "csr")


@dataclass(frozen=True)
class Case:
    """A network of width 1 and the size of its input in pixels.

    `forms` are those of `FORMS` that take part, `build_s` the seconds that one of its libraries
    takes on two cores.
    """

    model: str
    size: int
    stem: str
    classes: int
    forms: tuple[str, ...] = FORMS
    build_s: float = 5.0

    @property
    def name(self) -> str:
        return f"{self.model}_{self.size}"


CASES = (
    Case("resnet18", 32, "small_input", 10),
    Case("vgg16", 32, "small_input", 10),
    Case("mobilenet_v1", 32, "small_input", 10),
    Case("mobilenet_v2", 32, "small_input", 10),
    Case("resnet50", 224, "large_input", 1000),
    Case("densenet161", 224, "large_input", 1000, build_s=8.0),
    Case("efficientnet_b0", 224, "large_input", 1000),
    Case("mobilenet_v2", 224, "large_input", 1000),
)


@dataclass(frozen=True)
class Contender:
    """A way to run a network: by what, in which format and numbers, with what share of zeros, and how it is timed.

    `sample` is None until it is checked, and where `status` says why it is not timed.
    """

    runtime: str
    primitive: str
    format: str
    dtype: str
    sparsity: float
    tuning: str
    sample: Sampler | None = None
    status: str = "ok"


@dataclass(frozen=True)
class Workload:
    """A network in float32 and what it runs on: random images, normalized, float32 [N, 3, H, W]."""

    case: Case
    model: nn.Module
    dataset: datasets.Dataset
    images: np.ndarray

    @property
    def image(self) -> np.ndarray:
        """The image [1, 3, H, W] on which all are checked and timed."""
        return self.images[:1]


def workload(case: Case) -> Workload:
    """Return the network of a case and its images, always the same."""
    torch.manual_seed(0)
    model = enlivened(models.build(case.model, case.classes, 1.0, case.stem)).eval()
    dataset = random_images(IMAGES, case.size, case.classes)
    images = datasets.normalize(dataset.train.images, dataset.mean, dataset.std)
    return Workload(case, model, dataset, images)


def enlivened(model: nn.Module) -> nn.Module:
    """Give batch normalizations random statistics, scales and offsets as training leaves them, and return the model.

    Untrained, a deep network gives logits next to nothing, in which an error would not be seen.
    """
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    return model


def pruned(work: Workload, sparsity: float) -> nn.Module:
    """Return the network with exactly this share of its weights zero, at random places.

    The share is that of all convolutions together but those of `EXCLUDE`, which remain as they are.
    """
    model = copy.deepcopy(work.model)
    weights = [layer.weight for layer in prunable(model, EXCLUDE).values()]
    left = thinned(parameters_to_vector(weights).detach().numpy(), sparsity)
    vector_to_parameters(torch.from_numpy(left), weights)
    return model


def own_networks(work: Workload, trials: Mapping[str, int] | None = None) -> Iterator[Contender]:
    """Yield every primitive in each form of the case.

    `trials` are the largest numbers of a "layer" and of the whole "network". With them the fastest
    primitive in float32 also runs as a search over its knobs leaves it.
    """
    for form in work.case.forms:
        technique = form if form in ("float16", "int8") else "none"
        weight_format, sparsity = ("csr", SPARSITY) if form == "csr" else ("dense", 0.0)
        model = pruned(work, SPARSITY) if form == "csr" else work.model
        network, expected = imported(work, model, technique)
        found = []
        for own in own_primitives(work, network, expected, weight_format, sparsity):
            found.append(own)
            yield own
        if trials and form == SEARCHED:
            fastest = min(found, key=_seconds)
            choices = searched(network, fastest.primitive, weight_format, HERE, trials).choices
            library = build_library(
                network, fastest.primitive, weight_format, target(HERE), choices
            )
            yield checked(work, library.load(), expected, replace(fastest, tuning=WAY))


def _seconds(contender: Contender) -> float:
    """Return the time of a run, infinite for one that declines."""
    if contender.sample is None:
        return float("inf")
    return min(contender.sample(RUNS) for _ in range(SAMPLES))


def own_primitives(
    work: Workload, network: Network, expected: np.ndarray, weight_format: str, sparsity: float
) -> Iterator[Contender]:
    """Yield every primitive on a network, checked against the logits that it must give.

    Those that decline the network have the reason in their status.
    """
    for primitive in primitives.names():
        own = Contender("dlas", primitive, weight_format, network.dtype, sparsity, "untuned")
        try:
            library = build_library(network, primitive, weight_format, target(HERE)).load()
        except UnsupportedError as error:
            yield replace(own, status=error.status)
            continue
        yield checked(work, library, expected, own)


def imported(work: Workload, model: nn.Module, technique: str) -> tuple[Network, np.ndarray]:
    """Return a network compressed by a technique without levels, and the logits that it must give."""
    settings = {"observer": "minmax", "calibration_images": IMAGES, "epochs": 0}
    recipe = Recipe("sgd", learning_rate=0.1, weight_decay=0.0, epochs=1, batch_size=IMAGES)
    task = compression.Task(work.dataset, settings, recipe, 0, 1, False, 0)
    compressed = compression.load(technique).compress(copy.deepcopy(model), None, task)
    network = import_network(compressed, (1, 3, work.case.size, work.case.size))
    return network, reference_outputs(compressed, network, work.image)


def checked(
    work: Workload, library: CompiledNetwork, expected: np.ndarray, own: Contender
) -> Contender:
    """Return a contender whose library is checked and ready to be timed."""
    try:
        check_outputs(library, work.image, expected, own.dtype, TOLERANCES[own.dtype])
    except WrongError as error:
        error.add_note(f"{work.case.name}: {own.primitive} {own.format} {own.dtype} {own.tuning}")
        raise
    return replace(own, sample=timed(library.timer(work.image)))


def searched(
    network: Network,
    primitive: str,
    weight_format: str,
    platform: Platform,
    trials: Mapping[str, int],
    way: str = WAY,
) -> Outcome:
    """Return the schedules that a way to schedule finds within a budget of trials. What was measured before is kept."""
    kernels = (
        f"dlas.primitives.{primitive}",
        f"dlas.primitives.{weight_format}",
        "dlas.compiler.build",
    )
    tune: Any = plugin.load_searching(way).tune
    return tune(
        network,
        primitive,
        weight_format,
        target(platform),
        Settings(trials=trials, **SEARCH),
        records=RECORDS / code_hash(ROOT, None, kernels),
        seed=0,
        opener=device_opener(platform),
    )


def timed(timer: NetworkTimer) -> Sampler:
    """Return a function that gives the mean seconds of `number` runs of a compiled network."""
    return lambda number: timer.time(number)[0]


def measure(
    network: str, contenders: Sequence[Contender], turns: Iterable[int], seconds: float
) -> tuple[pd.DataFrame, np.ndarray]:
    """Time the contenders of a network in turns.

    Returns a row each, and the samples in milliseconds [turns, contenders], NaN where there are
    none. One that fails meanwhile has the reason in its status, and no latency.
    """
    statuses = [contender.status for contender in contenders]

    def sampler(place: int, sample: Sampler | None) -> Sampler:
        def guarded(number: int) -> float:
            if sample is None or statuses[place] != "ok":
                return np.nan
            try:
                return sample(number)
            except RowError as error:
                statuses[place] = error.status
                return np.nan

        return guarded

    samplers = [sampler(place, one.sample) for place, one in enumerate(contenders)]
    samples = take_turns(samplers, turns, seconds)
    table = pd.DataFrame([vars(contender) for contender in contenders])
    table = table.assign(network=network, status=statuses)
    table["latency_ms"] = np.median(samples, axis=0).round(4)
    return table[COLUMNS], samples
