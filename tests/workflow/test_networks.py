"""Networks that are made once and measured on several machines: an archive instead of trainings."""

import shutil

import pytest
import yaml

from tests.workflow.project import ROOT, Project, copy

STUDY = {
    "datasets": ["digits_8x8"],
    "models": {"digits_8x8": ["resnet18"]},
    "compression": ["none", "weight_pruning"],
    "primitives": ["gemm"],
    "formats": ["dense"],
    "tuning": ["untuned"],
    "platforms": ["local_cpu"],
    "peers": [],
}
LEVELS = {"techniques": {"weight_pruning": {"levels": [0.5]}}}
CHOSEN = "results/compressed/digits_8x8/resnet18/{}/chosen.safetensors"
ARCHIVE = {"models": {"archive": "networks.zip"}}


def overlay(project, config=None):
    files = {"one.yaml": {"study": STUDY, "compression": LEVELS}, "two.yaml": config or {}}
    for name, content in files.items():
        (project.folder / name).write_text(yaml.safe_dump(content))
    return "--configfile", "config/smoke.yaml", *files


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A project that has trained and pruned one network, with its archive."""
    project = copy(ROOT, tmp_path_factory.mktemp("networks") / "study")
    project.snakemake("--cores", "2", "results/networks.zip", *overlay(project), config=None)
    return project


@pytest.fixture
def other(packed, fresh) -> Project:
    """A project on another machine, which has the archive."""
    shutil.copy(packed.folder / "results/networks.zip", fresh.folder)
    return fresh


def test_networks_of_an_archive_are_measured_as_they_are(packed, other):
    files = overlay(other, ARCHIVE)
    targets = ["results/study.csv", "results/provenance.json", "results/accuracy_curves.csv"]
    targets += ["results/answers.npz"]
    planned = other.planned(*targets, *files, config=None)
    assert planned["unpack_network"] == 2
    assert not planned.keys() & {"train_model", "compress_model", "choose_level"}
    other.snakemake("--cores", "2", *targets, *files, config=None)
    for name in ("none", "weight_pruning"):
        one, two = (each.folder / CHOSEN.format(name) for each in (packed, other))
        assert one.read_bytes() == two.read_bytes()
    answers = "results/answers.npz"
    assert (packed.folder / answers).read_bytes() == (other.folder / answers).read_bytes()
    assert ",ok\n" in (other.folder / "results/study.csv").read_text()
    traced = (other.folder / "results/provenance.json").read_text()
    assert '"networks.zip"' in traced and "unpack_network" in traced
    # A copy of the archive is no other archive; fewer networks are no reason to make others again.
    shutil.copy(packed.folder / "results/networks.zip", other.folder)
    assert other.planned(*targets, *files, config=None) == {}
    # The networks can be made here after all.
    assert "train_model" in other.planned(*targets, *overlay(other), config=None)


def test_an_archive_that_does_not_fit_stops_before_any_job(other):
    def stops(config, said):
        done = other.attempt("--cores", "1", "all", *overlay(other, config), config=None)
        assert done.returncode != 0 and "Traceback" not in done.stderr
        lines = [line for line in done.stderr.splitlines() if said in line]
        assert len(lines) == 1 and "models.archive" in lines[0], done.stderr
        assert not (other.folder / "results").exists()

    gone = {"models": {"archive": "gone.zip"}}
    stops(gone, "gone.zip: it does not exist; allowed: what `make networks` wrote")
    wide = {"models": {"archive": "networks.zip", "width": 1}}
    stops(wide, "networks.zip: models.width was 0.125, here it is 1")
    more = ARCHIVE | {"study": {"compression": ["none", "weight_pruning", "int8"]}}
    stops(more, "networks.zip: it lacks digits_8x8/resnet18/int8/chosen.safetensors")


def test_networks_that_were_tested_on_other_images_are_refused(other):
    files = overlay(other, ARCHIVE | {"seed": 1})
    done = other.attempt("--cores", "1", "results/answers.npz", *files, config=None)
    assert done.returncode != 0
    assert "the archived networks were tested on other images of digits_8x8" in done.stderr
