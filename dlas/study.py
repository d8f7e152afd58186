"""What a configuration of the study is, which ones the config asks for, and where every artifact lies.

The study varies one choice on every layer of the stack; a configuration is one choice on each. This module knows
names and paths only. `config` is always the merged content of config.yaml and its overlays.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Any

from dlas import registry
from dlas.errors import unknown

Config = Mapping[str, Any]

BASELINE = "none"  # the technique that all others are compared with
SINGLE = "single"  # the one level of a technique without a ladder
DOWNLOAD = "download"  # the source of a data set whose archive is downloaded
TRAIN, PUBLISHED = "train", "imagenet1k"  # weights; anything else is a file that they are in

_COMPRESSED = "results/compressed/{dataset}/{model}/{compression}"
_NETWORK = "results/networks/{dataset}/{model}/{compression}"
_PLATFORM = "{dataset}/{model}/{compression}/{platform}"
_TUNING = f"results/tuning/{_PLATFORM}/{{primitive}}-{{format}}/{{tuning}}"
PATHS = {
    "archive": "results/downloads/{dataset}.tar.gz",
    "unfinished_archive": "results/unfinished/downloads/{dataset}.tar.gz",
    "weights": "results/downloads/{model}.pth",
    "unfinished_weights": "results/unfinished/downloads/{model}.pth",
    "dataset": "results/datasets/{dataset}.npz",
    "checkpoint": "results/models/{dataset}/{model}/checkpoint.safetensors",
    "history": "results/models/{dataset}/{model}/history.csv",
    # Like unfinished downloads these outlive the job that writes to them, if it is killed; they are no outputs.
    "unfinished_training": "results/unfinished/{dataset}/{model}",
    "unfinished_compression": "results/unfinished/{dataset}/{model}/{compression}/{level}",
    "compressed": f"{_COMPRESSED}/{{level}}.safetensors",
    "point": f"{_COMPRESSED}/{{level}}.json",
    "curve": f"{_COMPRESSED}/curve.csv",
    "chosen": f"{_COMPRESSED}/chosen.safetensors",
    "summary": f"{_COMPRESSED}/summary.json",
    "network": f"{_NETWORK}/network.json",
    "parameters": f"{_NETWORK}/parameters.safetensors",
    "reference": f"{_NETWORK}/reference.npz",
    "exported": "results/exported/{dataset}/{model}.{extension}",
    "tuning": f"{_TUNING}.json",
    "tuning_curve": f"{_TUNING}.csv",
    "records": "results/tuning/records/{platform}",  # a folder that outlives the jobs which write to it
    "kernels": "results/kernels",  # likewise: a cache of compiled kernels, safe to delete
    "libraries": f"results/libraries/{_PLATFORM}",  # a folder of primitive-format/tuning.so
    "builds": f"results/builds/{_PLATFORM}.json",
    "check": f"results/checks/{_PLATFORM}.json",
    "target": "results/targets/{platform}.json",
    "platform": "results/platforms/{platform}.json",
    "timing": "results/timings/{dataset}/{model}/{platform}.csv",
    "statuses": "results/timings/{dataset}/{model}/{platform}.json",
    "study": "results/study.csv",
    "noise_floor": "results/noise_floor.csv",
    "peers": "results/peers.csv",
    "provenance": "results/provenance.json",
    "accuracy_curves": "results/accuracy_curves.csv",
    "tuning_curves": "results/tuning_curves.csv",
    "assessment": "results/observations/{number}.json",
    "caption": "results/observations/{number}.rst",
    "observations": "results/observations.csv",
    "observations_page": "results/observations.rst",
    "plot": "plots/observation_{number}.{extension}",
    "overview": "plots/latency.{extension}",
    "accuracy_curves_plot": "plots/accuracy_curves.{extension}",
    "tuning_curves_plot": "plots/tuning_curves.{extension}",
    "summary_table": "results/tables/{table}.csv",
    "summary_page": "results/tables/{table}.html",
    "recommendation": "results/recommendation.csv",
    "recommendation_page": "results/tables/recommendation.html",
    "pareto": "plots/pareto.{extension}",
    "roofline": "plots/roofline.{extension}",
}
FIGURES = (
    "overview",
    "accuracy_curves_plot",
    "tuning_curves_plot",
    "pareto",
    "roofline",
)  # of the whole study
PLOT_EXTENSIONS = ("pdf", "svg", "png")
SUMMARY_TABLES = ("accuracy_and_compression", "latency", "best_configurations")


@dataclass(frozen=True, order=True)
class Configuration:
    """One choice on every layer of the stack."""

    dataset: str
    model: str
    compression: str
    primitive: str
    format: str
    tuning: str
    platform: str


def path(name: str, **choices: str) -> str:
    """Return the path of an artifact; each choice that is not given stays a wildcard.

    `path("dataset")` is "results/datasets/{dataset}.npz", `path("dataset", dataset="digits")` is the file of one data
    set. Choices that the path does not contain are ignored, so that a configuration's fields can be passed as they are.
    """
    pattern = PATHS[name]
    wildcards = [field for _, field, _, _ in Formatter().parse(pattern) if field]
    return pattern.format(**{field: choices.get(field, f"{{{field}}}") for field in wildcards})


def configurations(config: Config, **choices: str) -> list[Configuration]:
    """Return the configurations that the config asks for and that agree with `choices`, in a canonical order.

    Sparse formats are for the networks of techniques that make weights zero. Tunings that search are for those that
    `selectors` select.
    """
    study = config["study"]
    selected = selectors(config) if any(map(searches, study["tuning"])) else []

    def asked(layer: str, names: Iterable[str]) -> list[str]:
        return [name for name in names if choices.get(layer, name) == name]

    every = (
        Configuration(dataset, model, compression, primitive, format_, tuning, platform)
        for platform, dataset, model in timings(config)
        if asked("platform", [platform]) and asked("dataset", [dataset]) and asked("model", [model])
        for compression in asked("compression", study["compression"])
        for primitive in asked("primitive", study["primitives"])
        for format_ in asked("format", study["formats"])
        if sparse(compression) or not registry.describe("format", format_).sparse
        for tuning in asked("tuning", study["tuning"])
    )
    return sorted(
        one
        for one in every
        if not searches(one.tuning) or any(_agrees(one, selector) for selector in selected)
    )


def selectors(config: Config) -> list[dict[str, list[str]]]:
    """Return which configurations are tuned by a search as well: those that agree with one of these choices."""
    select = config["tuning"]["select"]
    if select == "all":
        return [{}]
    return [
        {layer: [names] if isinstance(names, str) else list(names) for layer, names in one.items()}
        for one in select
    ]


def _agrees(configuration: Configuration, selector: Mapping[str, list[str]]) -> bool:
    return all(getattr(configuration, layer) in names for layer, names in selector.items())


def choices(config: Config, **choices: str) -> list[dict[str, str]]:
    """Return `configurations` as plain dictionaries."""
    return [dict(vars(one)) for one in configurations(config, **choices)]


def tuned_choices(config: Config, **others: str) -> list[dict[str, str]]:
    """Return the `configurations` whose tuning searches, as plain dictionaries."""
    return [one for one in choices(config, **others) if searches(one["tuning"])]


def tunings_shown(config: Config, **_: str) -> list[dict[str, str]]:
    """Return `tuned_choices` without those for simulated platforms."""
    return [
        one
        for one in tuned_choices(config)
        if not config["platforms"][one["platform"]].get("simulated")
    ]


def pairs(config: Config) -> list[tuple[str, str]]:
    """Return every (dataset, model) that takes part."""
    study = config["study"]
    return sorted(
        (dataset, model) for dataset in study["datasets"] for model in study["models"][dataset]
    )


def networks(config: Config) -> list[dict[str, str]]:
    """Return every dataset, model and compression that takes part: each is a network of its own."""
    return [
        {"dataset": dataset, "model": model, "compression": compression}
        for dataset, model in pairs(config)
        for compression in sorted(config["study"]["compression"])
    ]


def timings(config: Config) -> list[tuple[str, str, str]]:
    """Return every (platform, dataset, model) that is timed: a platform may name a subset of the models."""
    return sorted(
        (platform, dataset, model)
        for platform in config["study"]["platforms"]
        for dataset, model in pairs(config)
        if model in config["platforms"][platform].get("models", [model])
    )


def platforms(config: Config) -> list[str]:
    """Return the platforms that take part, in a canonical order."""
    return sorted(config["study"]["platforms"])


def platform(config: Config, platform: str, **_: str) -> dict[str, Any]:
    """Return what a platform is and how it is reached: neither how it is timed nor of how many boards there are."""
    settings = config["platforms"][platform]
    apart = ("timing", "models", "boards")
    return {key: value for key, value in settings.items() if key not in apart}


def compiled_for(config: Config, platform: str, **_: str) -> dict[str, Any]:
    """Return what the target of a platform depends on."""
    settings = config["platforms"][platform]
    names = ("target", "threads", "host")
    return {key: settings[key] for key in names if key in settings}


def primitive_modules(config: Config, **wildcards: str) -> list[str]:
    """Return the modules of the primitives and formats that the libraries of a network are made with."""
    found = configurations(config, **wildcards)
    names = {registry.module_name("primitive", one.primitive) for one in found}
    return sorted(names | {registry.module_name("format", one.format) for one in found})


def linker(config: Config, platform: str, **_: str) -> list[str]:
    """Return the command that links for a platform, in words; none for the default one."""
    return list(config["platforms"][platform].get("linker", []))


def library_name(configuration: Mapping[str, str]) -> str:
    """Return the name of a configuration's library within its network and platform: "gemm-dense/untuned"."""
    return "{primitive}-{format}/{tuning}".format_map(configuration)


