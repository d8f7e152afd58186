"""What is not on disk is downloaded by a job of its own, here from mirrors on this machine."""

import hashlib

import numpy as np
import pytest
import yaml

from dlas import datasets
from dlas.download import CHUNK_BYTES
from tests.mirror import serving
from tests.tiny_cifar10 import archive, official_files
from tests.workflow.comparing import wait_until
from tests.workflow.project import Project

DATASET = "results/datasets/cifar10.npz"
ARCHIVE = "results/downloads/cifar10.tar.gz"
BOTH = {"download_archive": 1, "prepare_dataset": 1}


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def content(tmp_path) -> bytes:
    archive(tmp_path / "made.tar.gz", official_files())
    return (tmp_path / "made.tar.gz").read_bytes()


def configured(project: Project, content: bytes, *mirrors: str, **others: object) -> str:
    """Write an overlay with the data set and return its name."""
    settings = {
        "source": "download",
        "mirrors": list(mirrors),
        "sha256": hashlib.sha256(content).hexdigest(),
        "validation_images": 30,
    }
    overlay = {"datasets": {"cifar10": settings | others}}
    (project.folder / "overlay.yaml").write_text(yaml.safe_dump(overlay))
    return "overlay.yaml"


def test_a_data_set_is_downloaded_once_and_prepared(fresh, content, tmp_path):
    with serving(content, 503, "truncated") as mirror:
        config = configured(fresh, content, "http://127.0.0.1:9/file", mirror.url)
        assert fresh.planned(DATASET, config=config) == BOTH
        fresh.snakemake("--cores", "1", DATASET, config=config)
        assert len(mirror.asked) == 3
        assert "Nothing to be done" in fresh.snakemake("--cores", "1", DATASET, config=config)
        assert len(mirror.asked) == 3
    assert (fresh.folder / ARCHIVE).read_bytes() == content
    assert [*(fresh.folder / "results/resume/downloads").iterdir()] == []
    found = datasets.load(fresh.folder / DATASET)
    assert [len(getattr(found, name).labels) for name in datasets.SPLITS] == [70, 30, 20]

    def planned(**changes):
        mirrors = changes.pop("mirrors", ["http://127.0.0.1:9/file", mirror.url])
        return fresh.planned(DATASET, config=configured(fresh, content, *mirrors, **changes))

    # The checksum says what the archive is, wherever it comes from.
    assert planned(mirrors=["https://example.org/other"]) == {}
    assert planned(sha256="0" * 64) == BOTH
    assert planned(validation_images=40) == {"prepare_dataset": 1}
    assert planned(source=str(tmp_path / "made.tar.gz")) == {"prepare_dataset": 1}
    # What is prepared needs it no more.
    (fresh.folder / ARCHIVE).unlink()
    assert planned() == {}


def test_no_mirror_has_it(fresh, content):
    with serving(content, *[404] * 3) as first, serving(content, "wrong") as second:
        config = configured(fresh, content, first.url, second.url)
        done = fresh.attempt("--cores", "1", DATASET, config=config)
    assert done.returncode != 0
    told = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(told) == 1 and "Traceback" not in done.stderr
    assert f"error: cifar10.tar.gz cannot be downloaded: {first.url}: 404 Client Error" in told[0]
    assert f"; {second.url}: wrong checksum: " in told[0]
    assert not [*(fresh.folder / "results/downloads").glob("*")]
    assert not (fresh.folder / DATASET).exists()


def test_a_download_whose_workflow_is_killed_goes_on(fresh):
    content = np.random.default_rng(0).bytes(100_000)
    partial = fresh.folder / "results/resume/downloads/cifar10.tar.gz"
    half = len(content) // 2
    with serving(content, "stalled") as mirror:
        config = configured(fresh, content, mirror.url)
        with fresh.started("--cores", "1", ARCHIVE, config=config):
            wait_until(lambda: partial.exists() and partial.stat().st_size > half - CHUNK_BYTES)
        assert not (fresh.folder / ARCHIVE).exists()
        fresh.snakemake("--cores", "1", ARCHIVE, config=config)
    first, second = mirror.asked
    assert first is None and second.startswith("bytes=")
    assert (fresh.folder / ARCHIVE).read_bytes() == content


def test_a_folder_on_disk_is_read_without_a_download(fresh, content):
    folder = fresh.folder / "data/cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for name, part in official_files().items():
        (folder / name).write_bytes(part)
    config = configured(fresh, content, "http://127.0.0.1:9/file", source="data")
    assert fresh.planned(DATASET, config=config) == {"prepare_dataset": 1}
    fresh.snakemake("--cores", "1", DATASET, config=config)
    assert len(datasets.load(fresh.folder / DATASET).test.labels) == 20
