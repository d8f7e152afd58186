"""Each wrong config gives one line that names the key and what is allowed."""

import copy
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from dlas.errors import StudyError
from dlas.validation import validate

ROOT = Path(__file__).parents[2]
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())
SCHEMA = yaml.safe_load((ROOT / "config/schema.yaml").read_text())

CIFAR10 = {
    "source": "download",
    "mirrors": ["https://host/file"],
    "sha256": "0" * 64,
    "validation_images": 30,
}
IMAGENET = {
    "source": "data",
    "classes": 1000,
    "images_per_class": {"train": 100, "validation": 10, "test": 50},
    "corrupt_images": "fail",
    "resize": 256,
    "size": 224,
}
# (dotted key, its wrong value, what the line must say)
WRONG = [
    ("seed", -1, "seed is -1; must be at least 0"),
    ("seed", "zero", "seed is 'zero'; must be a integer"),
    ("sed", 1, "unknown key sed in the top level; allowed: compiler, compression"),
    ("study.primitive", ["gemm"], "unknown key primitive in study; allowed: compression"),
    ("study.datasets", [], "study.datasets is []; must name at least 1"),
    ("study.datasets", ["digits", "digits"], "must not name anything twice"),
    ("study.datasets", ["mnist"], "study.datasets: unknown dataset 'mnist'; allowed: digits"),
    ("study.models.mnist", ["vgg16"], "study.models: unknown dataset 'mnist'; allowed: digits"),
    (
        "study.models.digits",
        ["vgg19"],
        "study.models.digits: unknown model 'vgg19'; allowed: dense",
    ),
    ("study.models.digits", ["training"], "unknown model 'training'; allowed: densenet161"),
    (
        "study.compression",
        ["zip"],
        "study.compression: unknown compression 'zip'; allowed: channel",
    ),
    ("study.compression", ["elbow"], "study.compression: unknown compression 'elbow'; allowed: "),
    ("study.compression", ["int8"], "study.compression lacks none, which every technique is"),
    (
        "study.primitives",
        ["fft"],
        "study.primitives: unknown primitive 'fft'; allowed: direct, gemm",
    ),
    ("study.formats", ["csr2"], "study.formats: unknown format 'csr2'; allowed: csr, dense"),
    ("study.tuning", ["lucky"], "study.tuning: unknown tuning 'lucky'; allowed: auto_sche"),
    (
        "study.platforms",
        ["abacus"],
        "study.platforms: unknown platform 'abacus'; allowed: hikey",
    ),
    (
        "study.peers",
        ["tvm"],
        "config: study.peers: unknown peer 'tvm'; allowed: onnxruntime, pytorch",
    ),
    (
        "platforms.hikey970_cpu.connection",
        {"server": "board"},
        "server is 'board'; allowed: host:port",
    ),
    (
        "platforms.hikey970_cpu.connection",
        {"server": "board:http"},
        "allowed: host:port, in quotes",
    ),
    ("platforms.hikey970_cpu.connection", {"server": 9090}, "allowed: host:port"),
    ("platforms.hikey970_cpu.connection", {"tracker": "a:1"}, "hikey970_cpu.connection lacks key"),
    (
        "platforms.hikey970_cpu.connection",
        {"tracker": "a:1", "key": ""},
        "key is ''; must not be empty",
    ),
    (
        "platforms.hikey970_cpu.connection",
        {"server": "a:1", "tracker": "b:2", "key": "c"},
        "platforms.hikey970_cpu.connection names server, tracker; allowed: one of server, tracker",
    ),
    (
        "platforms.hikey970_cpu.connection",
        {"serial": "a:1"},
        "connection names no kind; allowed: one of server, tracker",
    ),
    (
        "platforms.hikey970_cpu.connection",
        {"server": "a:1", "key": "c"},
        "unknown key key in platforms.hikey970_cpu.connection; allowed: server, timeout_s",
    ),
    ("platforms.hikey970_cpu.connection.timeout_s", 0, "timeout_s is 0; must be greater than 0"),
    ("platforms.hikey970_cpu.boards", 0, "platforms.hikey970_cpu.boards is 0; must be at least 1"),
    ("platforms.xavier_gpu.boards", 2, "xavier_gpu.boards is 2; allowed with a server: 1"),
    ("platforms.local_cpu.boards", 2, "platforms.local_cpu.boards is of no use without a conn"),
    ("platforms.local_cpu.emulated", True, "platforms.local_cpu.emulated is of no use without"),
    ("platforms.local_cpu.host", {"kind": "llvm"}, "local_cpu.host is of no use without a GPU"),
    ("platforms.hikey970_cpu.linker", "g++", "linker is 'g++'; must be a array"),
    ("platforms.hikey970_cpu.linker", [], "linker is []; must name at least 1"),
    ("platforms.hikey970_cpu.threads", "all", "threads is 'all'; allowed with a connection: a num"),
    ("platforms.hikey970_cpu.target", "host", "target is 'host', which is this machine; allowed"),
    ("platforms.hikey970_cpu.target", {"kind": "opencl"}, "hikey970_cpu lacks host, the target of"),
    ("platforms.hikey970_gpu.host", {"mcpu": "x"}, "hikey970_gpu.host lacks kind"),
    ("platforms.local_cuda.target", "opencl", "is 'opencl'; allowed: host, cuda, or a TVM target"),
    ("platforms.local_cuda.bords", 1, "unknown key bords in platforms.local_cuda; allowed: boards"),
    ("study.peers", ["pytorch", "pytorch"], "must not name anything twice"),
    ("study.peers", "pytorch", "study.peers is 'pytorch'; must be a array"),
    ("datasets.mnist", {}, "datasets: unknown dataset 'mnist'; allowed: cifar10"),
    (
        "datasets.digits.sizes",
        32,
        "unknown key sizes in datasets.digits; allowed: size, test_fraction",
    ),
    (
        "datasets.cifar10",
        {"source": "download", "validation_images": 30},
        "config: datasets.cifar10 lacks mirrors, sha256",
    ),
    (
        "datasets.cifar10",
        CIFAR10 | {"mirrors": ["ftp://host/file"]},
        "datasets.cifar10.mirrors.0 is 'ftp://host/file'; allowed: http(s)://...",
    ),
    ("datasets.cifar10", CIFAR10 | {"mirrors": []}, "cifar10.mirrors is []; must name at least 1"),
    (
        "datasets.cifar10",
        CIFAR10 | {"sha256": "c4a38c50"},
        "datasets.cifar10.sha256 is 'c4a38c50'; allowed: the 64 hexadecimal digits of a SHA-256",
    ),
    (
        "datasets.imagenet",
        IMAGENET | {"corrupt_images": "ignore"},
        "datasets.imagenet.corrupt_images is 'ignore'; allowed: fail, skip",
    ),
    ("datasets.imagenet", IMAGENET | {"classes": 0}, "imagenet.classes is 0; must be at least 1"),
    (
        "models.weights.digits",
        {"resnet18": "imagenet"},
        "models.weights.digits.resnet18 is 'imagenet'; allowed: train, imagenet1k, or the path of a .s",
    ),
    (
        "models.weights.mnist",
        {},
        "models.weights: unknown dataset 'mnist'; allowed: digits, photos",
    ),
    (
        "models.weights.digits",
        {"alexnet": "train"},
        "models.weights.digits: unknown model 'alexnet'",
    ),
    (
        "models.weights.photos",
        {"resnet50": "imagenet1k"},
        "models.weights.photos.resnet50 is imagenet1k, so models.width must be 1; it is 0.25",
    ),
    (
        "models.weights.digits",
        {"resnet18": "imagenet1k"},
        "is imagenet1k: unknown model with imagenet1k weights 'resnet18'; allowed: densenet161, eff",
    ),
    ("datasets.digits.size", 4, "datasets.digits.size is 4; must be at least 8"),
    ("datasets.photos.test_fraction", 1, "datasets.photos.test_fraction is 1; must be less than 1"),
    ("models.width", 0, "models.width is 0; must be greater than 0"),
    ("models.width", 5, "models.width is 5; must be at most 4"),
    ("models.width", "wide", "models.width is 'wide'; must be a number"),
    ("models.training.digits.epochs", 0, "models.training.digits.epochs is 0; must be at least 1"),
    (
        "models.training.digits.epoch",
        1,
        "unknown key epoch in models.training.digits; allowed: bat",
    ),
    ("models.training.digits.optimizer", "lion", "is 'lion'; allowed: adamw, sgd"),
    ("models.training.digits.schedule", "steps", "is 'steps'; allowed: cosine, one_cycle"),
    (
        "models.training.photos.batch_size",
        1,
        "of densenet161 in models.training.photos is 1; allowed with",
    ),
    ("compression.fine_tuning.photos.batch_size", 1, "in compression.fine_tuning.photos is 1"),
    (
        "models.processes",
        5,
        "in models.training.digits is 32; allowed with models.processes 5: a m",
    ),
    ("models.device", "gpu", "models.device is 'gpu'; allowed: cpu, cuda"),
    ("models.training.digits.models.vgg19", {}, "unknown model 'vgg19'; allowed: densenet161"),
    ("models.training.digits.models.vgg16", {"depth": 1}, "unknown key depth in models.training"),
    ("models.training.digits.models.vgg16", {"epochs": 0}, "vgg16.epochs is 0; must be at least 1"),
    ("models.training.digits.bfloat16", "yes", "bfloat16 is 'yes'; must be a boolean"),
    ("compression.tolerance", -1, "compression.tolerance is -1; must be at least 0"),
    ("compression.fine_tuning.mnist", {}, "compression.fine_tuning: unknown dataset 'mnist'"),
    ("compression.fine_tuning.digits.epochs", 0, "fine_tuning.digits.epochs is 0; must be at leas"),
    ("compression.fine_tuning.digits.epoch", 1, "unknown key epoch in compression.fine_tuning.dig"),
    (
        "compression.fine_tuning.digits.models",
        {"vgg19": {}},
        "compression.fine_tuning.digits.models: unknown model 'vgg19'; allowed: densenet161",
    ),
    ("compression.techniques.zip", {}, "compression.techniques: unknown compression 'zip'; allow"),
    (
        "compression.techniques.weight_pruning.levels",
        [0.5, 1],
        "compression.techniques.weight_pruning.levels.1 is 1; must be less than 1",
    ),
    ("compression.techniques.channel_pruning.levels", [0], "levels.0 is 0; must be greater than 0"),
    ("compression.techniques.weight_pruning.levels", [], "levels is []; must name at least 1"),
    (
        "compression.techniques.weight_pruning.levels",
        [0.8, 0.5],
        "config: compression.techniques.weight_pruning.levels is [0.8, 0.5]; must ascend",
    ),
    ("compression.techniques.weight_pruning.levels", [0.5, 0.5], "must not name anything twice"),
    ("compression.techniques.weight_pruning.levels", [0.5, 0.50000001], "steps that six digits"),
    ("compression.techniques.float16.levels", [0.5], "unknown key levels in compression.techniqu"),
    ("compression.techniques.channel_pruning.scope", "local", "is 'local'; allowed: global, unif"),
    ("compression.techniques.channel_pruning.channel_multiple", 0, "is 0; must be at least 1"),
    ("compression.techniques.int8.calibration_images", 0, "calibration_images is 0; must be at l"),
    ("compression.techniques.int8.observer", "mean", "is 'mean'; allowed: histogram, minmax"),
    (
        "compression.techniques.weight_pruning",
        {"levels": [0.5]},
        "compression.techniques.weight_pruning lacks score, spared",
    ),
    (
        "compression.techniques.new",  # brings its own keys, but its levels are checked
        {"group": 4, "levels": [0.5, 2]},
        "compression.techniques.new.levels.1 is 2; must be less than 1",
    ),
    ("compiler.check.tolerance.float32", 0, "tolerance.float32 is 0; must be greater than 0"),
    ("compiler.check.tolerance", 1.0e-4, "compiler.check.tolerance is 0.0001; must be a object"),
    ("compiler.check.top1_tolerance.int4", 1, "unknown key int4 in compiler.check.top1_tolerance"),
    ("tuning.trial", 1, "unknown key trial in tuning; allowed: batch, confirmation, measurement"),
    ("tuning.strategy", "lucky", "tuning.strategy is 'lucky'; allowed: evolutionary, replay-trace"),
    ("tuning.trials.layer", 0, "tuning.trials.layer is 0; must be at least 1"),
    ("tuning.trials.network", -1, "tuning.trials.network is -1; must be at least 1"),
    ("tuning.trials", 16, "tuning.trials is 16; must be a object"),
    ("tuning.trials", {"layer": 16}, "tuning.trials lacks network"),
    ("tuning.batch", 2.5, "tuning.batch is 2.5; must be a integer"),
    ("tuning.measurement.min_repeat_ms", 0, "min_repeat_ms is 0; must be greater than 0"),
    (
        "tuning.measurement.timeout_s",
        "long",
        "tuning.measurement.timeout_s is 'long'; must be a nu",
    ),
    ("tuning.measurement.warmup", 1, "unknown key warmup in tuning.measurement; allowed: min_repe"),
    ("tuning.confirmation.finalists", 0, "tuning.confirmation.finalists is 0; must be at least 1"),
    (
        "tuning.select",
        "none",
        "tuning.select is 'none'; allowed: all, or a list of choices of layers",
    ),
    ("tuning.select", {"model": "vgg16"}, "; allowed: all, or a list of choices of layers"),
    ("tuning.select", [], "tuning.select is []; must name at least 1"),
    ("tuning.select", ["all"], "tuning.select.0 is 'all'; must be a object"),
    ("tuning.select", [{}], "tuning.select.0 is {}; must name at least 1"),
    ("tuning.select", [{"level": 1}], "unknown key level in tuning.select.0; allowed: compression"),
    (
        "tuning.select",
        [{"model": 18}],
        "tuning.select.0.model is 18; allowed: a name, or a list of",
    ),
    (
        "tuning.select",
        [{"model": []}],
        "tuning.select.0.model is []; allowed: a name, or a list of",
    ),
    (
        "tuning.select",
        [{"model": "vgg16"}, {"primitive": ["gemm", "fft"]}],
        "config: tuning.select.1.primitive: unknown primitive 'fft'; allowed: direct, gemm, spatial",
    ),
    *(
        (
            "tuning.select",
            [{layer: "mnist"}],
            f"tuning.select.0.{layer}: unknown {layer} 'mnist'; all",
        )
        for layer in ("dataset", "model", "compression", "primitive", "format", "platform")
    ),
    (
        "tuning.select",
        [{"dataset": "digits"}, {"compression": "none", "format": "csr"}],
        "config: tuning.select.1 is {'compression': 'none', 'format': 'csr'}, which selects no",
    ),
    ("platforms.local_cpu.threads", 0, "threads is 0; allowed: all, or a number of at least 1"),
    ("platforms.local_cpu.target", "host2", "target is 'host2'; allowed: host, cuda, or a TVM"),
    ("platforms.local_cpu.timing.rounds", 1, "timing.rounds is 1; must be at least 2"),
    ("platforms.local_cpu.models", ["vgg19"], "platforms.local_cpu.models: unknown model 'vgg19'"),
    ("platforms.board", {"target": "host"}, "platforms.board lacks threads, timing"),
    ("recommendation.top1_floor.digits", 101, "top1_floor.digits is 101; must be at most 100"),
    ("recommendation.top1_floor.digits", -1, "top1_floor.digits is -1; must be at least 0"),
    ("recommendation.top1_floor.digits", "high", "top1_floor.digits is 'high'; must be a number"),
    ("recommendation.top1_floor.mnist", 9, "recommendation.top1_floor: unknown dataset 'mnist'"),
    (
        "recommendation.top1_floor",
        {"digits": 98},
        "an accuracy floor (recommendation.top1_floor): unknown dataset 'photos'; allowed: digits",
    ),
    ("recommendation.top5_floor", {}, "unknown key top5_floor in recommendation; allowed: top1_"),
    ("recommendation", {}, "recommendation lacks top1_floor"),
    (
        "observations.4",
        "fastest_primitive",
        "unknown key '4' in observations; allowed: numbers of two",
    ),
    ("observations.04", "slowest", "observations.04: unknown observation 'slowest'; allowed: "),
]


