"""Each leaf of the config, changed alone, reruns exactly the jobs that depend on it."""

import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from dlas import study
from dlas.config import read
from tests.workflow.chains import BUILD, LADDERS, LISTING, SHOWN, alone, nothing, starting, together
from tests.workflow.project import ROOT, jobs_of

SMOKE = ROOT / "config/smoke.yaml"
pytestmark = pytest.mark.xdist_group("smoke")  # the worker that has made the study plans once

FLOAT32 = ("none", "weight_pruning", "channel_pruning")
DIGITS, PHOTOS = (starting("train_model", dataset=name) for name in ("digits_8x8", "photos"))
WEIGHT_PRUNING, CHANNEL_PRUNING, INT8 = (
    starting("compress_model", compression=name) for name in (*LADDERS, "int8")
)
SEARCHED = starting("tune_network", tuning=("autotuned", "auto_scheduled"))

# (leaves, how each is changed, the jobs that must run); the first that fits a leaf counts
EXPECTED = [
    ("seed", 1, starting("prepare_dataset")),
    (
        "study.datasets",
        ["photos"],
        together(*map(starting, ("tabulate_curves", "tabulate_answers", "tabulate_study"))),
    ),
    ("study.models.digits", ["resnet18"], nothing),  # takes no part in the smoke study
    (
        "study.models.digits_8x8",
        ["resnet18", "vgg16"],
        starting("train_model", model="vgg16"),
    ),  # one more, on one platform
    (
        "study.models.photos",
        ["mobilenet_v2", "resnet50"],
        starting("train_model", model="resnet50"),
    ),
    (
        "study.compression",
        ["none", "weight_pruning", "channel_pruning", "int8"],
        together(*map(starting, ("tabulate_curves", "tabulate_answers", "time_libraries"))),
    ),
    ("study.primitives", ["direct", "spatial_pack"], starting(LISTING)),
    (
        "study.formats",
        ["dense"],
        together(
            starting(LISTING, compression="weight_pruning"),
            starting("time_libraries"),
            starting("tabulate_tuning"),
        ),
    ),
    (
        "study.tuning",
        ["untuned"],
        together(
            starting(
                LISTING,
                model="mobilenet_v2",
                platform="local_cpu",
                compression=("none", "weight_pruning"),
            ),
            starting("tabulate_tuning"),
        ),
    ),
    (
        "study.platforms",
        ["local_cpu"],
        together(starting("time_libraries", model="mobilenet_v2"), starting("tabulate_study")),
    ),
    ("study.peers", ["pytorch"], starting("time_libraries", platform="local_cpu")),
    ("study.strict", True, alone("summarize_statuses")),
    ("datasets.digits.*", 0.9, nothing),
    ("datasets.digits_8x8.*", 0.9, starting("prepare_dataset", dataset="digits_8x8")),
    ("datasets.photos.*", 0.9, starting("prepare_dataset", dataset="photos")),
    ("models.width", 2, starting("train_model")),
    ("models.device", "cuda", starting("train_model")),
    ("models.processes", 2, starting("train_model")),
    ("models.training.digits.schedule", "cosine", nothing),
    ("models.training.digits.optimizer", "adamw", nothing),
    ("models.training.digits_8x8.schedule", "cosine", DIGITS),
    ("models.training.photos.schedule", "cosine", PHOTOS),
    ("models.training.digits_8x8.optimizer", "adamw", DIGITS),
    ("models.training.photos.optimizer", "sgd", PHOTOS),
    ("models.training.photos.models.mobilenet_v2.*", 2, PHOTOS),
    ("models.training.*.models.*", 0.5, nothing),
    ("models.training.photos.epochs", 2, nothing),  # the network has its own
    ("models.training.photos.learning_rate", 2, nothing),
    ("models.training.digits.*", 2, nothing),
    ("models.training.digits_8x8.*", 2, DIGITS),
    ("models.training.photos.*", 2, PHOTOS),
    ("compression.tolerance", 0.5, starting("choose_level", compression=LADDERS)),
    # The first level of a ladder is made in any case.
    (
        "compression.give_up",
        0.5,
        starting("compress_model", compression="weight_pruning", level="0.8"),
    ),
    (
        "compression.fine_tuning.photos.models.mobilenet_v2.*",
        2,
        starting("compress_model", dataset="photos", compression=LADDERS),
    ),
    ("compression.fine_tuning.*.models.*", 2, nothing),
    ("compression.fine_tuning.digits.*", 2, nothing),
    (
        "compression.fine_tuning.digits_8x8.*",
        2,
        starting("compress_model", dataset="digits_8x8", compression=LADDERS),
    ),
    ("compression.fine_tuning.photos.*", 2, nothing),  # the network has its own
    (
        "compression.techniques.weight_pruning.levels",
        [0.5],
        together(starting("choose_level", compression="weight_pruning"), alone("tabulate_answers")),
    ),
    ("compression.techniques.weight_pruning.score", "magnitude", WEIGHT_PRUNING),
    ("compression.techniques.weight_pruning.exclude", ["stem"], WEIGHT_PRUNING),
    # They take no part in the smoke study.
    ("compression.techniques.n_m_sparsity.group", 2, nothing),
    ("compression.pipelines.*", ["block_sparsity", "int8"], nothing),
    ("compression.techniques.*_sparsity.score", "magnitude", nothing),
    ("compression.techniques.*_sparsity.levels", [0.5], nothing),
    ("compression.techniques.*_sparsity.exclude", ["stem"], nothing),
    ("compression.techniques.channel_pruning.levels", [0.4], CHANNEL_PRUNING),
    ("compression.techniques.channel_pruning.scope", "global", CHANNEL_PRUNING),
    ("compression.techniques.channel_pruning.*", 2, CHANNEL_PRUNING),
    ("compression.techniques.int8.observer", "minmax", INT8),
    ("compression.techniques.int8.*", 2, INT8),
    ("compiler.check.images", 2, starting("import_network")),
    (
        "compiler.check.*.float32",
        2,
        together(starting("check_libraries", compression=FLOAT32), starting("time_libraries")),
    ),
    ("compiler.check.*.float16", 2, starting("check_libraries", compression="float16")),
    ("compiler.check.*.int8", 2, starting("check_libraries", compression="int8")),
    (
        "tuning.select",
        [{"model": "mobilenet_v2", "compression": "none", "primitive": "spatial_pack"}],
        None,  # in test_rebuild.py, where one is added, changed and left out
    ),
    ("tuning.strategy", "replay-trace", SEARCHED),
    ("tuning.trials.autotuned.*", 2, starting("tune_network", tuning="autotuned")),
    ("tuning.trials.auto_scheduled.*", 2, starting("tune_network", tuning="auto_scheduled")),
    ("tuning.*", 2, SEARCHED),
    (
        "platforms.local_cpu.target",
        {"kind": "llvm", "mcpu": "x86-64-v2"},
        starting("resolve_target", platform="local_cpu"),
    ),
    ("platforms.local_cpu.threads", 2, starting("resolve_target", platform="local_cpu")),
    ("platforms.local_cpu.timing.*", 2, starting("time_libraries", platform="local_cpu")),
    (
        "platforms.local_cpu_avx2.target.kind",
        "c",
        # It is no longer a CPU, so a machine of its own.
        together(
            starting("resolve_target", platform="local_cpu_avx2"),
            starting("time_libraries", model="mobilenet_v2"),
        ),
    ),
    (
        "platforms.local_cpu_avx2.target.mcpu",
        "x86-64-v2",
        starting("resolve_target", platform="local_cpu_avx2"),
    ),
    ("platforms.local_cpu_avx2.threads", 2, starting("resolve_target", platform="local_cpu_avx2")),
    (
        "platforms.local_cpu_avx2.models",
        ["resnet18", "mobilenet_v2"],
        starting(BUILD, platform="local_cpu_avx2", model="resnet18"),
    ),
    ("platforms.local_cpu_avx2.timing.*", 2, starting("time_libraries", platform="local_cpu_avx2")),
    (
        "platforms.local_cpu.label",
        "another",
        together(*(starting(rule) for rule in SHOWN if rule != "draw_curves")),
    ),
    (
        "platforms.local_cpu_avx2.label",
        "another",
        together(*(starting(rule) for rule in SHOWN if rule not in ("draw_curves", "draw_tuning"))),
    ),
    # They take no part, and neither do the boards.
    ("platforms.local_cpu_all_cores.label", "another", nothing),
    ("platforms.local_cpu_all_cores.target", "cuda", nothing),
    ("platforms.local_cuda.target", "host", nothing),
    ("platforms.*.timing.*", 2, nothing),
    ("platforms.*.threads", 2, nothing),
    ("platforms.*.boards", 2, nothing),
    ("platforms.*.target.mattr", ["+crc"], nothing),
    ("platforms.*.target.max_*", 2, nothing),
    ("platforms.*.target.thread_warp_size", 2, nothing),
    ("platforms.*.target.kind", "metal", None),  # with a board it needs more than that
    ("platforms.*.target.*", "generic", nothing),
    ("platforms.*.host.mattr", ["+crc"], nothing),
    ("platforms.*.host.*", "generic", nothing),
    ("platforms.*.connection.timeout_s", 2, nothing),
    ("platforms.*.connection.key", "rock5", nothing),
    ("platforms.*.connection.*", "127.0.0.1:9999", nothing),
    ("bundle.platform", "local_cpu_avx2", nothing),
    ("observations.13", "size_accuracy_latency", starting("assess_observation", number="13")),
    *(
        (f"observations.{number}", "joint_choice", starting("assess_observation", number=number))
        for number in read(SMOKE)["observations"]
    ),
    ("recommendation.top1_floor.digits", 0.5, nothing),
    ("recommendation.top1_floor.*", 50, starting("recommend")),
]