def tunings(config: Config, **wildcards: str) -> dict[str, str]:
    """Return the file of what tuning found, by the name of each library of a tuning that searches."""
    return {library_name(one): path("tuning", **one) for one in tuned_choices(config, **wildcards)}


def timed_networks(config: Config, **wildcards: str) -> dict[str, dict[str, str]]:
    """Return the files of each network of a model that is timed on a platform, by its compression."""
    names = ("libraries", "builds", "check", "reference")
    return {
        compression: {name: path(name, **wildcards, compression=compression) for name in names}
        for compression in sorted(config["study"]["compression"])
    }


def exported(config: Config, **wildcards: str) -> dict[str, str]:
    """Return the file that each peer of a platform loads."""
    return {
        peer: path("exported", **wildcards, extension=registry.describe("runtime", peer).loads)
        for peer in peers(config, **wildcards)
    }


def row_files(config: Config, **_: str) -> list[dict[str, str]]:
    """Return each configuration with the files that its row is made of."""
    names = row_file_names(config)
    return [one | {f"{name}_file": path(name, **one) for name in names} for one in choices(config)]


def traced_rows(config: Config, **_: str) -> list[dict[str, Any]]:
    """Return each configuration with the files that its row stems from.

    Those under "made" are its own, and are traced to their beginnings. Those under "shared" are of jobs that take many
    rows at once, whose inputs belong to other rows too.
    """
    shared = ("target", "platform", "builds", "check", "timing")
    return [
        one
        | {
            "made": [path(name, **one) for name in ("summary", "network")]
            + ([path("tuning", **one)] if searches(one["tuning"]) else []),
            "shared": [path(name, **one) for name in shared],
        }
        for one in choices(config)
    ]


