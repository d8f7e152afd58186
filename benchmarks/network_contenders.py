"""Libraries of this project for a network: dense, compressed and in CSR, checked first.

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
# Share of zeros in the prunable weights.
SPARSITY = 0.9
ROOT = Path(__file__).parent.parent
# Records of candidates, which git ignores.
RECORDS = ROOT / "benchmarks" / "records"
SEARCH: dict[str, Any] = {
    "strategy": "evolutionary",
    "batch": 8,
    "measurement": {"repeats": 10, "min_repeat_ms": 1, "timeout_s": 20},
    "confirmation": {"finalists": 2, "repeats": 15},
}
# The form and the way to schedule of the search.
SEARCHED = "float32"
WAY = "autotuned"
# Runs of a sample, and samples, that find the fastest primitive.
RUNS, SAMPLES = 2, 5
EXCLUDE = ("stem", "depthwise", "classifier")
# Images for the calibration of integers.
IMAGES = 32
# The largest errors, as `dlas.compiler.check` defines them for each dtype.
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

    `forms` are the tested ones of `FORMS`, `build_s` the seconds to build one library on two cores.
    """

    model: str
    size: int
    stem: str
    classes: int
    forms: tuple[str, ...] = FORMS
    build_s: float = 5.0

    @property
    def name(self) -> str:
        """The key "model_size"."""
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
    """One way to run a network, with the share of zeros in its weights.

    `sample` is None until the contender is checked, and if `status` is a reason against timing it.
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
    """A float32 network with its random images, normalized, float32 [N, 3, H, W]."""

    case: Case
    model: nn.Module
    dataset: datasets.Dataset
    images: np.ndarray

    @property
    def image(self) -> np.ndarray:
        """The image [1, 3, H, W] for all checks and timings."""
        return self.images[:1]


def workload(case: Case) -> Workload:
    """Return the network of a case and its images, always the same."""
    torch.manual_seed(0)
    model = enlivened(models.build(case.model, case.classes, 1.0, case.stem)).eval()
    dataset = random_images(IMAGES, case.size, case.classes)
    images = datasets.normalize(dataset.train.images, dataset.mean, dataset.std)
    return Workload(case, model, dataset, images)


def enlivened(model: nn.Module) -> nn.Module:
    """Randomize the parameters and statistics of batch normalizations, and return the model.

    The logits of a deep network with initial ones are close to zero, which would hide errors.
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
    """Return the network with exactly this share of its prunable weights zero, at random places.

    The share is over all layers together, without those in `EXCLUDE`.
    """
    model = copy.deepcopy(work.model)
    weights = [layer.weight for layer in prunable(model, EXCLUDE).values()]
    left = thinned(parameters_to_vector(weights).detach().numpy(), sparsity)
    vector_to_parameters(torch.from_numpy(left), weights)
    return model


def own_networks(work: Workload, trials: Mapping[str, int] | None = None) -> Iterator[Contender]:
    """Yield every primitive in each form of the case.

    `trials` limits the candidates of a "layer" and of the whole "network". With it, the fastest
    primitive in float32 also runs autotuned.
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
    """Return the shortest time of a run; infinity for an unsupported primitive."""
    if contender.sample is None:
        return float("inf")
    return min(contender.sample(RUNS) for _ in range(SAMPLES))


def own_primitives(
    work: Workload, network: Network, expected: np.ndarray, weight_format: str, sparsity: float
) -> Iterator[Contender]:
    """Yield every primitive on a network, checked against the expected logits.

    Primitives that do not support the network have the reason in their status.
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
    """Compress a network and import it for the compiler.

    Parameters
    ----------
    work : Workload
        The images of calibration and of the check.
    model : nn.Module
        The network, which is not changed.
    technique : str
        A technique without levels.

    Returns
    -------
    Network
        The imported network.
    np.ndarray
        The expected logits of `work.image`.
    """
    settings = {"observer": "minmax", "calibration_images": IMAGES, "epochs": 0}
    recipe = Recipe("sgd", learning_rate=0.1, weight_decay=0.0, epochs=1, batch_size=IMAGES)
    task = compression.Task(work.dataset, settings, recipe, 0, 1, False, 0)
    compressed = compression.load(technique).compress(copy.deepcopy(model), None, task)
    network = import_network(compressed, (1, 3, work.case.size, work.case.size))
    return network, reference_outputs(compressed, network, work.image)


def checked(
    work: Workload, library: CompiledNetwork, expected: np.ndarray, own: Contender
) -> Contender:
    """Check a library, and return its contender ready to be timed.

    Parameters
    ----------
    work : Workload
        The image of the check.
    library : CompiledNetwork
        The library.
    expected : np.ndarray
        The expected logits.
    own : Contender
        The contender without a sampler.

    Raises
    ------
    WrongError
        For logits beyond the tolerance.
    """
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
    """Search for schedules; records of earlier runs of the same code are reused.

    Parameters
    ----------
    network : Network
        The imported network.
    primitive, weight_format : str
        The primitive and the weight format.
    platform : Platform
        The platform to measure on.
    trials : mapping of str to int
        Most candidates of a "layer" and of the whole "network".
    way : str
        The way to schedule.
    """
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
    """Return a sampler of the mean seconds of `number` runs of a compiled network."""
    return lambda number: timer.time(number)[0]


def measure(
    network: str, contenders: Sequence[Contender], turns: Iterable[int], seconds: float
) -> tuple[pd.DataFrame, np.ndarray]:
    """Time the contenders of a network in turns.

    A contender that fails has the reason in its status, and no latency.

    Returns
    -------
    pd.DataFrame
        A row for each contender, with the columns COLUMNS.
    np.ndarray
        float64 [turns, contenders], milliseconds; NaN for missing samples.
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