def leaves(value, path=()):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    else:
        yield ".".join(path), value


def changed(value, change):
    """A number by this factor, a whole one stays one; a switch turned; anything else replaced."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float) and isinstance(change, int | float):
        return type(value)(value * change) if value else change
    return change


LEAVES = dict(leaves(read(SMOKE)))


def expectation(leaf):
    return next((found for found in EXPECTED if fnmatch(leaf, found[0])), None)


def nested(leaf, value):
    for key in reversed(leaf.split(".")):
        value = {key: value}
    return value


@pytest.fixture(scope="module")
def plans(finished, tmp_path_factory):
    """What is planned for each leaf that is changed."""
    folder, files = tmp_path_factory.mktemp("leaves"), {}
    for leaf, value in LEAVES.items():
        _, change, jobs = expectation(leaf)
        if jobs is not None:
            files[leaf] = folder / f"{leaf}.yaml"
            files[leaf].write_text(yaml.safe_dump(nested(leaf, changed(value, change))))
    script = Path(__file__).with_name("plan_each.py")
    command = [sys.executable, str(script), *map(str, files.values())]
    subprocess.run(command, cwd=finished.folder, check=True)
    return {leaf: Path(f"{file}.plan").read_text() for leaf, file in files.items()}


def test_each_leaf_has_an_expectation_and_each_expectation_a_leaf():
    assert [leaf for leaf in LEAVES if expectation(leaf) is None] == []
    used = {expectation(leaf)[0] for leaf in LEAVES}
    assert [pattern for pattern, *_ in EXPECTED if pattern not in used] == []


def test_each_leaf_is_changed():
    for leaf, value in LEAVES.items():
        assert changed(value, expectation(leaf)[1]) != value, leaf


@pytest.mark.parametrize("leaf", [leaf for leaf in LEAVES if expectation(leaf)[2] is not None])
def test_a_leaf_reruns_what_depends_on_it(plans, leaf):
    _, change, jobs = expectation(leaf)
    config = study.load(SMOKE, nested(leaf, changed(LEAVES[leaf], change)))
    assert jobs_of(plans[leaf]) == jobs(config)
