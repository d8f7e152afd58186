"""Every example plugin of the docs: one file and one entry each, tested and run."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from safetensors.numpy import load_file

from dlas import registry
from tests.workflow.project import ROOT, Project, copy

# One worker makes the copy and runs the study.
pytestmark = pytest.mark.xdist_group("extension")

# A tiny study: what the examples do not say.
TINY = {
    "study": {"platforms": ["local_cpu"], "tuning": ["untuned"]},
    "tuning": {"select": [{"primitive": "gemm"}]},
    "models": {"width": 0.125, "training": {name: {"epochs": 1} for name in ("digits", "shapes")}},
    "compression": {"fine_tuning": {"digits": {"epochs": 1}}},
    "recommendation": {"top1_floor": {"shapes": 0}},
    "datasets": {"shapes": {"count": 100}},
}
TARGETS = (
    "results/study.csv",
    "results/peers.csv",
    "results/observations/20.json",
    "plots/observation_20.pdf",
)
# The pages with examples.
PAGES = ("how-to/extending.md", "how-to/observations.md", "tutorial/add-a-primitive.md")
FOLDERS = {registry.KINDS[kind][0]: kind for kind in registry.KINDS if kind != "format"}


@dataclass(frozen=True)
class Example:
    """A plugin of the docs: its file, the code in it and its entry in the config."""

    file: str
    code: str
    entry: str

    @property
    def kind(self) -> str:
        return FOLDERS[str(Path(self.file).parent.relative_to("dlas"))]

    @property
    def name(self) -> str:
        return Path(self.file).stem


def examples() -> dict[str, Example]:
    """Return the examples of the pages by kind."""
    found = re.findall(
        r"`(dlas/[\w/]+\.py)`:\n\n```python\n(.*?)^```$.*?^```yaml\n(.*?)^```$",
        "".join((ROOT / "docs" / page).read_text() for page in PAGES),
        re.MULTILINE | re.DOTALL,
    )
    return {example.kind: example for example in (Example(*each) for each in found)}


EXAMPLES = examples()
# Options of Snakemake: one overlay for each example.
OVERLAYS = (
    "--configfile",
    "config/smoke.yaml",
    *(f"{example.name}.yaml" for example in EXAMPLES.values()),
    "tiny.yaml",
)


def test_the_docs_have_an_example_of_each_layer():
    kinds = {"dataset", "model", "compression", "primitive", "runtime", "observation"}
    assert set(EXAMPLES) == kinds


def names_in(entry: object) -> set[str]:
    """Return every key and every text in an entry of the config."""
    if isinstance(entry, dict):
        return set(map(str, entry)).union(*map(names_in, entry.values()))
    return set().union(*map(names_in, entry)) if isinstance(entry, list) else {str(entry)}


def contents(folder: Path) -> dict[str, str]:
    """Return a hash of each file of a copy of the project that is no result."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file() and not {"__pycache__", ".snakemake", "results"} & set(file.parts)
    }


@pytest.fixture(scope="module")
def extended(tmp_path_factory) -> Project:
    """A copy of the project with all examples; each adds one file and changes none."""
    project = copy(ROOT, tmp_path_factory.mktemp("extended") / "study")
    shutil.copytree(ROOT / "tests", project.folder / "tests")
    shutil.copy2(ROOT / "pyproject.toml", project.folder)
    for example in EXAMPLES.values():
        before = contents(project.folder)
        (project.folder / example.file).write_text(example.code)
        after = contents(project.folder)
        assert after.keys() - before.keys() == {example.file}
        assert before.items() <= after.items()
    entries = {example.name: example.entry for example in EXAMPLES.values()}
    for name, entry in (entries | {"tiny": yaml.safe_dump(TINY)}).items():
        (project.folder / f"{name}.yaml").write_text(entry)
    return project


@pytest.fixture(scope="module")
def ran(extended) -> Project:
    """The same after a tiny study of all examples, without the other observations."""
    extended.snakemake(*OVERLAYS, "--cores", "2", *TARGETS, config=None)
    return extended


@pytest.mark.parametrize("kind", EXAMPLES)
def test_an_entry_names_the_plugin(kind):
    assert EXAMPLES[kind].name in names_in(yaml.safe_load(EXAMPLES[kind].entry))


