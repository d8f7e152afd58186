"""A wrong config gives one line that names the key, its value and what is allowed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dlas import config, registry, study
from dlas.config import documentation
from dlas.config.messages import MOVED
from dlas.errors import StudyError

ROOT = Path(__file__).parents[2]
PLATFORM = {
    "target": "host",
    "threads": 1,
    "timing": {"warmup": 0, "rounds": 2, "min_repeat_ms": 1},
}
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
BOARD = "platforms.hikey970_cpu"
TECHNIQUES = "compression.techniques"

# (dotted key, its wrong value, the line without "config: ")
WRONG = [
    # Keys
    ("sed", 1, "unknown key sed in the top level; allowed: bundle, compiler, compression, "),
    ("study.primitive", ["gemm"], "unknown key primitive in study; allowed: compression, datasets"),
    (
        "datasets.mnist",
        {},
        "unknown key mnist in datasets; allowed: cifar10, digits, digits_8x8, i",
    ),
    ("datasets.digits.sizes", 32, "unknown key sizes in datasets.digits; allowed: size, test_frac"),
    (f"{TECHNIQUES}.zip", {}, f"unknown key zip in {TECHNIQUES}; allowed: block_sparsity, chann"),
    (
        f"{TECHNIQUES}.float16.levels",
        [0.5],
        f"unknown key levels in {TECHNIQUES}.float16; allowed: ",
    ),
    (
        f"{TECHNIQUES}.weight_pruning",
        {"levels": [0.5]},
        f"{TECHNIQUES}.weight_pruning lacks exclude, score",
    ),
    ("models.training.digits.models.vgg16", {"depth": 1}, "unknown key depth in models.training.d"),
    ("compression.fine_tuning.digits.epoch", 1, "unknown key epoch in compression.fine_tuning.dig"),
    ("tuning.trials.autotuned", {"layer": 16}, "tuning.trials.autotuned lacks network"),
    (
        "tuning.trials.auto_scheduled",
        {"layer": 0, "network": 1},
        "auto_scheduled.layer is 0; must be at l",
    ),
    (
        "tuning.trials",
        {"layer": 16},
        "tuning.trials.layer has another name now: tuning.trials.autotuned",
    ),
    (
        "tuning.trials",
        {"lucky": {"layer": 1}},
        "tuning.trials has the key 'lucky'; allowed: unscheduled",
    ),
    (
        "tuning.trials",
        {"autotuned": {"layer": 1, "network": 1}},
        "tuning.trials lacks auto_scheduled, ",
    ),
    ("tuning.select", [{"level": 1}], "unknown key level in tuning.select.0; allowed: compression"),
    ("platforms.board", {"target": "host"}, "platforms.board lacks threads, timing"),
    ("recommendation", {}, "recommendation lacks top1_floor"),
    (
        f"{TECHNIQUES}.weight_pruning.spared",
        ["stem"],
        f"{TECHNIQUES}.weight_pruning.spared has another name now: "
        f"{TECHNIQUES}.weight_pruning.exclude",
    ),
    (
        "datasets.photos.minimum_deviation",
        4.0,
        "datasets.photos.minimum_deviation has another name now: datasets.photos.minimum_std",
    ),
    ("platforms.local_cpu.emulated", True, "platforms.local_cpu.emulated has another name now: pl"),
    # Types
    ("seed", "zero", "seed is 'zero'; must be an integer"),
    ("seed", True, "seed is True; must be an integer"),
    ("tuning.batch", 2.5, "tuning.batch is 2.5; must be an integer"),
    ("models.width", "wide", "models.width is 'wide'; must be a number"),
    ("models.width", True, "models.width is True; must be a number"),
    ("models.width", "1e-3", "models.width is '1e-3'; must be a number; YAML reads it as text: wr"),
    ("models.width", float("nan"), "models.width is nan; must be a finite number"),
    ("models.training.digits.learning_rate", float("inf"), "learning_rate is inf; must be a finit"),
    ("models.training.digits.bfloat16", "yes", "bfloat16 is 'yes'; must be true or false"),
    ("study.strict", 1, "study.strict is 1; must be true or false"),
    ("study.peers", "pytorch", "study.peers is 'pytorch'; must be a list"),
    ("compiler.check.tolerance", 1.0e-4, "tolerance is 0.0001; must be a section with keys"),
    ("models.weights", [], "models.weights is []; must be a section with keys"),
    ("models.device", False, "models.device is False; allowed: cpu, cuda; YAML reads it as yes or"),
    ("datasets.cifar10", CIFAR10 | {"sha256": 12}, "sha256 is 12; must be text; YAML reads it as "),
    ("platforms.hikey970_cpu.connection.key", 14, "key is 14; must be text; YAML reads it as a nu"),
    ("observations", {4: "joint_choice"}, "observations has the key 4, which YAML reads as a numb"),
    ("observations", {1.5: "joint_choice"}, "observations has the key 1.5, which YAML reads as a "),
    ("observations", {False: "joint_choice"}, "observations has the key False, which YAML reads a"),
    ("observations", {None: "joint_choice"}, "observations has the key None, which YAML reads as "),
    ("observations", yaml.safe_load("2026-01-01: joint_choice"), "the key 2026-01-01, which YAML "),
    ("observations.08", yaml.safe_load("2026-01-01"), "observations.08 is 2026-01-01, which YAML "),
    ("datasets.cifar10", None, "datasets.cifar10 is null: YAML reads an empty value"),
    ("study.datasets", [None], "study.datasets.0 is null"),
    # Bounds
    ("seed", -1, "seed is -1; must be at least 0"),
    ("seed", 2**32, "seed is 4294967296; must be at most 4294967295"),
    ("models.width", 0, "models.width is 0; must be greater than 0"),
    ("models.width", 5, "models.width is 5; must be at most 4"),
    ("datasets.digits.size", 27, "datasets.digits.size is 27; must be at least 28"),
    ("datasets.digits_8x8.size", 4, "datasets.digits_8x8.size is 4; must be at least 8"),
    ("datasets.photos.test_fraction", 1, "datasets.photos.test_fraction is 1; must be less than 1"),
    ("datasets.imagenet", IMAGENET | {"classes": 0}, "imagenet.classes is 0; must be at least 1"),
    ("datasets.imagenet", IMAGENET | {"corrupt_images": "no"}, "corrupt_images is 'no'; allowed: "),
    ("compression.give_up", 100.5, "compression.give_up is 100.5; must be at most 100"),
    ("compression.tolerance", -1, "compression.tolerance is -1; must be at least 0"),
    ("models.training.digits.models.vgg16", {"epochs": 0}, "vgg16.epochs is 0; must be at least 1"),
    ("compression.fine_tuning.digits.epochs", 0, "fine_tuning.digits.epochs is 0; must be at leas"),
    (f"{TECHNIQUES}.weight_pruning.levels", [0.5, 1], "weight_pruning.levels.1 is 1; must be less"),
    (f"{TECHNIQUES}.weight_pruning.levels", [], "levels is []; must name at least 1"),
    (f"{TECHNIQUES}.weight_pruning.levels", [0.8, 0.5], "levels is [0.8, 0.5]; must ascend, in st"),
    (f"{TECHNIQUES}.weight_pruning.levels", [0.5, 0.50000001], "must ascend, in steps that six di"),
    (f"{TECHNIQUES}.channel_pruning.scope", "local", "scope is 'local'; allowed: uniform, global"),
    ("tuning.strategy", "lucky", "tuning.strategy is 'lucky'; allowed: evolutionary, replay-trace"),
    ("platforms.local_cpu.timing.rounds", 1, "timing.rounds is 1; must be at least 2"),
    ("recommendation.top1_floor.digits", 101, "top1_floor.digits is 101; must be at most 100"),
    ("study.datasets", [], "study.datasets is []; must name at least 1"),
    ("study.peers", ["pytorch", "pytorch"], "must not name anything twice"),
    # Names
    ("study.datasets", ["mnist"], "study.datasets.0 is 'mnist'; allowed: digits, photos, cifar10,"),
    ("study.datasets", ["cifar10"], "datasets lacks cifar10, which study.datasets names"),
    ("study.models", {"digits": ["resnet18"]}, "study.models lacks photos, which study.datasets n"),
    ("study.models.mnist", ["vgg16"], "study.models has the key 'mnist'; allowed: digits, photos"),
    ("study.models.digits", ["training"], "study.models.digits.0 is 'training'; allowed: resnet18"),
    ("study.compression", ["elbow"], "study.compression.0 is 'elbow'; allowed: none, weight_pruni"),
    ("study.compression", ["int8"], "study.compression lacks none, which every technique is compa"),
    ("study.primitives", ["fft"], "study.primitives.0 is 'fft'; allowed: direct, gemm, spatial_pa"),
    ("study.formats", ["csr2"], "study.formats.0 is 'csr2'; allowed: dense, csr, bsr"),
    ("study.tuning", ["lucky"], "study.tuning.0 is 'lucky'; allowed: unscheduled, untuned, autotu"),
    ("study.platforms", ["abacus"], "study.platforms is 'abacus'; allowed: hikey970_cpu, hikey"),
    (
        "study.peers",
        ["tvm"],
        "study.peers.0 is 'tvm'; allowed: pytorch, onnxruntime, openvino, ncnn, mnn",
    ),
    ("platforms.laptop-cpu", PLATFORM, "platforms has the key 'laptop-cpu'; allowed: names of low"),
    ("platforms.Jetson", PLATFORM, "platforms has the key 'Jetson'; allowed: names of lower-case"),
    ("platforms.my board", PLATFORM, "platforms has the key 'my board'; allowed: names of lower-c"),
    ("platforms.local_cpu.models", ["vgg19"], "local_cpu.models.0 is 'vgg19'; allowed: resnet18, "),
    ("models.training.digits.models.vgg19", {}, "digits.models has the key 'vgg19'; allowed: resn"),
    ("models.weights.digits", {"resnet18": "imagenet"}, "resnet18 is 'imagenet'; allowed: train, "),
    ("observations.4", "joint_choice", "observations has the key '4'; allowed: numbers of two dig"),
    ("observations.04", "slowest", "observations.04 is 'slowest'; allowed: size_accuracy_latency,"),
    # Connections and targets
    (f"{BOARD}.connection", {"server": "board"}, "connection.server is 'board'; allowed: host:por"),
    (f"{BOARD}.connection", {"server": 9090}, "connection.server is 9090; must be text"),
    (f"{BOARD}.connection", {"tracker": "a:1"}, "hikey970_cpu.connection lacks key"),
    (f"{BOARD}.connection", {"tracker": "a:1", "key": ""}, "connection.key is ''; must not be emp"),
    (f"{BOARD}.connection", {"server": "a:1", "tracker": "b:2"}, "connection: must have exactly o"),
    (f"{BOARD}.connection", {"serial": "a:1"}, "connection: must have exactly one of the keys ser"),
    (f"{BOARD}.connection", {"server": "a:1", "key": "c"}, "unknown key key in platforms.hikey970"),
    (f"{BOARD}.connection.timeout_s", 0, "connection.timeout_s is 0; must be greater than 0"),
    ("platforms.xavier_gpu.boards", 2, "platforms.xavier_gpu: boards is 2; allowed with a server:"),
    ("platforms.local_cpu.boards", 2, "platforms.local_cpu: boards is of no use without a connect"),
    ("platforms.local_cpu.simulated", True, "local_cpu: simulated is of no use without a connecti"),
    ("platforms.local_cpu.host", {"kind": "llvm"}, "local_cpu: host is of no use without a GPU"),
    (f"{BOARD}.linker", "g++", "linker is 'g++'; must be a list"),
    (f"{BOARD}.threads", "all", "threads is 'all'; allowed with a connection: a number"),
    (f"{BOARD}.target", "host", "target is 'host', which is this machine; allowed with a connecti"),
    (f"{BOARD}.target", {"kind": "opencl"}, "hikey970_cpu: host is missing: the target of the CPU"),
    ("platforms.hikey970_gpu.host", {"mcpu": "x"}, "hikey970_gpu.host lacks kind"),
    ("platforms.local_cuda.target", "opencl", "target is 'opencl'; allowed: host, cuda, or a TVM "),
    ("platforms.local_cpu.threads", 0, "platforms.local_cpu.threads is 0; must be at least 1"),
    ("platforms.local_cpu.threads", "some", "threads is 'some'; allowed: all, or a number of at l"),
    # Selections
    ("tuning.select", "none", "tuning.select is 'none'; allowed: all, or a list of choices of lay"),
    ("tuning.select", {"model": "vgg16"}, "tuning.select: allowed: all, or a list of choices of l"),
    ("tuning.select", ["all"], "tuning.select.0 is 'all'; must be a section with keys"),
    ("tuning.select", [{}], "tuning.select.0: must name at least 1 layer"),
    ("tuning.select", [{"model": 18}], "tuning.select.0.model is 18; allowed: a name, or a list o"),
    ("tuning.select", [{"model": []}], "tuning.select.0.model is []; must name at least 1"),
    (
        "tuning.select",
        [{"model": "vgg16"}, {"primitive": ["gemm", "fft"]}],
        "tuning.select.1.primitive.1 is 'fft'; allowed: direct",
    ),
    (
        "tuning.select",
        [{"dataset": "digits"}, {"compression": "none", "format": "csr"}],
        "tuning.select.1 selects no configuration; allowed: choices that",
    ),
    (
        "tuning.select",
        [{"tuning": "lucky"}],
        "tuning.select.0.tuning is 'lucky'; allowed: unschedul",
    ),
    (
        "tuning.select",
        [{"tuning": "unscheduled", "dataset": "digits", "model": "resnet50"}],
        "tuning.select.0 selects no configuration",
    ),
    ("tuning.select", [{"platform": "abacus"}], "tuning.select.0 selects no configuration"),
    (
        "platforms.copy",
        {"bundle": "bundles/x", "threads": 1},
        "unknown key threads in platforms.copy; allowed: bundle, bundle_code, label, models",
    ),
    ("platforms.copy", {"bundle": []}, "platforms.copy.bundle is []; must name at least 1"),
    ("platforms.copy", {"bundle": 1}, "platforms.copy.bundle is 1; allowed: a name, or a list of"),
    (
        "platforms.copy",
        {"bundle": "bundles/x", "bundle_code": "mine"},
        "platforms.copy.bundle_code is 'mine'; allowed: any, same",
    ),
    ("bundle.platform", 1, "bundle.platform is 1; must be text"),
    ("bundle", {"platforms": "a"}, "unknown key platforms in bundle; allowed: platform"),
    # Settings that exclude each other
    (
        "datasets.cifar10",
        {"source": "download", "validation_images": 30},
        "datasets.cifar10 lacks mirrors, sha256",
    ),
    (
        "datasets.cifar10",
        CIFAR10 | {"mirrors": ["ftp://host/file"]},
        "mirrors.0 is 'ftp://host/file'; allowed: http(s)://...",
    ),
    ("datasets.imagenet", IMAGENET | {"source": "download"}, "datasets.imagenet: it has no archiv"),
    ("models.weights.photos", {"resnet50": "imagenet1k"}, "photos.resnet50 is imagenet1k, so mode"),
    ("models.weights.digits", {"resnet18": "imagenet1k"}, "imagenet1k: unknown model with imagene"),
    ("models.training.photos.batch_size", 1, "batch_size of densenet161 in models.training.photos"),
    (
        "compression.pipelines",
        {"both": ["weight_pruning", "zip"]},
        "compression.pipelines.both.1 is 'zip'; allowed: none, weight_pruning, ",
    ),
    ("compression.pipelines", {"both": []}, "compression.pipelines.both is []; must name at lea"),
    ("compression.pipelines.both", [1], "pipelines.both.0 is 1; allowed: a technique, or one"),
    ("compression.pipelines.Both", ["int8"], "compression.pipelines has the key 'Both'; allowed"),
    (
        "compression.pipelines.both",
        ["weight_pruning", {"int8": {"epoch": 1}}],
        "unknown key epoch in compression.pipelines.both.1.int8; allowed: calibration_images, ",
    ),
    (
        "compression.pipelines.both",
        ["weight_pruning", {"int8": {"epochs": -1}}],
        "compression.pipelines.both.1.int8.epochs is -1; must be at least 0",
    ),
    (
        "compression.pipelines.both",
        ["weight_pruning", {"int8": {}, "float16": {}}],
        "compression.pipelines.both.1: must have one key",
    ),
    (
        "compression.pipelines.both",
        ["int8", "weight_pruning"],
        "compression.pipelines.both.1 is 'weight_pruning', which cannot follow int8: its networks "
        "compute in int8; allowed after it: no further step",
    ),
    (
        "compression.pipelines.both",
        ["float16", "int8"],
        "both.1 is 'int8', which cannot follow float16",
    ),
    (
        "compression.pipelines.both",
        ["weight_pruning", "channel_pruning"],
        "which cannot follow weight_pruning: it does not keep zeros; allowed: channel_pruning bef",
    ),
    ("compression.pipelines.both", ["none", "int8"], "both.0 is 'none'; allowed: techniques that"),
    (
        "compression.pipelines.both",
        ["weight_pruning", "weight_pruning"],
        "both.1 is 'weight_pruning' a second time; allowed: each technique once",
    ),
    ("compression.pipelines.int8", ["float16"], "int8 has the name of a technique; allowed: ano"),
    (
        "compression.pipelines.both",
        [{"weight_pruning": {"score": "magnitude"}}, "int8"],
        "compression.pipelines.both: only the last step may have settings of its own; allowed: ",
    ),
    (
        "compression.pipelines",
        {"three": ["channel_pruning", "weight_pruning", "int8"]},
        "three: its steps before the last, channel_pruning, weight_pruning, must be a pipeline too",
    ),
    ("compression.fine_tuning.photos.batch_size", 1, "in compression.fine_tuning.photos is 1"),
    ("models.processes", 5, "in models.training.digits is 32; allowed with models.processes 5: a "),
    ("datasets.digits.size", 28, "the images of digits have 28 pixels on each side; vgg16, which "),
    ("datasets.photos.size", 24, "the images of photos have 24 pixels on each side; densenet161, "),
    ("models.training.photos.pad_crop", 64, "pad_crop of densenet161 in models.training.photos is"),
    ("compression.fine_tuning.digits.pad_crop", 40, "in compression.fine_tuning.digits is 40; mus"),
    (
        "datasets.digits.validation_fraction",
        0.0015,
        "datasets.digits.validation_fraction is 0.0015",
    ),
    ("datasets.digits.test_fraction", 0.0001, "digits.test_fraction is 0.0001, 0 of 5000 images"),
    (
        "datasets.digits.test_fraction",
        0.7299,
        "datasets.digits: validation_fraction and test_fract",
    ),
    ("datasets.photos.test_fraction", 0.85, "datasets.photos: the sum of validation_fraction and "),
]


def replaced(key: str, value: object) -> dict:
    """Return the merged config with another value at a dotted key."""
    found = config.read()
    place = found
    *parents, last = key.split(".")
    for parent in parents:
        place = place.setdefault(parent, {})
    place[last] = value
    return found


def check(merged: dict) -> None:
    study.check_combinations(config.typed(merged))


@pytest.mark.parametrize(("key", "value", "line"), WRONG, ids=lambda part: str(part)[:50])
def test_a_wrong_config_gives_one_line(key, value, line):
    with pytest.raises(StudyError) as error:
        check(replaced(key, value))
    assert line in str(error.value)
    assert str(error.value).startswith("config: ") and "\n" not in str(error.value)


def test_levels_of_groups_are_whole_numbers_of_weights():
    merged = replaced(f"{TECHNIQUES}.n_m_sparsity.levels", [0.3, 0.5])
    # It does not take part.
    check(merged)
    merged["study"]["compression"].append("n_m_sparsity")
    with pytest.raises(StudyError, match=r"n_m_sparsity.levels has 0.3; must be a multiple of 1/4"):
        check(merged)


def test_what_takes_part_needs_its_sections():
    for section, key in (("models", "training"), ("recommendation", "top1_floor")):
        merged = config.read()
        del merged[section][key]["photos"]
        with pytest.raises(StudyError, match=f"{section}.{key} lacks photos, which study.datasets"):
            check(merged)
    merged = config.read()
    del merged["compression"]["techniques"]["int8"]
    with pytest.raises(StudyError, match=r"techniques lacks int8, which study.compression names"):
        check(merged)


def test_a_platform_must_have_one_of_the_models():
    merged = replaced("platforms.local_cpu_avx2.models", ["vgg16"])
    merged["study"]["models"]["digits"] = ["resnet18"]
    with pytest.raises(StudyError, match=r"local_cpu_avx2.models names no model that takes part"):
        check(merged)


def test_a_selection_is_not_needed_where_no_tuning_searches():
    merged = replaced("study.tuning", ["untuned"])
    merged["tuning"]["select"] = [{"compression": "none", "format": "csr"}]
    check(merged)


def test_published_weights_are_of_networks_for_large_images():
    merged = replaced("models.weights.digits", {"mobilenet_v2": "imagenet1k"})
    merged["models"]["width"] = 1.0
    with pytest.raises(StudyError, match="is of networks for large images; allowed with digits"):
        check(merged)
    weights = {"photos": {"resnet50": "imagenet1k", "mobilenet_v2": "a.pth"}}
    merged["models"]["weights"] = weights
    check(merged)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("study.peers", []),
        ("study.strict", True),
        ("datasets.cifar10", CIFAR10),
        ("datasets.cifar10", {"source": "data", "validation_images": 30}),
        ("datasets.imagenet", IMAGENET),
        ("seed", 2**32 - 1),
        ("datasets.photos.size", 512),
        (f"{BOARD}.simulated", True),
    ],
)
def test_a_right_value_is_accepted(key, value):
    check(replaced(key, value))


@pytest.mark.parametrize(
    "overlays", [[], ["smoke"], ["gpu"], ["paper"], ["paper", "rehearsal"]], ids="-".join
)
def test_the_configs_that_come_with_the_study_are_right(overlays):
    found = study.load(*(ROOT / f"config/{name}.yaml" for name in overlays))
    assert found.study.strict is False


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "study: {}\nmodels: {}\nstudy: {}\n",
            "has the key study twice, in lines 1 and 3; allowed: once",
        ),
        (
            "tuning:\n  select: [{model: a, model: b}]",
            "the key tuning.select.model twice, in lines 2 and 2",
        ),
        ("a: {b: 1, 'b': 2}", "has the key a.b twice"),
        ("study: [", "is not YAML"),
        ("a: 2026-13-01", "is not YAML"),
        ("- 1", "holds no keys"),
    ],
)
def test_a_file_that_says_something_else_than_it_seems(tmp_path, text, line):
    file = tmp_path / "o.yaml"
    file.write_text(text)
    with pytest.raises(StudyError) as error:
        study.load(file)
    assert f"config: {file} " in str(error.value) and line in str(error.value)
    assert "\n" not in str(error.value)


def test_each_moved_key_names_one_that_exists():
    for before, after in MOVED.items():
        *parents, new = after.replace(".autotuned.", ".*.").split(".")
        place = list(documentation._table(documentation.schema(), ".".join(parents)))
        assert any(f"`{new}`" in line for line in place)
        if before.split(".")[:-1] == parents:
            assert not any(f"| `{before.split('.')[-1]}`" in line for line in place)


scalars = (
    st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.sampled_from(["a", "+neon", "x: y"])
)


@given(st.dictionaries(st.sampled_from("abc"), scalars | st.lists(scalars)))
def test_a_nested_value_of_the_command_line_is_that_of_a_file(value):
    """Snakemake reads a value without types."""
    text = yaml.safe_dump(value)
    assert config.of_command_line(yaml.load(text, Loader=yaml.BaseLoader)) == yaml.safe_load(text)


def test_the_schema_and_the_tables_of_the_documentation_are_up_to_date():
    """If not: make docs-reference."""
    text = documentation.PAGE.read_text()
    assert json.loads(documentation.SCHEMA.read_text()) == documentation.schema()
    assert documentation.page(text) == text
    sections = {found[2].split(".")[0] for found in documentation.TABLE.finditer(text)}
    assert sections == set(config.Config.model_fields) - {"seed", "observations", "recommendation"}


def test_each_key_of_a_plugin_is_in_the_schema():
    found = documentation.schema()["$defs"]
    for kind, name in (("dataset", "photos"), ("compression", "int8"), ("connection", "tracker")):
        for key, setting in registry.describe(kind, name).settings.items():
            assert found[f"{kind}_{name}"]["properties"][key]["description"] == setting.text


@pytest.mark.parametrize(
    "file", ["models/ResNet34.py", "datasets/my-digits.py", "primitives/2d.py"]
)
def test_the_name_of_a_plugin_is_that_of_its_file_and_follows_the_rule(tmp_path, file):
    """In a copy of the package, as it is read once in a process."""
    for source in (ROOT / "dlas").glob("*.py"):
        (tmp_path / "dlas" / source.name).parent.mkdir(exist_ok=True)
        (tmp_path / "dlas" / source.name).write_text(source.read_text())
    place = tmp_path / "dlas" / file
    place.parent.mkdir()
    kind = {
        "models": "ModelPlugin(smallest={},",
        "datasets": "DatasetPlugin(stem='', size=8, classes=2,",
    }
    place.write_text(f"PLUGIN = {kind.get(place.parent.name, 'PrimitivePlugin(')} label='x')\n")
    command = f"from dlas import registry; registry.names({place.parent.name.removesuffix('s')!r})"
    done = subprocess.run(
        [sys.executable, "-c", command], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stderr.splitlines()[-1] == (
        f"dlas.errors.StudyError: dlas/{file} cannot be a plugin; allowed: names of lower-case "
        f"letters, "
        "digits and underscores that begin with a letter, 100 at most"
    )
