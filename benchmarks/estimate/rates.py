"""Measure the speed of this machine in a minute or three, with the study's own code.

Networks are trained, run and compiled by one process per core with one thread each, as a study runs
its jobs side by side. Candidates and latency on all cores, which a study measures alone, are
measured alone afterwards.
"""

import ast
import copy
import io
import logging
import os
import resource
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from skimage import data as photographs
from torch import nn
from torch.nn.utils import prune
from tqdm import tqdm

from benchmarks.estimate import first
from benchmarks.estimate.demand import ROOT, Network
from benchmarks.random_images import random_images
from dlas import compression, datasets, models, registry, study
from dlas.compiler.build import build_library
from dlas.compiler.importer import import_network
from dlas.compiler.library import NetworkTimer, load_library
from dlas.compiler.network import load_network, save_network
from dlas.compiler.schedulers.plugin import load_searching
from dlas.compiler.tuning.settings import Settings
from dlas.compression.pruning import prunable
from dlas.files import code_folder
from dlas.hardware import host
from dlas.hardware.devices import device_opener
from dlas.hardware.platforms import Platform, target
from dlas.models import accuracy, export, training

# MACs of the forward pass of a training step; they set the batch size.
STEP_MACS = 3e9
# Runs of a library.
RUNS = 4
# Most steps of training.
STEPS = 6
# Sparsity of the CSR networks if the study has no ladder of sparsities.
SPARSITY = 0.8
# The script of each kind of job; `first` has the smallest job of the kind.
STARTED = {
    "training": "compress_model",
    "importing": "import_network",
    "exporting": "export_network",
    "compiling": "build_libraries",
    "tables": "choose_level",
    "analysis": "assess_observation",
    "plots": "draw_observation",
}
HERE = Platform("local_cpu")


@dataclass(frozen=True)
class Technique:
    """Seconds of a technique without a ladder.

    Attributes
    ----------
    once : float
        Seconds of one compression with a single image of calibration.
    calibration : float
        Seconds for each further image of calibration.
    inference : float
        Seconds for the inference of an image.
    """

    once: float
    calibration: float
    inference: float


@dataclass(frozen=True)
class NetworkRates:
    """Seconds on one thread for an image of training and of inference, and of each technique."""

    training: float
    inference: float
    techniques: Mapping[str, Technique]


@dataclass(frozen=True)
class Code:
    """The rates of one primitive in one format.

    Attributes
    ----------
    build_layer : float
        Seconds to build a layer.
    mac, mac_all_cores : float
        Seconds per MAC on one thread and on all cores.
    layer_bytes : float
        Bytes of a layer in a library, without its weights.
    """

    build_layer: float
    mac: float
    mac_all_cores: float
    layer_bytes: float


@dataclass(frozen=True)
class Rates:
    """The measured rates.

    `Network.kind` is the key of networks' kinds; the key of a code is "primitive-format".
    """

    cores: int
    # Seconds until a job has imported its modules, by kind of STARTED.
    start: Mapping[str, float]
    # Bytes of memory at that time.
    start_bytes: Mapping[str, float]
    networks: Mapping[str, NetworkRates]
    # Keyed by kind of network.
    codes: Mapping[str, Mapping[str, Code]]
    import_layer: float
    export_layer: float
    # Seconds per candidate of a search on small layers, by way to schedule.
    candidate: Mapping[str, float]
    # Bytes of the records of a candidate.
    record_bytes: Mapping[str, float]
    # Seconds to decode and shrink a photograph.
    image: float
    # The compiled network of each kind.
    measured_on: Mapping[str, str]


