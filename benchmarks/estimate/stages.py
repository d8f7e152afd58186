"""The time, disk and memory of each stage of a study: jobs times rates."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from benchmarks.estimate.demand import Jobs, Network
from benchmarks.estimate.rates import Code, Rates, library_bytes, sparsity
from dlas import primitives, registry, study
from dlas.compiler.build import complete
from dlas.compiler.schedulers import plugin
from dlas.hardware.platforms import Platform, target
from dlas.primitives.vector import processor

# Rules whose jobs run alone on the machine.
EXCLUSIVE = ("resolve_target", "probe_platform", "tune_network", "time_libraries")
# Libraries that are timed a second time, see dlas.hardware.timing.
REPLICATES = 3
# The network for which training rates of GPUs are published.
RESNET50 = ("imagenet", "resnet50")


@dataclass(frozen=True)
class Stage:
    """The jobs of one rule.

    Attributes
    ----------
    rule : str
        Its name.
    jobs, elsewhere : int
        The number of all jobs, and of the jobs on boards or this machine's GPU.
    seconds : float
        Sum over the jobs on this machine; `elsewhere` is left out.
    longest : float
        Seconds that cannot run in parallel: the longest job, or all jobs if they share a GPU.
    disk, memory : float
        Bytes on disk of all jobs, and bytes of memory of one.
    """

    rule: str
    jobs: int
    elsewhere: int
    seconds: float
    longest: float
    disk: float
    memory: float

    @property
    def exclusive(self) -> bool:
        """Whether its jobs run one after the other, with nothing beside them."""
        return self.rule in EXCLUSIVE

    def wall(self, cores: int) -> float:
        """Return its wall time in seconds on a number of cores."""
        return self.seconds if self.exclusive else max(self.seconds / cores, self.longest)


@dataclass(frozen=True)
class Finished:
    """Rates of a finished study: seconds of a job or layer by rule, of a candidate by search."""

    job: Mapping[str, float] = field(default_factory=dict)
    layer: Mapping[str, float] = field(default_factory=dict)
    candidate: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Inputs:
    """Everything that the time of a job depends on.

    `gpu` is images per second of ResNet50's training at 224x224 pixels, `gpu_macs` its MACs per
    image.
    """

    config: study.Config
    networks: Mapping[str, Network]
    rates: Rates
    finished: Finished
    gpu: float | None = None
    gpu_macs: int = 0

    def network(self, job: Mapping[str, str]) -> Network:
        """Return the network of a job."""
        return self.networks[f"{job['dataset']}/{job['model']}"]

    def code(self, network: Network, job: Mapping[str, str]) -> Code:
        """Return the rates of a job's primitive and format for its network."""
        return self.rates.codes[network.kind][f"{job['primitive']}-{job['format']}"]


def stages(inputs: Inputs, jobs: Jobs) -> list[Stage]:
    """Return the stages of a study in the order of the stack."""
    return [_stage(inputs, rule, each) for rule, each in jobs.items() if each]


def dominating(found: Sequence[Stage], cores: int) -> Stage:
    """Return the stage with the longest wall time."""
    return max(found, key=lambda stage: stage.wall(cores))


def total(found: Sequence[Stage], cores: int) -> float:
    """Return the wall time of all stages in seconds."""
    return sum(stage.wall(cores) for stage in found)


def _stage(inputs: Inputs, rule: str, jobs: Sequence[Mapping[str, str]]) -> Stage:
    here = [job for job in jobs if _is_here(inputs.config, job)]
    seconds = [SECONDS.get(rule, _plot)(inputs, job | {"rule": rule}) for job in here]
    longest = max(seconds, default=0.0)
    if inputs.gpu and rule in ("train_model", "compress_model"):
        # Jobs on the GPU run one after the other.
        longest = sum(seconds)
    return Stage(
        rule,
        len(jobs),
        len(jobs) - len(here),
        sum(seconds),
        longest,
        sum(DISK[rule](inputs, job) for job in jobs) if rule in DISK else 0.0,
        max((_memory(inputs, rule, job) for job in here), default=0.0),
    )


