"""Bad input: one clear line, a non-zero exit, and everything finished stays as it was."""

import json
from pathlib import Path

import numpy as np
import pytest

CHECKPOINT = "results/models/digits/resnet18/checkpoint.safetensors"
DATASET = "results/datasets/digits.npz"
LIBRARY = "results/libraries/digits/resnet18/none/local_cpu/direct-dense/untuned.so"
# (file, its new content; what the line says, what it says is allowed)
CONFIGS = [
    ("study: {models: {digits: [resnet19]}}", "unknown model 'resnet19'", "resnet18"),
    ("study: {datasets: [cifar100]}", "unknown dataset 'cifar100'", "cifar10"),
    (
        "study: {primitives: [winograd]}",
        "unknown primitive 'winograd'",
        "direct, gemm, spatial_pack",
    ),
    (
        "study: {platforms: [local_tpu]}",
        "unknown platform 'local_tpu'",
        "local_cpu, local_cpu_avx2",
    ),
    ("models: {width: 0}", "models.width is 0", "greater than 0"),
    ("modles: {width: 1}", "unknown key modles", "models"),
]


@pytest.mark.parametrize(("overlay", "wrong", "allowed"), CONFIGS)
def test_a_wrong_config_stops_before_any_job(fresh, overlay, wrong, allowed):
    (fresh.folder / "overlay.yaml").write_text(overlay)
    done = fresh.attempt("--cores", "1", "all", config="overlay.yaml")
    assert done.returncode != 0
    told = [line for line in done.stderr.splitlines() if line.startswith("config: ")]
    assert len(told) == 1
    assert wrong in told[0] and allowed in told[0]
    assert "Traceback" not in done.stderr
    assert not (fresh.folder / "results").exists()


def fails(study, target: str, *said: str) -> None:
    """Check that the job of `target` fails with one line that says these things, and that nothing but
    its own outputs, which lie side by side and were out of date, has changed."""
    before = study.artifacts()
    done = study.attempt("--cores", "1", target)
    assert done.returncode != 0
    told = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(told) == 1, done.stderr
    for part in said:
        assert part in told[0]
    assert "Traceback" not in done.stderr
    after = study.artifacts()
    changed = {name for name in before if after.get(name) != before[name]}
    assert {Path(name).parent for name in changed} <= {Path(target).parent}


def test_a_truncated_checkpoint(study):
    file = study.folder / CHECKPOINT
    file.write_bytes(file.read_bytes()[:1000])
    fails(
        study,
        "results/networks/digits/resnet18/none/summary.json",
        "checkpoint",
        CHECKPOINT,
        "truncated",
    )


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
    file = study.folder / LIBRARY.replace(".so", ".json")
    record = json.loads(file.read_text())
    record["target"] = {"kind": "llvm", "mtriple": "aarch64-linux-gnu", "mcpu": "cortex-a73"}
    file.write_text(json.dumps(record))
    fails(
        study,
        LIBRARY.replace("libraries", "checks").replace(".so", ".json"),
        LIBRARY,
        "built for another CPU (cortex-a73)",
        "allowed: libraries built for this host",
    )


def test_a_damaged_library(study):
    (study.folder / LIBRARY).write_bytes(b"not a library")
    fails(
        study,
        LIBRARY.replace("libraries", "checks").replace(".so", ".json"),
        LIBRARY,
        "is damaged",
    )


def test_a_wrong_library_is_never_timed(study):
    """Logits that differ from the framework's fail the check, which names the configuration."""
    file = study.folder / "results/networks/digits/resnet18/none/reference.npz"
    with np.load(file) as arrays:
        np.savez(file, inputs=arrays["inputs"], outputs=arrays["outputs"] * 1.01)
    fails(
        study,
        LIBRARY.replace("libraries", "checks").replace(".so", ".json"),
        "digits",
        "resnet18",
        "direct",
        "convolutions",
    )