def measure(config: study.Config, networks: Mapping[str, Network], seconds: float = 60.0) -> Rates:
    """Measure the rates of a config's networks in about `seconds`, but at least a step of each."""
    cores = len(host.cores())
    budget = 0.3 * seconds * cores / len(networks)
    smallest = {
        kind: min(
            (each for each in networks.values() if each.kind == kind), key=lambda each: each.macs
        )
        for kind in sorted({each.kind for each in networks.values()})
    }
    with code_folder() as folder:
        # The longest jobs start first, so no core is idle at the end.
        work: dict[tuple[str, str], Callable[[], Any]] = {
            ("code", kind): partial(measure_code, config, each, folder / kind)
            for kind, each in smallest.items()
        }
        work |= {
            ("network", each.name): partial(measure_network, config, each, budget)
            for each in sorted(networks.values(), key=lambda each: -each.macs)
        }
        work |= {("start", name): partial(measure_start, name) for name in STARTED}
        work |= {("image", ""): measure_image}
        alone = {("latency", kind): partial(latencies, folder / kind) for kind in smallest}
        tuned = min(smallest.values(), key=lambda each: each.workloads)
        alone |= {
            ("tuning", way): partial(measure_tuning, config, way, folder / tuned.kind)
            for way in searched(config)
        }
        with tqdm(
            total=len(work) + len(alone), desc="measuring this machine", unit="rate", disable=None
        ) as progress:
            found = _run(work, cores, 1, progress) | _run(alone, 1, cores, progress)

    def of(group: str) -> dict[str, Any]:
        return {name: value for (kind, name), value in found.items() if kind == group}

    codes = {
        kind: {
            name: Code(
                build_layer=built["seconds"] / smallest[kind].layers,
                mac=built["latency"] / smallest[kind].macs,
                # Other load slows threads that wait for each other, but not a single thread.
                mac_all_cores=min(of("latency")[kind][name], built["latency"])
                / smallest[kind].macs,
                layer_bytes=built["bytes"] / smallest[kind].layers,
            )
            for name, built in of("code")[kind]["built"].items()
        }
        for kind in smallest
    }
    layers = sum(each.layers for each in smallest.values())
    return Rates(
        cores=cores,
        start={name: seconds for name, (seconds, _) in of("start").items()},
        start_bytes={name: size for name, (_, size) in of("start").items()},
        networks=of("network"),
        codes=codes,
        import_layer=sum(each["import"] for each in of("code").values()) / layers,
        export_layer=sum(each["export"] for each in of("code").values()) / layers,
        candidate={way: seconds for way, (seconds, _) in of("tuning").items()},
        record_bytes={way: size for way, (_, size) in of("tuning").items()},
        image=of("image")[""],
        measured_on={kind: each.name for kind, each in smallest.items()},
    )


def _run(
    work: Mapping[tuple[str, str], Callable[[], Any]], processes: int, threads: int, progress: Any
) -> dict[tuple[str, str], Any]:
    """Run functions in parallel, in the order given, and return their results."""
    os.environ |= {"TVM_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    with ProcessPoolExecutor(
        processes, get_context("spawn"), initializer=_begin, initargs=(threads,)
    ) as pool:
        futures: dict[Future[Any], tuple[str, str]] = {
            pool.submit(job): name for name, job in work.items()
        }
        found = {}
        try:
            for future in as_completed(futures):
                name = futures[future]
                progress.set_postfix_str(" ".join(name))
                found[name] = future.result()
                progress.update()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return found


def _begin(threads: int) -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(threads)
    if threads > 1:
        host.use_threads(threads)


def measure_network(config: study.Config, network: Network, budget: float) -> NetworkRates:
    """Train and run a network on random images.

    This process uses one thread, as CPU time would include threads that wait for each other.

    Parameters
    ----------
    config : Config
        The config.
    network : Network
        The network; the images have its size.
    budget : float
        Approximate CPU seconds; at least one step is trained.
    """
    dataset, model = network.dataset, network.model
    recipe = training.recipe(study.recipe(config, dataset, model))
    count = max(2, min(recipe.batch_size, int(STEP_MACS / network.macs)))
    # A learning rate at which nothing diverges on random labels. The rate of a GPU is an option,
    # and not measured here.
    step = replace(
        recipe, epochs=1, batch_size=count, learning_rate=1e-6, device="cpu", processes=1
    )
    data = random_images(count, network.images.size, network.images.classes)
    stem = study.stem(config, dataset)
    built = models.build(model, network.images.classes, config.models.width, stem)
    taken = _seconds(lambda: training.train(built, data, step, 0, progress=False))
    steps = max(1, min(STEPS, int(0.5 * budget / taken)))
    if steps > 1:
        data = random_images(steps * count, network.images.size, network.images.classes)
        taken = _seconds(lambda: training.train(built, data, step, 0, progress=False), 1)
    images = datasets.normalize(data.train.images[:count], data.mean, data.std)
    inference = _seconds(lambda: accuracy.logits(built, images)) / count
    techniques = {
        study.steps(config, name)[-1]: _technique(config, name, network, built, data, step, images)
        for name in config.study.compression
        if name != study.BASELINE and not study.own_levels(config, name)
    }
    return NetworkRates(max(0.0, taken - inference) / (steps * count), inference, techniques)


