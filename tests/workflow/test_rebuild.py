"""A change reruns what it touches and nothing else. The jobs are planned, not run.

Here are changes of the code, and of the config those that change nothing or more than a value;
test_leaves.py has each value of the config.
"""

import os
import shutil

import pytest

from tests.workflow.chains import BUILD, LISTING, alone, nothing, starting, together
from tests.workflow.project import smoke_config

# The jobs that show names: figures, their captions, and pages.
DRAWN = alone(
    *("draw_overview", "draw_curves", "draw_tuning", "draw_pareto", "draw_roofline"),
    "draw_observation",
    "draw_explorer",
)
PAGES = alone("tabulate_summary", "recommend", "tabulate_observations", "compare_machines")

LAST = alone("summarize_statuses")
# (what the user does, file, text before, text after, jobs that must run)
CHANGES = [
    ("a comment", "dlas/files.py", '"""Write files', '# Why.\n"""Write files', nothing),
    ("a docstring", "dlas/hardware/timing.py", '"""Time', '"""Just time', nothing),
    (
        "a comment in a script",
        "workflow/scripts/train_model.py",
        "with job",
        "# Go.\nwith job",
        nothing,
    ),
    ("a comment in the config", "config.yaml", "seed: 0", "seed: 0 # zero", nothing),
    (
        "the order of a list",
        "config.yaml",
        "[direct, gemm, spatial_pack]",
        "[gemm, spatial_pack, direct]",
        nothing,
    ),
    (
        "the order of the techniques",
        "config.yaml",
        "[none, weight_pruning, channel_pruning",
        "[channel_pruning, none, weight_pruning",
        nothing,
    ),
    ("another way to write a number", "config.yaml", "1.0e-4", "0.00010", nothing),
    ("another way to write a level", "config/smoke.yaml", "[0.5, 0.8]", "[5.0e-1, 0.80]", nothing),
    (
        "the style of the figures",
        "dlas/analysis/style.py",
        '"grid.linewidth": 0.4',
        '"grid.linewidth": 0.5',
        # An observation's file holds both its rule and its drawing.
        together(DRAWN, starting("assess_observation")),
    ),
    (
        "one observation",
        "dlas/analysis/observations/fastest_primitive.py",
        "def observe(tables: Tables) -> Observation:",
        "def observe(tables: Tables, more: int = 1) -> Observation:",
        starting("assess_observation", number="04"),
    ),
    (
        "the label of a model",
        "dlas/models/mobilenet_v2.py",
        'label="MobileNetV2"',
        'label="MobileNet v2"',
        together(DRAWN, PAGES, LAST),
    ),
    (
        "the marker of a primitive, of which accuracy curves know nothing",
        "dlas/primitives/gemm.py",
        'marker="s"',
        'marker="X"',
        together(
            alone("draw_overview", "draw_pareto", "draw_roofline", "draw_explorer"),
            alone("draw_observation"),
            PAGES,
            LAST,
        ),
    ),
    (
        "a claim",
        "dlas/analysis/observations/fastest_primitive.py",
        "untuned, no one primitive",
        "untuned, none of the primitives",
        together(
            alone("draw_observation", number="04"),
            alone("tabulate_observations", "compare_machines"),
            LAST,
        ),
    ),
    (
        "the group of a model",
        "dlas/models/mobilenet_v2.py",
        'group="compact"',
        'group="large"',
        starting("assess_observation"),
    ),
    (
        "how a recommendation is found",
        "dlas/analysis/recommendation.py",
        "ROUNDING = 1e-9",
        "ROUNDING = 1e-8",
        starting("recommend"),
    ),
    (
        "what the page to explore does",
        "dlas/analysis/explore.js",
        "const SHOWN_AT_ONCE = 50;",
        "const SHOWN_AT_ONCE = 20;",
        starting("draw_explorer"),
    ),
    (
        "a table of the paper",
        "dlas/analysis/summaries.py",
        "TIMED =",
        "CHANGED = 1\nTIMED =",
        starting("tabulate_summary"),
    ),
    (
        "a published figure",
        "dlas/analysis/published.csv",
        "92.0",
        "92.1",
        starting("tabulate_summary"),
    ),
    (
        "the timing code",
        "dlas/hardware/timing.py",
        "GAP_S, GAP = 1.0, 20",
        "GAP_S, GAP = 1.0, 21",
        starting("time_libraries"),
    ),
    (
        "one primitive",
        "dlas/primitives/gemm.py",
        "def convolve",
        "CHANGED = 1\n\n\ndef convolve",
        starting(BUILD, primitive="gemm"),
    ),
    (
        "a primitive that is auto-tuned",
        "dlas/primitives/spatial_pack.py",
        "def convolve",
        "CHANGED = 1\n\n\ndef convolve",
        together(
            starting("tune_network", primitive="spatial_pack"),
            starting(BUILD, primitive="spatial_pack"),
        ),
    ),
    (
        "how schedules are found",
        "dlas/compiler/tuning/network.py",
        "def tune_network",
        "CHANGED = 1\n\n\ndef tune_network",
        starting("tune_network", tuning="autotuned"),
    ),
    (
        "a selection by one more name",
        "config/smoke.yaml",
        "primitive: spatial_pack",
        "primitive: [spatial_pack, gemm]",
        starting("tune_network", primitive="gemm", tuning="autotuned"),
    ),
    (
        "a selection of one more network",
        "config/smoke.yaml",
        "  trials:",
        "    - {model: resnet18, compression: int8, primitive: direct}\n  trials:",
        starting("tune_network", model="resnet18", tuning=("autotuned", "auto_scheduled")),
    ),
    (
        "a selection of less",
        "config/smoke.yaml",
        "compression: [none, weight_pruning]\n      primitive: spatial_pack",
        "compression: none\n      primitive: spatial_pack",
        together(
            starting(
                LISTING, model="mobilenet_v2", platform="local_cpu", compression="weight_pruning"
            ),
            starting("tabulate_tuning"),
        ),
    ),
    (
        "the same selection in other words",
        "config/smoke.yaml",
        "model: mobilenet_v2\n      compression: [none, weight_pruning]\n"
        "      primitive: spatial_pack",
        "model: [mobilenet_v2]\n      compression: [weight_pruning, none]\n"
        "      primitive: [spatial_pack]",
        nothing,
    ),
    (
        "a choice that selects nothing new",
        "config/smoke.yaml",
        "  trials:",
        "    - {compression: none, primitive: spatial_pack, model: mobilenet_v2, "
        "platform: local_cpu, tuning: autotuned}\n"
        "  trials:",
        nothing,
    ),
    (
        "the importer",
        "dlas/compiler/importer.py",
        "def import_network",
        "A = 1\n\n\ndef import_network",
        starting("import_network"),
    ),
    (
        "a stronger level",
        "config/smoke.yaml",
        "[0.5, 0.8]",
        "[0.5, 0.8, 0.9]",
        starting("compress_model", compression="weight_pruning", level="0.9"),
    ),
    (
        "a level in between, from which the stronger ones start anew",
        "config/smoke.yaml",
        "[0.5, 0.8]",
        "[0.5, 0.7, 0.8]",
        starting("compress_model", compression="weight_pruning", level=("0.7", "0.8")),
    ),
    (
        "a level less",
        "config/smoke.yaml",
        "[0.5, 0.8]",
        "[0.5]",
        together(starting("choose_level", compression="weight_pruning"), alone("tabulate_answers")),
    ),
    (
        "how a level is chosen",
        "dlas/compression/elbow.py",
        "def curve",
        "CHANGED = 1\n\n\ndef curve",
        starting("choose_level"),
    ),
    (
        "the fine-tuning of a model that is not used",
        "config/smoke.yaml",
        "0.03}\n    photos: {epochs: 1, models: {",
        "0.03}\n    photos: {epochs: 1, models: {vgg16: {epochs: 2}, ",
        nothing,
    ),
    (
        "one technique",
        "dlas/compression/weight_pruning.py",
        "def compress",
        "CHANGED = 1\n\n\ndef compress",
        starting("compress_model", compression="weight_pruning"),
    ),
    (
        "how weights lie in CSR",
        "dlas/primitives/sparse_matrix.py",
        "MIN_ROW_BLOCKS = 8",
        "MIN_ROW_BLOCKS = 7",
        together(starting("tune_network", format="csr"), starting(BUILD, format="csr")),
    ),
    (
        "the order of the peers",
        "config.yaml",
        "peers: [pytorch, onnxruntime, openvino]",
        "peers: [onnxruntime, openvino, pytorch]",
        nothing,
    ),
    (
        "what a peer is asked",
        "dlas/runtimes/peer.py",
        "STEP_S = 0.005",
        "STEP_S = 0.006",
        starting("time_libraries"),
    ),
    (
        "how networks are exported",
        "dlas/models/export.py",
        "def write_onnx",
        "CHANGED = 1\n\n\ndef write_onnx",
        starting("export_network", platform="local_cpu"),
    ),
    (
        "one model",
        "dlas/models/resnet18.py",
        "def build",
        "CHANGED = 1\n\n\ndef build",
        starting("train_model", model="resnet18"),
    ),
    (
        "the training code",
        "dlas/models/training.py",
        "momentum=0.9",
        "momentum=0.8",
        starting("train_model"),
    ),
    (
        "a model that is not used",
        "dlas/models/vgg16.py",
        "def build",
        "A = 1\n\n\ndef build",
        nothing,
    ),
]


@pytest.mark.parametrize(
    ("file", "before", "after", "jobs"), [c[1:] for c in CHANGES], ids=[c[0] for c in CHANGES]
)
def test_a_change_reruns_what_it_touches(study, file, before, after, jobs):
    study.edit(file, lambda text: text.replace(before, after, 1))
    assert study.plan() == jobs(smoke_config(study.folder))


def test_new_time_stamps_of_the_code_rerun_nothing(study):
    """As after a fresh checkout."""
    for file in study.folder.glob("**/*"):
        if "results" not in file.parts and ".snakemake" not in file.parts:
            os.utime(file)
    assert study.planned() == {}


def test_a_new_dataset_retrains_its_own_models_only(study):
    (study.folder / "results/datasets/digits_8x8.npz").touch()
    assert study.planned()["train_model"] == 1


def test_a_ladder_goes_on_where_it_stopped(study):
    """As after a run that was killed while it made the second level."""
    folder = study.folder / "results/compressed/digits_8x8/resnet18/weight_pruning"
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
    after = starting("tune_network", tuning=("autotuned", "auto_scheduled"))
    assert study.plan("--forcerun", "tune_network") == after(smoke_config())