def row_file_names(config: Config, **_: str) -> list[str]:
    """Return the names of the files in `row_files`."""
    return ["summary", "target", "platform", "builds", "check", "timing", "statuses"]


def connection(config: Config, platform: str, **_: str) -> str:
    """Return the module of the kind of connection that a platform is reached over; that of all of them without one."""
    kinds = [
        kind
        for kind in registry.names("connection")
        if kind in config["platforms"][platform].get("connection", {})
    ]
    return ".".join(["dlas.hardware.connections", *kinds])


def runtimes(config: Config, platform: str, **_: str) -> list[str]:
    """Return the modules of the peer runtimes that are timed on a platform."""
    return [registry.module_name("runtime", name) for name in peers(config, platform)]


def boards(config: Config) -> dict[str, str]:
    """Return for each platform that is reached over a connection the name of its boards.

    Those of one connection are the same boards, named after the first of them: a CPU and a GPU may share one.
    """
    first: dict[str, str] = {}
    found = {}
    for name, settings in sorted(config["platforms"].items()):
        if "connection" in settings:
            reached = {
                key: value for key, value in settings["connection"].items() if key != "timeout_s"
            }
            found[name] = first.setdefault(str(canonical(reached)), name)
    return found


def board_counts(config: Config) -> dict[str, int]:
    """Return how many boards there are by their name, which is how many jobs may use them at a time."""
    counts: dict[str, int] = {}
    for name, board in boards(config).items():
        counts[board] = max(counts.get(board, 1), config["platforms"][name].get("boards", 1))
    return counts