def test_the_examples_pass_the_tests_of_their_kinds(extended):
    """As `make check-plugin` runs them."""
    plugins = [f"--plugin={example.kind}/{example.name}" for example in EXAMPLES.values()]
    settings = [f"--overlay={EXAMPLES[kind].name}.yaml" for kind in ("dataset", "compression")]
    command = (sys.executable, "-m", "pytest", "-q", "tests/plugins", *plugins, *settings)
    done = subprocess.run(command, cwd=extended.folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 30
    assert (extended.folder / "dlas/primitives/kn2row.py").is_file()


def test_a_peer_that_computes_something_else_fails_the_tests_of_its_kind(extended):
    file = extended.folder / EXAMPLES["runtime"].file
    sound = file.read_text()
    file.write_text(sound.replace("module(data).numpy()", "module(2 * data).numpy()"))
    command = (sys.executable, "-m", "pytest", "-q", "tests/plugins/test_runtime.py")
    option = f"--plugin=runtime/{EXAMPLES['runtime'].name}"
    done = subprocess.run([*command, option], cwd=extended.folder, capture_output=True, text=True)
    file.write_text(sound)
    assert done.returncode == 1 and "1 failed" in done.stdout, done.stdout + done.stderr


def test_an_unknown_plugin_is_named_with_those_allowed():
    for plugin, message in (
        ("primitive/fft", "unknown primitive 'fft'; allowed: direct, gemm, spatial_pack"),
        (
            "/",
            "unknown kind of plugin ''; allowed: compression, connection, dataset, format, model",
        ),
    ):
        command = (sys.executable, "-m", "pytest", "tests/plugins", "--plugin", plugin)
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 4
        assert message in done.stderr and done.stderr.strip().count("\n") == 0


def table(project: Project, name: str) -> pd.DataFrame:
    return pd.read_csv(project.folder / "results" / name, keep_default_na=False)


def test_what_the_primitive_declines_is_a_row_with_the_reason(ran):
    rows = table(ran, "study.csv")
    kn2row = rows[rows.primitive == "kn2row"]
    strided = kn2row.model == "resnet18"
    assert set(kn2row[~strided].model) == {"vgg11"} and strided.any()
    assert set(kn2row[~strided].status) == set(rows[rows.primitive == "gemm"].status) == {"ok"}
    assert kn2row[strided].status.str.startswith("unsupported: ").all()
    assert kn2row[strided].status.str.contains("only convolutions without stride and groups").all()


def test_the_data_set_the_model_and_the_technique_are_in_the_table(ran):
    rows = table(ran, "study.csv")
    rows = rows[rows.primitive == "gemm"]
    assert set(zip(rows.dataset, rows.model, strict=True)) == {
        ("digits", "resnet18"),
        ("digits", "vgg11"),
        ("shapes", "resnet18"),
    }
    sparse = rows[rows.compression == "uniform_pruning"]
    assert set(sparse.format) == {"dense", "csr"} and set(sparse.level.astype(float)) == {0.75}


def test_the_technique_leaves_the_same_share_of_each_layer(ran):
    folder = ran.folder / "results/compressed/digits/resnet18/uniform_pruning"
    for level in ("0.5", "0.75"):
        weights = load_file(folder / f"{level}.safetensors")
        for layer in ("layer1.0.conv1", "layer4.1.conv2"):
            weight = weights[f"{layer}.weight"]
            assert (weight == 0).sum() == round(float(level) * weight.size)
    summary = json.loads((folder / "summary.json").read_text())
    baseline = json.loads((folder.parent / "none/summary.json").read_text())
    assert summary["nonzero_params"] < 0.5 * baseline["params"]
    assert np.isclose(summary["macs"], baseline["macs"])


def test_the_peer_is_timed(ran):
    peers = table(ran, "peers.csv")
    own = peers[peers.runtime == "pytorch_nhwc"]
    assert len(own) == 3 and set(own.status) == {"ok"}


def test_the_observation_has_a_verdict_and_a_figure(ran):
    own = json.loads((ran.folder / "results/observations/20.json").read_text())
    assert own["n"] > 0 and not own["reason"].startswith("needs")
    assert (ran.folder / "plots/observation_20.pdf").read_bytes().startswith(b"%PDF")


def test_a_wrong_setting_of_the_technique_gives_one_line(ran):
    overlay = EXAMPLES["compression"].entry.replace("[stem, classifier]", "[stem, head]")
    (ran.folder / "wrong.yaml").write_text(overlay)
    target = "results/compressed/digits/resnet18/uniform_pruning/0.5.safetensors"
    done = ran.attempt(*OVERLAYS, "wrong.yaml", "--cores", "2", target, config=None)
    assert done.returncode != 0
    assert "error: unknown layer to exclude 'head'; allowed: " in done.stderr


def test_only_the_jobs_of_a_new_technique_run(study):
    """The network is trained already, and the other techniques have no part in it."""
    example = EXAMPLES["compression"]
    (study.folder / example.file).write_text(example.code)
    (study.folder / "overlay.yaml").write_text(example.entry)
    target = "results/compressed/digits_8x8/resnet18/uniform_pruning/curve.csv"
    calls = (target, "--configfile", "config/smoke.yaml", "overlay.yaml")
    assert study.planned(*calls, config=None) == {"compress_model": 2, "choose_level": 1}