def _seconds(work: Callable[[], Any], repeats: int = 2) -> float:
    """Return the CPU seconds of the fastest of several runs, which other load hardly affects."""
    taken = []
    for _ in range(repeats):
        start = cpu_seconds()
        work()
        taken.append(cpu_seconds() - start)
    return min(taken)


def cpu_seconds() -> float:
    """Return the CPU seconds that this process and its ended children have used."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def _technique(
    config: study.Config,
    name: str,
    network: Network,
    built: nn.Module,
    data: datasets.Dataset,
    recipe: training.Recipe,
    images: np.ndarray,
) -> Technique:
    technique = compression.load(study.steps(config, name)[-1])
    settings = study.technique(config, name) | {"epochs": 0}
    count = len(images)

    def compress(calibrated_on: int) -> nn.Module:
        own = settings | (
            {"calibration_images": calibrated_on} if "calibration_images" in settings else {}
        )
        task = compression.Task(data, own, recipe, 0, 1, False, network.macs)
        compressed: nn.Module = technique.compress(copy.deepcopy(built), None, task)
        return compressed

    start = cpu_seconds()
    compressed = compress(1)
    once = cpu_seconds() - start
    calibration = 0.0
    if "calibration_images" in settings:
        more = _seconds(lambda: compress(count), 1)
        calibration = max(0.0, more - once) / (count - 1)
    inference = _seconds(lambda: accuracy.logits(compressed, images), 1) / count
    return Technique(once, calibration, inference)


def measure_start(kind: str) -> tuple[float, float]:
    """Return the seconds that the smallest job of a kind takes, and its bytes of memory."""
    scripts = ROOT / "workflow/scripts"
    tree = ast.parse((scripts / f"{STARTED[kind]}.py").read_text())
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    lines = [
        "import snakemake.iocontainers",
        *(ast.unparse(node) for node in imports),
        f"from benchmarks.estimate import first; first.{kind}()",
        "print(*(line for line in open('/proc/self/status') if line.startswith('VmHWM')))",
    ]
    start = cpu_seconds()
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        env=os.environ | {"PYTHONPATH": f"{scripts}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=True,
    )
    return cpu_seconds() - start, 1024 * float(done.stdout.split()[-2])


def shortest(timer: NetworkTimer) -> float:
    """Return the seconds of the shortest of eight runs."""
    return min(seconds for _ in range(8) for seconds in timer.time(1))


def measure_image() -> float:
    """Return the seconds to decode a photograph of 600x400 pixels and shrink it like ImageNet's."""
    file = io.BytesIO()
    Image.fromarray(photographs.coffee()).save(file, "JPEG")

    def read() -> None:
        image = Image.open(file).convert("RGB")
        np.array(image.resize((384, 256), Image.Resampling.BILINEAR))

    return _seconds(read, 5)


def codes(config: study.Config) -> list[tuple[str, str]]:
    """Return the compiled primitives and formats; CSR only if a technique creates zero weights."""
    return sorted({(each.primitive, each.format) for each in study.configurations(config)})