def _is_here(config: study.Config, job: Mapping[str, str]) -> bool:
    # A machine has the name of one of its platforms.
    name = job.get("platform", job.get("machine"))
    if name is None:
        return True
    platform = config.platforms[name]
    return not platform.connection and platform.target != "cuda"


def _plot(inputs: Inputs, job: Mapping[str, str]) -> float:
    start = inputs.rates.start["plots" if job["rule"].startswith("draw") else "analysis"]
    return inputs.finished.job.get(job["rule"], start)


def _prepare(inputs: Inputs, job: Mapping[str, str]) -> float:
    read = "resize" in inputs.config.datasets[job["dataset"]]
    count = _images(inputs, job["dataset"]).total if read else 0
    return inputs.rates.start["analysis"] + count * inputs.rates.image


def _images(inputs: Inputs, dataset: str) -> Any:
    return next(each.images for each in inputs.networks.values() if each.dataset == dataset)


def _epochs(inputs: Inputs, network: Network, epochs: int) -> float:
    rates, images = inputs.rates.networks[network.name], network.images
    if inputs.gpu:
        return epochs * images.train * network.macs / inputs.gpu_macs / inputs.gpu
    return epochs * (images.train * rates.training + images.validation * rates.inference)


def _train(inputs: Inputs, job: Mapping[str, str]) -> float:
    recipe = study.recipe(inputs.config, job["dataset"], job["model"])
    start = inputs.rates.start["training"]
    return start + _epochs(inputs, inputs.network(job), recipe["epochs"])


def _load(inputs: Inputs, job: Mapping[str, str]) -> float:
    return inputs.rates.start["training"]


def _compress(inputs: Inputs, job: Mapping[str, str]) -> float:
    network, name = inputs.network(job), job["compression"]
    rates, images = inputs.rates.networks[network.name], network.images
    seconds, inference = inputs.rates.start["training"], rates.inference
    settings = study.technique(inputs.config, name)
    if study.own_levels(inputs.config, name) or settings.get("epochs"):
        recipe = study.fine_tuning(inputs.config, name, job["dataset"], job["model"])
        seconds += _epochs(inputs, network, recipe["epochs"])
    if (step := study.steps(inputs.config, name)[-1]) in rates.techniques:
        technique = rates.techniques[step]
        calibrated_on = min(settings.get("calibration_images", 0), images.train)
        seconds += technique.once + calibrated_on * technique.calibration
        inference = technique.inference
    return seconds + (images.validation + images.test) * inference


def _choose(inputs: Inputs, job: Mapping[str, str]) -> float:
    return inputs.finished.job.get("choose_level", inputs.rates.start["tables"])


def _import(inputs: Inputs, job: Mapping[str, str]) -> float:
    layer = inputs.finished.layer.get("import_network", inputs.rates.import_layer)
    return inputs.rates.start["importing"] + inputs.network(job).layers * layer


def _export(inputs: Inputs, job: Mapping[str, str]) -> float:
    layer = inputs.finished.layer.get("export_network", inputs.rates.export_layer)
    return inputs.rates.start["exporting"] + inputs.network(job).layers * layer


def _resolve(inputs: Inputs, job: Mapping[str, str]) -> float:
    return inputs.rates.start["compiling"]


def _probe(inputs: Inputs, job: Mapping[str, str]) -> float:
    return inputs.finished.job.get("probe_platform", inputs.rates.start["compiling"])


def _tune(inputs: Inputs, job: Mapping[str, str]) -> float:
    network, tuning = inputs.network(job), inputs.config.tuning
    start, way = inputs.rates.start["compiling"], job["tuning"]
    # It builds a library of each combined way, of their combination, and of the default.
    if combined := registry.describe("tuning", way).combines:
        return start + (2 + len(combined)) * network.layers * inputs.code(network, job).build_layer
    if _has_records(inputs.config, job) or _declines(way, job["format"]):
        return start
    candidate = inputs.finished.candidate.get(way, inputs.rates.candidate[way])
    # Layers that run longer than the shortest sample make each sample longer.
    layer = network.macs * _mac(inputs, job) / network.layers
    longer = max(0.0, layer - tuning.measurement.min_repeat_ms / 1e3)
    each = candidate + tuning.measurement.repeats * longer
    return start + candidates(inputs.config, way, network) * each


