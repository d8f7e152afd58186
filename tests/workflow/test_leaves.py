"""Each leaf of the config, changed alone, reruns exactly the jobs that depend on it."""

import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from tests.workflow.chains import (
    CURVES,
    EVERY_TIMING,
    MEASURED,
    TRAINED,
    TUNED,
    auto_scheduled,
    checked,
    chosen,
    compressed,
    imported,
    less,
    of_digits,
)
from tests.workflow.project import ROOT, jobs_of

pytestmark = pytest.mark.xdist_group("smoke")  # the worker that has made the study plans once

HALF = ("config.yaml", "config/smoke.yaml")
DIGITS = {"train_model": 1, "export_network": 1} | of_digits(6, 5)
TIMED = MEASURED | {"time_libraries": 1}
ONE_VERDICT = {"assess_observation": 1, "draw_observation": 1, "tabulate_observations": 1}


def of_photos(levels, techniques, tuned):
    """Its one network, on both platforms, weight pruning among the techniques."""
    return (
        {"compress_model": levels, "choose_level": techniques, "import_network": techniques}
        | {"build_library": 2 * 3 * (techniques + 1) + tuned, "check_libraries": 2 * techniques}
        | {"tune_network": tuned}
        | CURVES
        | MEASURED
        | TUNED
    )


def recompiled(platforms, networks, tuned=0):
    """All libraries of so many networks of a platform, which is another one."""
    built = {"build_library": networks * 3 * 6 + tuned, "check_libraries": networks * 5}
    search = {"tune_network": tuned} | TUNED if tuned else {}
    return {"probe_platform": platforms} | built | search | MEASURED | {"time_libraries": networks}


PHOTOS = {"train_model": 1, "export_network": 1} | of_photos(6, 5, 3)