def measure_code(config: study.Config, network: Network, folder: Path) -> dict[str, Any]:
    """Import and export a random network, and build and run it with each primitive and format.

    The files for later measurements stay in `folder`.
    """
    folder.mkdir()
    images, width = network.images, config.models.width
    built = models.build(network.model, images.classes, width, study.stem(config, network.dataset))
    pixels = random_images(1, images.size, images.classes)
    image = datasets.normalize(pixels.train.images, pixels.mean, pixels.std)
    np.save(folder / "image.npy", image)
    found: dict[str, Any] = {"built": {}}
    # Imports on first use belong to the start of a job.
    build_library(first.importing(), *codes(config)[0], target(HERE))
    first.exporting()
    imported = {}

    def take() -> None:
        imported["dense"] = import_network(copy.deepcopy(built).eval(), image.shape)

    found["import"] = _seconds(take, 1)

    def give() -> None:
        export.write_onnx(copy.deepcopy(built).eval(), image, folder / "network.onnx")
        export.write_program(copy.deepcopy(built).eval(), image, folder / "network.pt2")

    found["export"] = _seconds(give, 1)
    save_network(imported["dense"], folder / "network.json", folder / "parameters.safetensors")
    for primitive, format_ in codes(config):
        if format_ not in imported:
            imported[format_] = import_network(_thinned(config, built).eval(), image.shape)
        start = cpu_seconds()
        library = build_library(imported[format_], primitive, format_, target(HERE))
        file = folder / f"{primitive}-{format_}.so"
        library.export(file)
        seconds = cpu_seconds() - start
        parameters = library_bytes(network.parameters, format_, sparsity(config))
        timer = load_library(file).timer(image)
        found["built"][f"{primitive}-{format_}"] = {
            "seconds": seconds,
            # The timer adds a warm-up run to each call.
            "latency": _seconds(partial(timer.time, RUNS - 1), 3) / RUNS,
            "bytes": max(0.0, file.stat().st_size - parameters),
        }
    return found


def sparsity(config: study.Config) -> float:
    """Return the share of zeros for measurements of CSR: the middle of the ladder of sparsities."""
    ladders = [
        study.levels(config, name)
        for name in config.study.compression
        if study.sparse(config, name) and study.levels(config, name) != [study.SINGLE]
    ]
    return float(ladders[0][len(ladders[0]) // 2]) if ladders else SPARSITY


def library_bytes(parameters: int, format_: str, sparsity: float, number: int = 4) -> float:
    """Return the bytes of the weights in a library.

    Parameters
    ----------
    parameters : int
        Number of weights.
    format_ : str
        The weight format; all but "dense" have an index of 4 bytes for each nonzero weight.
    sparsity : float
        Share of zeros.
    number : int
        Bytes of a weight.
    """
    return parameters * (number if format_ == "dense" else (number + 4) * (1 - sparsity))


def _thinned(config: study.Config, model: nn.Module) -> nn.Module:
    thinned = copy.deepcopy(model)
    prunables = prunable(thinned, ["stem", "depthwise", "classifier"])
    layers = [(layer, "weight") for layer in prunables.values()]
    prune.global_unstructured(layers, prune.L1Unstructured, amount=sparsity(config))
    for layer, name in layers:
        prune.remove(layer, name)
    return thinned


def latencies(folder: Path) -> dict[str, float]:
    """Return the seconds of a run of each library in a folder, on all cores."""
    image = np.load(folder / "image.npy")
    found = {}
    for file in sorted(folder.glob("*.so")):
        timer = load_library(file).timer(image)
        found[file.stem] = shortest(timer)
    return found


def searched(config: study.Config) -> list[str]:
    """Return the ways to schedule of a study that measure candidates."""
    chosen = {one["tuning"] for one in study.tuning_jobs(config)}
    return sorted(way for way in chosen if not registry.describe("tuning", way).combines)


def measure_tuning(config: study.Config, way: str, folder: Path) -> tuple[float, float]:
    """Tune a network briefly; return the seconds and the bytes of records per candidate."""
    settings = study.tuning(config, tuning=way) | {"trials": {"layer": 3, "network": 1 << 20}}
    network = load_network(folder / "network.json", folder / "parameters.safetensors")
    primitive = study.tuned_choices(config)[0]["primitive"]
    records = folder / "records"
    start = cpu_seconds()
    outcome = load_searching(way).tune(
        network,
        primitive,
        "dense",
        target(HERE),
        Settings(**settings),
        records=records,
        seed=0,
        opener=device_opener(HERE),
    )
    # All cores build and measure.
    seconds = (cpu_seconds() - start) / len(host.cores())
    size = sum(file.stat().st_size for file in records.rglob("*") if file.is_file())
    count = len(outcome.curve)
    return seconds / count, size / count