def changed(key: str, value: object) -> dict:
    config = copy.deepcopy(CONFIG)
    place = config
    *parents, last = key.split(".")
    for parent in parents:
        place = place.setdefault(parent, {})
    place[last] = value
    return config


@pytest.mark.parametrize(("key", "value", "line"), WRONG)
def test_a_wrong_config_is_told_in_one_line(key, value, line):
    with pytest.raises(StudyError) as error:
        validate(changed(key, value), SCHEMA)
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_a_dataset_needs_a_choice_of_models_and_a_recipe():
    for section in ("study.models", "models.training"):
        config = copy.deepcopy(CONFIG)
        place = config
        for part in section.split("."):
            place = place[part]
        del place["photos"]
        with pytest.raises(StudyError, match=rf"\({section}\): unknown dataset 'photos'"):
            validate(config, SCHEMA)


def test_a_platform_without_any_of_the_models_is_told():
    config = changed("platforms.local_cpu_avx2.models", ["vgg16"])
    config["study"]["models"]["digits"] = ["resnet18"]
    with pytest.raises(StudyError, match=r"local_cpu_avx2.models names no model that takes part"):
        validate(config, SCHEMA)


def test_a_selection_is_not_needed_where_nothing_is_auto_scheduled():
    config = changed("study.tuning", ["untuned"])
    config["tuning"]["select"] = [{"compression": "none", "format": "csr"}]
    validate(config, SCHEMA)