# (leaves, how each is changed, the jobs that must run); the first that fits a leaf counts
EXPECTED = [
    ("seed", 1, {"prepare_dataset": 2} | TRAINED),
    ("study.datasets", ["photos"], CURVES | {**MEASURED, "time_libraries": 0}),
    ("study.models.digits", ["resnet18", "vgg16"], DIGITS),  # one more, on one platform
    ("study.models.photos", ["mobilenet_v2", "resnet50"], DIGITS),
    (
        "study.compression",
        ["none", "weight_pruning", "channel_pruning", "int8"],
        CURVES | EVERY_TIMING,
    ),
    ("study.primitives", ["direct", "spatial_pack"], EVERY_TIMING | {"check_libraries": 15}),
    ("study.formats", ["dense"], EVERY_TIMING | {"check_libraries": 3} | TUNED),
    ("study.tuning", ["untuned"], less(2) | TUNED),
    ("study.platforms", ["local_cpu"], {**MEASURED, "time_libraries": 0}),
    ("study.peers", ["pytorch"], MEASURED),
    ("study.strict", None, {}),  # of `all` alone
    ("datasets.digits.*", 0.9, {"prepare_dataset": 1} | DIGITS),
    ("datasets.photos.*", 0.9, {"prepare_dataset": 1} | PHOTOS),
    ("models.width", 2, TRAINED),
    ("models.device", "cuda", TRAINED),
    ("models.processes", 2, TRAINED),
    ("models.training.digits.schedule", "cosine", DIGITS),
    ("models.training.photos.schedule", "cosine", PHOTOS),
    ("models.training.digits.optimizer", "adamw", DIGITS),
    ("models.training.photos.optimizer", "sgd", PHOTOS),
    ("models.training.photos.models.mobilenet_v2.*", 2, PHOTOS),
    ("models.training.*.models.*", 0.5, {}),
    ("models.training.photos.epochs", 2, {}),  # the network has its own
    ("models.training.photos.learning_rate", 2, {}),
    ("models.training.digits.*", 2, DIGITS),
    ("models.training.photos.*", 2, PHOTOS),
    ("compression.tolerance", 0.5, chosen(2, sparse=1, tuned=2)),
    ("compression.fine_tuning.photos.models.mobilenet_v2.*", 2, of_photos(3, 2, 2)),
    ("compression.fine_tuning.*.models.*", 2, {}),
    ("compression.fine_tuning.photos.learning_rate", 2, {}),
    ("compression.fine_tuning.digits.*", 2, of_digits(3, 2)),
    ("compression.fine_tuning.photos.*", 2, of_photos(3, 2, 2)),
    (
        "compression.techniques.weight_pruning.levels",
        [0.5],
        chosen(1, sparse=1, tuned=2),
    ),
    (
        "compression.techniques.weight_pruning.score",
        "magnitude",
        compressed(2, 1, sparse=1, tuned=2),
    ),
    (
        "compression.techniques.weight_pruning.spared",
        ["stem"],
        compressed(2, 1, sparse=1, tuned=2),
    ),
    ("compression.techniques.channel_pruning.levels", [0.4], compressed(1, 1)),
    ("compression.techniques.channel_pruning.scope", "global", compressed(1, 1)),
    ("compression.techniques.channel_pruning.*", 2, compressed(1, 1)),
    ("compression.techniques.int8.observer", "minmax", compressed(1, 1)),
    ("compression.techniques.int8.*", 2, compressed(1, 1)),
    ("compiler.check.images", 2, imported(5, sparse=1, tuned=3)),
    ("compiler.check.tolerance.float32", 2, checked(3)),
    ("compiler.check.top1_tolerance.float32", 2, checked(3)),
    ("compiler.check.*", 2, checked(1)),
    (
        "tuning.select",
        [{"model": "mobilenet_v2", "compression": "none", "primitive": "spatial_pack"}],
        None,  # in test_rebuild.py, where one is added, changed and left out
    ),
    ("tuning.strategy", "replay-trace", auto_scheduled(3, 2)),
    ("tuning.*", 2, auto_scheduled(3, 2)),
    (
        "platforms.local_cpu.target",
        {"kind": "llvm", "mcpu": "x86-64-v2"},
        recompiled(1, 2, tuned=3),
    ),
    ("platforms.local_cpu.threads", 1, recompiled(1, 2, tuned=3)),
    ("platforms.local_cpu.timing.*", 2, MEASURED),
    ("platforms.local_cpu_avx2.target.kind", "c", recompiled(1, 1)),
    ("platforms.local_cpu_avx2.target.mcpu", "x86-64-v2", recompiled(1, 1)),
    ("platforms.local_cpu_avx2.threads", 1, recompiled(1, 1)),
    (
        "platforms.local_cpu_avx2.models",
        ["resnet18", "mobilenet_v2"],
        {"build_library": 18, "check_libraries": 5} | TIMED,
    ),
    ("platforms.local_cpu_avx2.timing.*", 2, TIMED),
    ("platforms.local_cuda.target", "host", {}),  # takes no part, and neither do the boards
    ("platforms.*.timing.*", 2, {}),
    ("platforms.*.threads", 2, {}),
    ("platforms.*.boards", 2, {}),
    ("platforms.*.target.mattr", ["+crc"], {}),
    ("platforms.*.target.max_*", 2, {}),
    ("platforms.*.target.thread_warp_size", 2, {}),
    ("platforms.*.target.kind", "metal", None),  # with a board it needs more than that
    ("platforms.*.target.*", "generic", {}),
    ("platforms.*.host.mattr", ["+crc"], {}),
    ("platforms.*.host.*", "generic", {}),
    ("platforms.*.connection.timeout_s", 2, {}),
    ("platforms.*.connection.key", "rock5", {}),
    ("platforms.*.connection.*", "127.0.0.1:9999", {}),
    ("observations.13", "size_accuracy_latency", ONE_VERDICT),
    ("observations.*", "joint_choice", ONE_VERDICT),
    ("recommendation.top1_floor.*", 50, {"recommend": 1}),
]


def merged():
    config = yaml.safe_load((ROOT / HALF[0]).read_text())
    update_config(config, yaml.safe_load((ROOT / HALF[1]).read_text()))
    return config


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


LEAVES = dict(leaves(merged()))


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
    wanted = expectation(leaf)[2]
    assert jobs_of(plans[leaf]) == {rule: count for rule, count in wanted.items() if count}
