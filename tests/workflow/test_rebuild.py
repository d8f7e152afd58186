"""A change reruns what it touches and nothing else. The jobs are planned, not run.

Here are changes of the code, and of the config those that change nothing or more than a value; test_leaves.py has each
value of the config.
"""

import os
import shutil

import pytest

from tests.workflow.chains import (
    EVERY_TIMING,
    EXPORTED,
    FIGURES,
    MEASURED,
    TRAINED,
    TUNED,
    VERDICTS,
    auto_scheduled,
    chosen,
    compiled,
    compressed,
    imported,
    less,
    of_digits,
)

# (what the user does, file, text before, text after, jobs that must run)
CHANGES = [
    ("a comment", "dlas/files.py", '"""Files', '# Why.\n"""Files', {}),
    ("a docstring", "dlas/hardware/timing.py", '"""How', '"""Just how', {}),
    ("a comment in a script", "workflow/scripts/train_model.py", "with job", "# Go.\nwith job", {}),
    ("a comment in the config", "config.yaml", "seed: 0", "seed: 0 # zero", {}),
    (
        "the order of a list",
        "config.yaml",
        "[direct, gemm, spatial_pack]",
        "[gemm, spatial_pack, direct]",
        {},
    ),
    (
        "the order of the techniques",
        "config.yaml",
        "[none, weight_pruning, channel_pruning",
        "[channel_pruning, none, weight_pruning",
        {},
    ),
    ("another way to write a number", "config.yaml", "1.0e-4", "0.00010", {}),
    ("another way to write a level", "config/smoke.yaml", "[0.5, 0.8]", "[5.0e-1, 0.80]", {}),
    (
        "the style of the figures",
        "dlas/analysis/figures.py",
        '"whitegrid"',
        '"ticks"',
        FIGURES | VERDICTS,
    ),
    (
        "one observation",
        "dlas/analysis/observations/fastest_primitive.py",
        "def observe(tables: Tables) -> Observation:",
        "def observe(tables: Tables, more: int = 1) -> Observation:",
        VERDICTS | {"assess_observation": 1, "draw_observation": 1},
    ),
    (
        "how a recommendation is found",
        "dlas/analysis/recommendation.py",
        "ROUNDING = 1e-9",
        "ROUNDING = 1e-8",
        {"recommend": 1},
    ),
    (
        "a table of the paper",
        "dlas/analysis/summaries.py",
        "UNREACHED =",
        "CHANGED = 1\nUNREACHED =",
        {"tabulate_summary": 3},
    ),
    (
        "the timing code",
        "dlas/hardware/timing.py",
        "_Contender(None",
        "_Contender(None or None",
        EVERY_TIMING,
    ),
    (
        "one primitive",
        "dlas/primitives/gemm.py",
        "def convolve",
        "CHANGED = 1\n\n\ndef convolve",
        compiled(5) | {"build_library": 18},
    ),
    (
        "a primitive that is auto-scheduled",
        "dlas/primitives/spatial_pack.py",
        "def convolve",
        "CHANGED = 1\n\n\ndef convolve",
        compiled(5, tuned=3) | {"build_library": 18 + 3},
    ),
    (
        "how schedules are found",
        "dlas/compiler/tuning/network.py",
        "def tune_network",
        "CHANGED = 1\n\n\ndef tune_network",
        auto_scheduled(3, 2),
    ),
    (
        "a selection by one more name",
        "config/smoke.yaml",
        "primitive: spatial_pack",
        "primitive: [spatial_pack, gemm]",
        auto_scheduled(3, 2),
    ),
    (
        "a selection of one more network",
        "config/smoke.yaml",
        "  trials: {",
        "    - {model: resnet18, compression: int8, primitive: direct}\n  trials: {",
        auto_scheduled(1, 1),
    ),
    (
        "a selection of less",
        "config/smoke.yaml",
        "compression: [none, weight_pruning], primitive",
        "compression: none, primitive",
        less(1) | TUNED,
    ),
    (
        "the same selection in other words",
        "config/smoke.yaml",
        "{model: mobilenet_v2, compression: [none, weight_pruning], primitive: spatial_pack",
        "{model: [mobilenet_v2], compression: [weight_pruning, none], primitive: [spatial_pack]",
        {},
    ),
    (
        "a choice that selects nothing new",
        "config/smoke.yaml",
        "  trials: {",
        "    - {compression: none, primitive: spatial_pack, model: mobilenet_v2, platform: local_cpu}\n"
        "  trials: {",
        {},
    ),
    (
        "the importer",
        "dlas/compiler/importer.py",
        "def import_network",
        "A = 1\n\n\ndef import_network",
        imported(5, sparse=1, tuned=3),
    ),
    (
        "a stronger level",
        "config/smoke.yaml",
        "[0.5, 0.8]",
        "[0.5, 0.8, 0.9]",
        compressed(1, 1, sparse=1, tuned=2),
    ),
    (
        "a level in between, from which the stronger ones start anew",
        "config/smoke.yaml",
        "[0.5, 0.8]",
        "[0.5, 0.7, 0.8]",
        compressed(2, 1, sparse=1, tuned=2),
    ),
    ("a level less", "config/smoke.yaml", "[0.5, 0.8]", "[0.5]", chosen(1, sparse=1, tuned=2)),
    (
        "how a level is chosen",
        "dlas/compression/elbow.py",
        "def curve",
        "CHANGED = 1\n\n\ndef curve",
        chosen(5, sparse=1, tuned=3) | EXPORTED,
    ),
    (
        "the fine-tuning of a model that is not used",
        "config/smoke.yaml",
        "photos: {epochs: 1}\n",
        "photos: {epochs: 1, models: {vgg16: {epochs: 2}}}\n",
        {},
    ),
    (
        "one technique",
        "dlas/compression/weight_pruning.py",
        "def compress",
        "CHANGED = 1\n\n\ndef compress",
        compressed(2, 1, sparse=1, tuned=2),
    ),
    (
        "how weights lie in CSR",
        "dlas/primitives/csr.py",
        "SHORT_ROW = 8",
        "SHORT_ROW = 7",
        compiled(1, tuned=1) | {"build_library": 9 + 1},
    ),
    (
        "the order of the peers",
        "config.yaml",
        "peers: [pytorch, onnxruntime]",
        "peers: [onnxruntime, pytorch]",
        {},
    ),
    (
        "what a peer is asked",
        "dlas/runtimes/peer.py",
        "STEP_S = 0.005",
        "STEP_S = 0.006",
        EVERY_TIMING,
    ),
    (
        "how networks are exported",
        "dlas/models/export.py",
        "def write_onnx",
        "CHANGED = 1\n\n\ndef write_onnx",
        EXPORTED | MEASURED,
    ),
    (
        "one model",
        "dlas/models/resnet18.py",
        "def build",
        "CHANGED = 1\n\n\ndef build",
        {"train_model": 1, "export_network": 1} | of_digits(6, 5),
    ),
    ("the training code", "dlas/models/training.py", "momentum=0.9", "momentum=0.8", TRAINED),
    ("a model that is not used", "dlas/models/vgg16.py", "def build", "A = 1\n\n\ndef build", {}),
]


