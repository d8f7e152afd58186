"""Bad input: one clear line, a non-zero exit, and everything finished stays as it was."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

CHECKPOINT = "results/models/digits_8x8/resnet18/checkpoint.safetensors"
DATASET = "results/datasets/digits_8x8.npz"
COMPRESSED = "results/compressed/digits_8x8/resnet18"
LIBRARY = "results/libraries/digits_8x8/resnet18/none/local_cpu/direct-dense/untuned.so"
BUILDS = "results/builds/digits_8x8/resnet18/none/local_cpu.json"
CHECK = "results/checks/digits_8x8/resnet18/none/local_cpu.json"
# (an overlay, more of the command line; what the one line says). All of the messages:
# tests/unit/test_config.py.
CONFIGS = [
    (
        "study: {primitives: [fft]}",
        "study.primitives.0 is 'fft'; allowed: direct, gemm, spatial_pack",
    ),
    ("modles: {width: 1}", "unknown key modles in the top level; allowed: bundle, compiler, "),
    ("study: {peers: []}\nseed: 1\nstudy: {strict: true}", "the key study twice, in lines 1 and 3"),
    (
        "observations: {04: fastest_primitive}",
        "observations has the key 4, which YAML reads as a number",
    ),
    ("datasets:", "datasets is null"),
    ("seed: 20261128093000", "seed is 20261128093000; must be at most 4294967295"),
    ("datasets: {digits: {size: 28}}", "the images of digits have 28 pixels on each side; vgg16"),
    (
        "platforms: {local_cpu: {emulated: true}}",
        "has another name now: platforms.local_cpu.simulated",
    ),
]


def test_an_observation_of_no_layer_stops_before_any_job(fresh):
    file = "dlas/analysis/observations/fastest_primitive.py"
    fresh.edit(file, lambda text: text.replace("4 Algorithms and data formats", "7 Cloud"))
    done = fresh.attempt("--cores", "1", "all")
    assert done.returncode != 0
    assert f"config: layer in {file} is '7 Cloud'; allowed: 1 Datasets, " in done.stderr


@pytest.mark.parametrize(("overlay", "line"), CONFIGS)
def test_a_wrong_config_stops_before_any_job(fresh, overlay, line):
    (fresh.folder / "overlay.yaml").write_text(overlay)
    check_line(fresh, line, "--cores", "1", "all", config="overlay.yaml")


@pytest.mark.parametrize("file", ["models/ResNet34.py", "datasets/my-digits.py"])
def test_a_plugin_whose_name_cannot_be_in_paths_stops_before_any_job(fresh, file):
    there = {
        "models/ResNet34.py": "models/resnet18.py",
        "datasets/my-digits.py": "datasets/digits.py",
    }
    (fresh.folder / "dlas" / there[file]).rename(fresh.folder / "dlas" / file)
    check_line(fresh, "allowed: names of lower-case letters", "--cores", "1", "all")


def test_a_value_of_the_command_line_is_checked_as_one_of_a_file(fresh):
    nested = ("--config", "models={width: 0}")
    check_line(fresh, "models.width is 0; must be greater than 0", "--dry-run", *nested)
    fresh.planned("--config", "models={width: 0.5, training: {digits: {bfloat16: false}}}")


def check_line(project, line: str, *arguments: str, **options) -> None:
    """Check that Snakemake ends with one line that says this, before any job."""
    done = project.attempt(*arguments, **options)
    assert done.returncode != 0
    message = [one for one in done.stderr.splitlines() if line in one]
    assert len(message) == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert not (project.folder / "results").exists()


def fails(study, target: str, *said: str) -> None:
    """Check that the job of `target` fails with one line that says these things.

    Nothing but its own outputs, which lie side by side and were out of date, has changed.
    """
    before = study.artifacts()
    done = study.attempt("--cores", "1", target)
    assert done.returncode != 0
    message = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(message) == 1, done.stderr
    for part in said:
        assert part in message[0]
    assert "Traceback" not in done.stderr
    after = study.artifacts()
    changed = {name for name in before if after.get(name) != before[name]}
    assert {Path(name).parent for name in changed} <= {Path(target).parent}


def test_a_truncated_checkpoint(study):
    file = study.folder / CHECKPOINT
    file.write_bytes(file.read_bytes()[:1000])
    fails(study, f"{COMPRESSED}/none/single.json", "checkpoint", CHECKPOINT, "truncated")


def test_a_truncated_level(study):
    """The next level fails; this one and the baseline stay."""
    file = study.folder / COMPRESSED / "weight_pruning/0.5.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    before = study.artifacts()
    fails(study, f"{COMPRESSED}/weight_pruning/0.8.json", "weight_pruning/0.5.safetensors", "trunc")
    after = study.artifacts()
    for name in ("weight_pruning/0.5.json", "none/single.safetensors"):
        assert after[f"{COMPRESSED}/{name}"] == before[f"{COMPRESSED}/{name}"]


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (
            f"{COMPRESSED}/weight_pruning/0.7.json",
            "unknown level of weight_pruning '0.7'; allowed: 0.",
        ),
        (f"{COMPRESSED}/zip/summary.json", "unknown compression 'zip'; allowed: block_sparsity"),
    ],
)
def test_a_path_of_a_level_that_does_not_exist(study, target, said):
    fails(study, target, said)
    assert not (study.folder / target).exists()


def test_a_missing_checkpoint_is_trained_again_and_nothing_else(study):
    (study.folder / CHECKPOINT).unlink()
    assert study.planned(CHECKPOINT) == {"train_model": 1}


def test_a_test_set_of_the_wrong_shape(study):
    file = study.folder / DATASET
    with np.load(file) as arrays:
        content = dict(arrays)
    content["test_images"] = content["test_images"][:, :16]
    np.savez(file, **content)
    fails(study, CHECKPOINT, "test_images", DATASET, "allowed: uint8 [N, height, width, 3]")


def test_a_truncated_dataset(study):
    file = study.folder / DATASET
    file.write_bytes(file.read_bytes()[:1000])
    fails(study, CHECKPOINT, DATASET, "truncated")


def test_a_library_for_another_cpu(study):
    file = study.folder / BUILDS
    records = json.loads(file.read_text())
    other = {"kind": "llvm", "mtriple": "aarch64-linux-gnu", "mcpu": "cortex-a73"}
    records["direct-dense/untuned"]["target"] = other
    file.write_text(json.dumps(records))
    fails(
        study,
        CHECK,
        LIBRARY,
        "built for another CPU (cortex-a73)",
        "allowed: libraries built for this host",
    )


def test_a_damaged_library(study):
    """A truncated file is the disk's fault, not the configuration's."""
    (study.folder / LIBRARY).write_bytes(b"not a library")
    (study.folder / CHECK).unlink()
    fails(study, CHECK, LIBRARY, "is damaged")


def test_wrong_libraries_are_rows_with_their_error(study):
    """Logits that differ from the framework's fail the check."""
    file = study.folder / "results/networks/digits_8x8/resnet18/none/reference.npz"
    with np.load(file) as arrays:
        np.savez(file, inputs=arrays["inputs"], outputs=arrays["outputs"] * 1.01)
    for status in checked(study).values():
        assert re.fullmatch(r"wrong: largest relative error of a logit 0.\d+ > 0.0001", status)