@cache
def _declines(way: str, weight_format: str) -> bool:
    """Return whether a way to schedule does not support a weight format on this machine."""
    here = processor(complete(target(Platform("host", threads=1))), "float32")
    return bool(plugin.unsupported(plugin.load(way), primitives.load_format(weight_format), here))


def _has_records(config: study.Config, job: Mapping[str, str]) -> bool:
    """Return whether the layers are the uncompressed network's, which are measured by then."""
    layers = {name: value for name, value in job.items() if name != "rule"}
    baseline = layers | {"compression": study.BASELINE}
    return _has_baseline_kernels(config, job) and bool(study.tuned_choices(config, **baseline))


def _has_baseline_kernels(config: study.Config, job: Mapping[str, str]) -> bool:
    """Return whether the kernels are the uncompressed network's, with other constants."""
    alone = study.parent(config, job["compression"]) is None
    return job["format"] == "dense" and alone and study.sparse(config, job["compression"])


def candidates(config: study.Config, way: str, network: Network) -> int:
    """Return the most candidates of a way to schedule, with the default code of each layer."""
    if way not in config.tuning.trials:
        return 0
    trials = config.tuning.trials[way]
    limit = min(trials.network, trials.layer * network.workloads)
    return int(max(network.workloads, limit))


def _build(inputs: Inputs, job: Mapping[str, str]) -> float:
    network = inputs.network(job)
    seconds = inputs.rates.start["compiling"]
    for library in _libraries(inputs, job):
        if not _has_baseline_kernels(inputs.config, library):
            layer = inputs.code(network, library).build_layer
            seconds += network.layers * inputs.finished.layer.get("build_libraries", layer)
    return seconds


def _libraries(inputs: Inputs, job: Mapping[str, str]) -> list[dict[str, str]]:
    layers = {name: value for name, value in job.items() if name not in ("rule", "machine")}
    return study.choices(inputs.config, **layers)


def _mac(inputs: Inputs, library: Mapping[str, str]) -> float:
    """Return the seconds per MAC of a library on its platform's threads."""
    code = inputs.code(inputs.network(library), library)
    one_thread = inputs.config.platforms[library["platform"]].threads == 1
    return code.mac if one_thread else code.mac_all_cores


def _check(inputs: Inputs, job: Mapping[str, str]) -> float:
    network = inputs.network(job)
    images = network.images.test + inputs.config.compiler.check.images
    seconds = inputs.rates.start["compiling"]
    for library in _libraries(inputs, job):
        seconds += images * network.macs * inputs.code(network, library).mac
    return seconds


def _time(inputs: Inputs, job: Mapping[str, str]) -> float:
    place = {name: job[name] for name in ("dataset", "model", "machine")}
    platforms = study.timed_platforms(inputs.config, **place)
    sampled = sum(_sample(inputs, job | {"platform": platform}) for platform in platforms)
    peers = any(platform["peers"] for platform in platforms.values())
    started = inputs.rates.start["importing"] if peers else 0.0
    return inputs.rates.start["compiling"] + started + sampled


def _sample(inputs: Inputs, job: Mapping[str, str]) -> float:
    """Return the seconds of the samples of one platform in a timing job."""
    network, timing = inputs.network(job), inputs.config.platforms[job["platform"]].timing
    libraries = _libraries(inputs, job)
    latency = [network.macs * _mac(inputs, library) for library in libraries]
    mean = sum(latency) / len(latency)
    peers = study.peers(inputs.config, job["platform"])
    # Replicates, the reference kernel and peers are also sampled. Their latency is taken to be the
    # libraries' mean.
    latency += [mean] * (min(REPLICATES, len(libraries)) + 1 + len(peers))
    least = timing.min_repeat_ms / 1e3
    # Each sample follows a warm-up run.
    samples = sum(timing.rounds * (max(least, each) + each) for each in latency)
    warmup = sum(2 * max(1, timing.warmup) * each for each in latency)
    return warmup + samples