def peers(config: Config, platform: str, **_: str) -> list[str]:
    """Return the runtimes that are timed beside the libraries of a platform, by name.

    They use every instruction that this machine has, so there are none where the libraries are limited to others.
    """
    unlimited = config["platforms"][platform]["target"] == "host"
    return sorted(config["study"]["peers"]) if unlimited else []


def artifacts(name: str, configurations: list[Configuration]) -> list[str]:
    """Return the path of one kind of artifact for each configuration, in their order."""
    return [path(name, **vars(one)) for one in configurations]


def dtype(compression: str) -> str:
    """Return the type that the networks of a technique compute in; raise StudyError for an unknown technique."""
    return registry.describe("compression", compression).dtype


def sparse(compression: str) -> bool:
    """Return whether a technique makes weights zero; raise StudyError for an unknown technique."""
    return registry.describe("compression", compression).sparse


def searches(tuning: str) -> bool:
    """Return whether a tuning measures candidates first; raise StudyError for an unknown tuning."""
    return registry.describe("tuning", tuning).searches


def downloads(config: Config) -> list[str]:
    """Return the data sets whose archive is downloaded: those that have mirrors and "download" as their source."""
    return sorted(
        name
        for name, settings in config["datasets"].items()
        if settings.get("source") == DOWNLOAD and "mirrors" in settings
    )


def preparation(config: Config, dataset: str, **_: str) -> dict[str, Any]:
    """Return the settings of a data set, those left out that say where its archive is found and how it is verified."""
    settings = config["datasets"][dataset]
    return {key: value for key, value in settings.items() if key not in ("mirrors", "sha256")}


def recipe(config: Config, dataset: str, model: str) -> dict[str, Any]:
    """Return the training recipe of a model: its data set's, with the model's differences, and what all share."""
    models = config["models"]
    shared = {key: models[key] for key in ("device", "processes")}
    return shared | _of_model(models["training"][dataset], model)


def gpus(config: Config) -> int:
    """Return how many of a machine's GPUs one training takes."""
    models = config["models"]
    return int(models["processes"]) if models["device"] == "cuda" else 0


def weights(config: Config, dataset: str, model: str, **_: str) -> str:
    """Return where the weights of a model come from: TRAIN, PUBLISHED, or the path of a file."""
    found: str = config["models"].get("weights", {}).get(dataset, {}).get(model, TRAIN)
    return found


def from_torchvision(config: Config, dataset: str, model: str, **_: str) -> bool:
    """Return whether the weights of a model are those that torchvision publishes."""
    return weights(config, dataset, model) == PUBLISHED


def untrained(config: Config) -> list[tuple[str, str]]:
    """Return every (dataset, model) that is not trained here, whether it takes part or not."""
    return sorted(
        (dataset, model)
        for dataset, models in config["models"].get("weights", {}).items()
        for model in models
        if weights(config, dataset, model) != TRAIN
    )


def published(config: Config, model: str, **_: str) -> str:
    """Return torchvision's name for the published weights of a model; raise StudyError where there are none."""
    found = registry.describe("model", model).weights
    if not found:
        having = [
            name for name in registry.names("model") if registry.describe("model", name).weights
        ]
        raise unknown(f"model with {PUBLISHED} weights", model, having)
    return found


def stem(config: Config, dataset: str, **_: str) -> str:
    """Return the kind of first layers that networks have for a data set."""
    return registry.describe("dataset", dataset).stem


def technique_dtype(config: Config, compression: str, **_: str) -> str:
    """Return `dtype` of a technique."""
    return dtype(compression)