@pytest.mark.parametrize(
    ("file", "before", "after", "jobs"), [c[1:] for c in CHANGES], ids=[c[0] for c in CHANGES]
)
def test_a_change_reruns_what_it_touches(study, file, before, after, jobs):
    study.edit(file, lambda text: text.replace(before, after, 1))
    assert study.planned() == jobs


def test_new_time_stamps_of_the_code_rerun_nothing(study):
    """As after a fresh checkout."""
    for file in study.folder.glob("**/*"):
        if "results" not in file.parts and ".snakemake" not in file.parts:
            os.utime(file)
    assert study.planned() == {}


def test_a_new_dataset_retrains_its_own_models_only(study):
    (study.folder / "results/datasets/digits.npz").touch()
    assert study.planned()["train_model"] == 1


def test_a_ladder_goes_on_where_it_stopped(study):
    """As after a run that was killed while it made the second level."""
    folder = study.folder / "results/compressed/digits/resnet18/weight_pruning"
    for name in ("0.8.safetensors", "0.8.json", "curve.csv", "chosen.safetensors", "summary.json"):
        (folder / name).unlink()
    target = str(folder.relative_to(study.folder) / "summary.json")
    assert study.planned(target) == {"compress_model": 1, "choose_level": 1}


def test_records_of_measurements_are_no_artifact(study):
    """Jobs go on from them, but nothing depends on them."""
    records = study.folder / "results/tuning/records"
    assert list(records.glob("local_cpu/*"))
    shutil.rmtree(records)
    assert study.planned() == {}
    assert study.planned("--forcerun", "tune_network") == auto_scheduled(3, 2)