def checked(study) -> dict[str, str]:
    """Return the statuses of a network's libraries after another check."""
    (study.folder / CHECK).unlink()
    study.snakemake("--cores", "1", CHECK)
    checks = json.loads((study.folder / CHECK).read_text())
    return {name: check["status"] for name, check in checks.items()}


def within(study, mount: str, *arguments: str):
    """Run Snakemake where other file systems lie over some folders, which it alone sees."""
    line = f"{mount} && exec {sys.executable} -m snakemake --configfile config/smoke.yaml --cores 1"
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", f'{line} "$@"', "sh"]
    return subprocess.run([*command, *arguments], cwd=study.folder, capture_output=True, text=True)


def test_a_full_disk(study):
    before = study.artifacts()
    target = f"{COMPRESSED}/none/single.json"
    mount = "mount -t tmpfs -o size=64k tmpfs results/compressed"
    done = within(study, mount, target)
    message = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    said = f"{target.replace('.json', '.safetensors')} cannot be written: No space left on device"
    assert done.returncode != 0 and message == [f"error: {said}"], done.stderr
    assert "Traceback" not in done.stderr
    assert study.artifacts() == before


def test_a_folder_of_results_that_must_not_be_written_to(fresh):
    (fresh.folder / "results").mkdir()
    mount = "mount --bind results results && mount -o remount,bind,ro results"
    target = "results/datasets/digits_8x8.npz"
    dry = within(fresh, mount, target, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    done = within(fresh, mount, target)
    message = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode != 0 and len(message) == 1, done.stderr
    assert message[0].startswith("error: results/ cannot be written to")
    assert "Traceback" not in done.stderr