def preparing_threads(dataset: str) -> int:
    """Return how many threads prepare a data set at most."""
    return registry.describe("dataset", dataset).threads


def _of_model(common: Mapping[str, Any], model: str) -> dict[str, Any]:
    shared = {key: value for key, value in common.items() if key != "models"}
    return shared | common.get("models", {}).get(model, {})


def _technique(config: Config, compression: str) -> Mapping[str, Any]:
    techniques: Mapping[str, Mapping[str, Any]] = config["compression"]["techniques"]
    return techniques.get(compression, {})


def levels(config: Config, compression: str) -> list[str]:
    """Return the levels of a technique as they stand in paths, the weakest first: "0.8", or "single" alone."""
    ladder = _technique(config, compression).get("levels", [])
    return [level_name(level) for level in ladder] or [SINGLE]


def level_name(level: float) -> str:
    """Return a level of a ladder as it stands in paths."""
    return f"{level:g}"


def previous(config: Config, compression: str, level: str, **_: str) -> str | None:
    """Return the level that a level starts from; None where that is the trained network.

    Raises a StudyError for a level that the technique does not have.
    """
    ladder = levels(config, compression)
    if level not in ladder:
        raise unknown(f"level of {compression}", level, ladder)
    return None if level == ladder[0] else ladder[ladder.index(level) - 1]


def technique(config: Config, compression: str, **_: str) -> dict[str, Any]:
    """Return the settings of a technique, its levels left out: a level does not depend on the others."""
    settings = _technique(config, compression)
    return {key: value for key, value in settings.items() if key != "levels"}


def fine_tuning(
    config: Config, compression: str, dataset: str, model: str, **_: str
) -> dict[str, Any]:
    """Return the recipe for fine-tuning a model: that of its training, with what fine-tuning does differently.

    Only the levels of a ladder are fine-tuned; for other techniques it is the recipe of the training.
    """
    common = recipe(config, dataset, model)
    if levels(config, compression) == [SINGLE]:
        return common
    return common | _of_model(config["compression"]["fine_tuning"].get(dataset, {}), model)


def tolerance(config: Config, compression: str, **_: str) -> float:
    """Return how many points of validation top-1 the chosen level may lose; without a ladder nothing is chosen."""
    ladder = levels(config, compression) != [SINGLE]
    return config["compression"]["tolerance"] if ladder else 0.0


def check(config: Config, compression: str, **_: str) -> dict[str, Any]:
    """Return how closely the libraries of a technique must agree with the framework, by its type of numbers."""
    settings, kind = config["compiler"]["check"], dtype(compression)
    return {name: settings[name][kind] for name in ("tolerance", "top1_tolerance")}


def tuning(config: Config, **_: str) -> dict[str, Any]:
    """Return how schedules are found, the selection left out: a network's do not depend on which others are tuned."""
    return {key: value for key, value in config["tuning"].items() if key != "select"}


def top1_floors(config: Config, **_: str) -> dict[str, float]:
    """Return the top-1, in percent, that is asked of a recommended configuration, for each data set that takes part."""
    floors = config["recommendation"]["top1_floor"]
    return {dataset: floors[dataset] for dataset in config["study"]["datasets"]}


def observation_module(config: Config, number: str) -> str:
    """Return the name of the module behind an observation's number."""
    return f"dlas.analysis.observations.{config['observations'][number]}"


def observation_category(config: Config, number: str) -> str:
    """Return where an observation stands in the report, one of `dlas.plugins.LAYERS`."""
    return registry.describe("observation", config["observations"][number]).layer


def observation_label(config: Config, number: str) -> str:
    """Return an observation's name in the report: its number and its claim."""
    claim = registry.describe("observation", config["observations"][number]).label
    return f"Observation {number}: {claim}"


def value(config: Config, key: str) -> Any:
    """Return the value at a dotted key."""
    for part in key.split("."):
        config = config[part]
    return config


def canonical(value: Any) -> Any:
    """Return a value in the one form that stands for all equal ones: keys sorted, 1 for 1.0."""
    if isinstance(value, Mapping):
        return {key: canonical(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