def test_a_data_set_may_be_downloaded_or_on_disk():
    validate(changed("datasets.cifar10", CIFAR10), SCHEMA)
    validate(changed("datasets.cifar10", {"source": "data", "validation_images": 30}), SCHEMA)
    validate(changed("datasets.imagenet", IMAGENET), SCHEMA)


def test_published_weights_are_of_networks_for_large_images():
    config = changed("models.weights.digits", {"mobilenet_v2": "imagenet1k"})
    config["models"]["width"] = 1.0
    with pytest.raises(StudyError, match="is of networks for large images; allowed with digits"):
        validate(config, SCHEMA)
    del config["models"]["weights"]["digits"]
    config["models"]["weights"]["photos"] = {"resnet50": "imagenet1k", "mobilenet_v2": "a.pth"}
    validate(config, SCHEMA)


def test_a_study_may_have_no_peers():
    validate(changed("study.peers", []), SCHEMA)


@pytest.mark.parametrize("overlay", [None, "smoke", "gpu", "paper"])
def test_the_configs_that_come_with_the_study_are_right(overlay):
    config = copy.deepcopy(CONFIG)
    if overlay:
        update_config(config, yaml.safe_load((ROOT / f"config/{overlay}.yaml").read_text()))
    validate(config, SCHEMA)


def test_a_new_method_needs_no_entry_in_the_schema():
    """The schema knows the keys of some datasets, but names no method, so that a file is enough."""
    assert "enum" not in str(SCHEMA["properties"]["study"])
    assert SCHEMA["properties"]["datasets"]["additionalProperties"] == {"type": "object"}
    techniques = SCHEMA["properties"]["compression"]["properties"]["techniques"]
    assert set(techniques["additionalProperties"]) == {"type", "properties"}