SECONDS: Mapping[str, Callable[[Inputs, Mapping[str, str]], float]] = {
    "prepare_dataset": _prepare,
    "train_model": _train,
    "load_weights": _load,
    "compress_model": _compress,
    "choose_level": _choose,
    "import_network": _import,
    "export_network": _export,
    "resolve_target": _resolve,
    "probe_platform": _probe,
    "tune_network": _tune,
    "build_libraries": _build,
    "check_libraries": _check,
    "time_libraries": _time,
}


def _stored(inputs: Inputs, job: Mapping[str, str]) -> float:
    """Return the bytes of a compressed network's parameters; pruned channels count in full."""
    size = {"float16": 2, "int8": 1}.get(study.dtype(inputs.config, job["compression"]), 4)
    return float(inputs.network(job).parameters * size)


def _dataset_bytes(inputs: Inputs, job: Mapping[str, str]) -> float:
    images = _images(inputs, job["dataset"])
    return float(3 * images.total * images.size**2)


def _libraries_disk(inputs: Inputs, job: Mapping[str, str]) -> float:
    return sum(_library_disk(inputs, library) for library in _libraries(inputs, job))


def _library_disk(inputs: Inputs, job: Mapping[str, str]) -> float:
    network = inputs.network(job)
    number = {"float16": 2, "int8": 1}.get(study.dtype(inputs.config, job["compression"]), 4)
    weights = library_bytes(network.parameters, job["format"], sparsity(inputs.config), number)
    return weights + network.layers * inputs.code(network, job).layer_bytes


DISK: Mapping[str, Callable[[Inputs, Mapping[str, str]], float]] = {
    "prepare_dataset": _dataset_bytes,
    "train_model": lambda inputs, job: 4.0 * inputs.network(job).parameters,
    "load_weights": lambda inputs, job: 4.0 * inputs.network(job).parameters,
    "compress_model": _stored,
    "choose_level": _stored,
    "import_network": _stored,
    "export_network": lambda inputs, job: 8.0 * inputs.network(job).parameters,
    "tune_network": lambda inputs, job: (
        inputs.rates.record_bytes.get(job["tuning"], 0.0)
        * candidates(inputs.config, job["tuning"], inputs.network(job))
    ),
    "build_libraries": _libraries_disk,
}
STARTED_AS = {
    "train_model": "training",
    "load_weights": "training",
    "compress_model": "training",
    "export_network": "exporting",
    "import_network": "importing",
    "tune_network": "compiling",
    "build_libraries": "compiling",
    "check_libraries": "compiling",
    "time_libraries": "compiling",
    "resolve_target": "compiling",
    "probe_platform": "compiling",
}


def _memory(inputs: Inputs, rule: str, job: Mapping[str, str]) -> float:
    """Return the peak bytes of a job: imports, parameters and activations.

    Data sets do not count: they are mapped from the disk, and the system can drop pages that are
    not in use.
    """
    started = STARTED_AS.get(rule, "plots" if rule.startswith("draw") else "analysis")
    held = inputs.rates.start_bytes[started]
    if "model" not in job:
        return held
    network = inputs.network(job)
    if rule in ("train_model", "compress_model"):
        recipe = study.recipe(inputs.config, job["dataset"], job["model"])
        batch = min(recipe["batch_size"], network.images.train)
        # Weights, gradients, two moments, the best and the saved weights; and activations for the
        # gradients.
        held += 4 * 6 * network.parameters + 4.0 * batch * network.activations
    elif rule == "time_libraries":
        held += _libraries_disk(inputs, job)
    else:
        held += 3 * 4 * network.parameters
    return held
