"""A change reruns what it touches and nothing else. The jobs are planned, not run."""

import os

import pytest

FIGURES = {"assess_observation": 3, "tabulate_observations": 1, "draw_overview": 1}
MEASURED = {"time_libraries": 2, "tabulate_study": 1} | FIGURES
EVERY_TIMING = MEASURED | {"time_libraries": 3}
CHECKED = {"check_library": 9} | EVERY_TIMING
COMPILED = {"build_library": 9} | CHECKED
IMPORTED = {"import_network": 2} | COMPILED
TRAINED = {"train_model": 2} | IMPORTED

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
    ("another way to write a number", "config.yaml", "1.0e-4", "0.00010", {}),
    ("the style of the figures", "dlas/analysis/figures.py", '"whitegrid"', '"ticks"', FIGURES),
    (
        "one observation",
        "dlas/analysis/observations/fastest_primitive.py",
        "def observe",
        "CHANGED = 1\n\n\ndef observe",
        {"assess_observation": 1, "tabulate_observations": 1},
    ),
    (
        "the timing code",
        "dlas/hardware/timing.py",
        "_Contender(None",
        "_Contender(None or None",
        EVERY_TIMING,
    ),
    (
        "a timing setting of one platform",
        "config/smoke.yaml",
        "models: [mobilenet_v2]\n    timing: {warmup: 1, rounds: 5",
        "models: [mobilenet_v2]\n    timing: {warmup: 1, rounds: 6",
        MEASURED | {"time_libraries": 1},
    ),
    (
        "the tolerance of the check",
        "config.yaml",
        "tolerance: 1.0e-4",
        "tolerance: 2.0e-4",
        CHECKED,
    ),
    (
        "one primitive",
        "dlas/primitives/gemm.py",
        "def convolve",
        "CHANGED = 1\n\n\ndef convolve",
        {"build_library": 3, "check_library": 3} | EVERY_TIMING,
    ),
    (
        "the importer",
        "dlas/compiler/importer.py",
        "def import_network",
        "A = 1\n\n\ndef import_network",
        IMPORTED,
    ),
    (
        "one model",
        "dlas/models/resnet18.py",
        "def build",
        "CHANGED = 1\n\n\ndef build",
        {"train_model": 1, "import_network": 1, "build_library": 3, "check_library": 3}
        | MEASURED
        | {"time_libraries": 1},
    ),
    ("the training code", "dlas/models/training.py", "momentum=0.9", "momentum=0.8", TRAINED),
    (
        "the recipe of one dataset",
        "config/smoke.yaml",
        "digits: {epochs: 1}",
        "digits: {epochs: 2}",
        {"train_model": 1, "import_network": 1, "build_library": 3, "check_library": 3}
        | MEASURED
        | {"time_libraries": 1},
    ),
    ("the seed", "config.yaml", "seed: 0", "seed: 1", {"prepare_dataset": 2} | TRAINED),
    ("a model that is not used", "dlas/models/vgg16.py", "def build", "A = 1\n\n\ndef build", {}),
    (
        "a recipe that is not used",
        "config.yaml",
        "mobilenet_v1: {epochs: 16",
        "mobilenet_v1: {epochs: 17",
        {},
    ),
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
