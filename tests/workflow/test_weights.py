"""Weights from a file replace training; published ones are downloaded from this machine."""

import hashlib
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from dlas import models
from dlas.models import checkpoint, training
from tests.mirror import serving

FOLDER = "results/models/digits_8x8/resnet18"
POINT = "results/compressed/digits_8x8/resnet18/none/single.json"
CALL = ("--configfile", "config/smoke.yaml", "overlay.yaml", "--cores", "1")


def overlay(project, weights: str) -> None:
    text = f"models: {{weights: {{digits_8x8: {{resnet18: {weights}}}}}}}\n"
    (project.folder / "overlay.yaml").write_text(text)


def message_of(project, *targets: str) -> str:
    done = project.attempt(*CALL, *targets, config=None)
    assert done.returncode != 0 and "Traceback" not in done.stderr
    (line,) = [
        line for line in done.stderr.splitlines() if line.startswith(("error: ", "config: "))
    ]
    return line


def network(seed: int = 5, width: float = 0.125):
    return models.build("resnet18", 10, width, "small_input", seed)


def test_a_file_of_the_users_takes_the_place_of_a_training(fresh):
    file = fresh.folder / "mine.safetensors"
    checkpoint.save(network(), file)
    overlay(fresh, "mine.safetensors")
    loading = {"load_weights": 1, "compress_model": 1}
    assert fresh.planned(*CALL, POINT, config=None) == loading | {"prepare_dataset": 1}
    fresh.snakemake(*CALL, POINT, config=None)
    loaded = load_file(fresh.folder / FOLDER / "checkpoint.safetensors")
    assert all(torch.equal(loaded[name], one) for name, one in network().state_dict().items())
    history = (fresh.folder / FOLDER / "history.csv").read_text()
    assert history.splitlines() == [",".join(training.HISTORY)]
    assert "Nothing to be done" in fresh.snakemake(*CALL, POINT, config=None)

    # A training instead, then another content of the file.
    overlay(fresh, "train")
    assert fresh.planned(*CALL, POINT, config=None) == {"train_model": 1, "compress_model": 1}
    overlay(fresh, "mine.safetensors")
    checkpoint.save(network(seed=6), file)
    assert fresh.planned(*CALL, POINT, config=None) == loading

    # Whatever is wrong is reported before anything is touched, or in one line of the job.
    before = fresh.artifacts()
    overlay(fresh, "none.pth")
    said = message_of(fresh, POINT)
    assert said.startswith(
        "error: models.weights.digits_8x8.resnet18: none.pth does not exist; allowed"
    )
    overlay(fresh, "imagenet1k")
    assert message_of(fresh, POINT).startswith(
        "config: models.weights.digits_8x8.resnet18 is imagenet1k: "
    )
    assert fresh.artifacts() == before
    torch.save(network(width=0.25).state_dict(), fresh.folder / "mine.pth")
    overlay(fresh, "mine.pth")
    assert "the checkpoint mine.pth is of another model" in message_of(fresh, POINT)
    after = fresh.artifacts()
    changed = {name for name in before if after.get(name) != before[name]}
    assert changed == {f"{FOLDER}/checkpoint.safetensors", f"{FOLDER}/history.csv"}


def changed(name: str, value: float) -> dict[str, torch.Tensor]:
    """Return the weights of a network, all values of one tensor changed."""
    tensors = network().state_dict()
    tensors[name] = torch.full_like(tensors[name], value)
    return tensors


# A negative variance is a finite number, but its root is none.
@pytest.mark.parametrize(
    ("value", "said"),
    [
        (float("nan"), "layer4.1.bn2.running_var in the checkpoint mine.safetensors: 64 of 64"),
        (-1.0, "logits of the framework are not finite"),
    ],
)
def test_weights_that_compute_no_numbers_end_in_one_line(fresh, value, said):
    save_file(changed("layer4.1.bn2.running_var", value), fresh.folder / "mine.safetensors")
    overlay(fresh, "mine.safetensors")
    assert message_of(fresh, POINT).startswith(f"error: {said}")
    assert not (fresh.folder / POINT).exists()


def test_a_network_that_ignores_its_images_is_not_built(fresh):
    """All logits are the classifier's bias, which a library that ignores them would share."""
    save_file(changed("fc.weight", 0.0), fresh.folder / "mine.safetensors")
    overlay(fresh, "mine.safetensors")
    found = {}
    for name in ("none", "int8"):
        target = f"results/checks/digits_8x8/resnet18/{name}/local_cpu.json"
        fresh.snakemake(*CALL, target, config=None)
        checks = json.loads((fresh.folder / target).read_text())
        assert len(checks) == 3
        found |= {(name, library): check["status"] for library, check in checks.items()}
    assert set(found.values()) == {
        "failed: the framework's logits are the same for all 8 images, so no library can be checked"
    }
    assert not list(fresh.folder.glob("results/libraries/**/*.so"))


def test_levels_whose_fine_tuning_diverges_are_not_chosen(fresh):
    """The second level starts from the first, so it has the same reason."""
    checkpoint.save(network(), fresh.folder / "mine.safetensors")
    overlay(fresh, "mine.safetensors")
    with open(fresh.folder / "overlay.yaml", "a") as file:
        file.write("compression: {fine_tuning: {digits_8x8: {learning_rate: 1.0e+30}}}\n")
    folder = "results/compressed/digits_8x8/resnet18/weight_pruning"
    fresh.snakemake(*CALL, f"{folder}/summary.json", config=None)
    for level in ("0.5", "0.8"):
        point = json.loads((fresh.folder / folder / f"{level}.json").read_text())
        assert point["status"].startswith("failed: training diverged in epoch 1: the loss is ")
        assert point["top1"] is point["validation_top1"] is None
    summary = json.loads((fresh.folder / folder / "summary.json").read_text())
    assert summary["level"] == 0 and summary["status"] == "ok" and summary["top1"] >= 0


def test_published_weights_are_downloaded(fresh, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    content = b"weights"
    target = "results/downloads/resnet50.pth"
    with serving(content, "truncated") as mirror:
        published = f'return "{mirror.url}", "{hashlib.sha256(content).hexdigest()[:8]}"'
        fresh.edit(
            "dlas/models/weights.py", lambda text: text.replace("return url, digits[1]", published)
        )
        fresh.snakemake("--cores", "1", target, config="config/paper.yaml")
    assert len(mirror.asked) == 2 and (fresh.folder / target).read_bytes() == content
    done = fresh.attempt("results/downloads/vgg16.pth", "-n", config="config/paper.yaml")
    assert "error: unknown model with imagenet1k weights 'vgg16'; allowed: " in done.stderr
