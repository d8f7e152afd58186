"""The package `dlas`, its version, the generated environments, and the community's files."""

import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PARTS = ("pyproject.toml", "README.md", "LICENSE", "requirements.txt")
PACKAGES = ("dlas", "snakemake_logger_plugin_dlas")
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the project."""
    source = tmp_path_factory.mktemp("source")
    for part in PARTS:
        shutil.copy2(ROOT / part, source)
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, source / package, ignore=ignored)
    offline = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet")
    command = (sys.executable, "-m", "pip", "wheel", *offline, "--wheel-dir", "wheels", ".")
    done = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = (source / "wheels").iterdir()
    assert built.name == f"dlas-{VERSION}-py3-none-any.whl"
    return built


def test_the_wheel_has_every_file_of_the_package(wheel):
    packed = set(zipfile.ZipFile(wheel).namelist())
    own = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert {name for name in packed if ".dist-info/" not in name} == own


def test_the_wheel_needs_what_the_study_needs(wheel):
    archive = zipfile.ZipFile(wheel)
    metadata = archive.read(f"dlas-{VERSION}.dist-info/METADATA").decode()
    needed = re.findall(r"^Requires-Dist: (\S+)$", metadata, re.MULTILINE)
    pins = re.findall(r"^[\w.-]+==[\w.]+", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert pins and sorted(needed) == sorted(pins)


USE = """
import json, sys
from pathlib import Path
import dlas, snakemake_logger_plugin_dlas
from dlas import registry
from dlas.analysis import explore, published
from dlas.config import documentation

assert Path(dlas.__file__).is_relative_to(sys.argv[1])
assert "direct" in registry.names("primitive")
assert documentation.schema() == json.loads(Path(sys.argv[2]).read_text())
"""


def test_an_unpacked_wheel_is_the_package(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    schema = ROOT / "config/schema.json"
    done = subprocess.run(
        (sys.executable, "-P", "-c", USE, tmp_path, schema),
        cwd="/",
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_the_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert str(citation["version"]) == VERSION
    released = re.search(
        r"^## \[(\d\S*)\] - (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE
    )
    assert released and released.groups() == (VERSION, str(citation["date-released"]))


def test_the_catalog_of_snakemake_workflows_finds_what_it_asks_for():
    """Its standardized usage: a Snakefile in workflow/, a page on the config, and a description."""
    assert 'include: "../Snakefile"' in (ROOT / "workflow/Snakefile").read_text()
    page = (ROOT / "config/README.md").read_text()
    overlays = {file.name for file in ROOT.glob("config/*.yaml")}
    assert set(re.findall(r"^\| `(\w+\.yaml)` \|", page, re.MULTILINE)) == overlays
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage.keys() == {"mandatory-flags", "software-stack-deployment", "report"}
    assert usage["mandatory-flags"].keys() == {"desc", "flags"}
    assert usage["software-stack-deployment"] == {"conda": True} and usage["report"] is True


COMMUNITY = [
    *(ROOT / name for name in ("CONTRIBUTING.md", "SECURITY.md", ".pre-commit-config.yaml")),
    *sorted(path for path in (ROOT / ".github").rglob("*") if path.is_file()),
]


@pytest.mark.parametrize("file", COMMUNITY, ids=lambda file: file.name)
def test_pages_for_contributors_name_what_exists(file):
    text = file.read_text()
    rules = set(re.findall(r"^([a-z-]+):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE))
    called = re.findall(r"(?:^|`|run: |entry: )make ([a-z -]+)", text, re.MULTILINE)
    assert {target for one in called for target in one.split()} <= rules
    paths = re.findall(r"\]\((?!https?:)([^)#]+)|`((?:dlas|tests|config|envs)/[\w./]+)`", text)
    missing = {link or path for link, path in paths if not (ROOT / (link or path)).exists()}
    assert not missing
    if file.suffix in {".yml", ".yaml"}:
        assert yaml.safe_load(text)


def load(name: str):
    """Import a script of envs/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"envs/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_environments_are_those_of_the_requirements():
    found = {file.stem: file.read_text() for file in ROOT.glob("envs/*.yaml")}
    requirements = (ROOT / "requirements.txt").read_text()
    assert found == load("generate").environments(requirements), "make environments"
    for content in found.values():
        *conda, pip = yaml.safe_load(content)["dependencies"]
        assert conda == ["python >=3.11", "pip"] and pip["pip"]
    # A comment in another form would be ignored.
    assert all(
        re.match(r"[\w.-]+==[\w.]+  # envs: ", line)
        for line in requirements.splitlines()
        if "# envs:" in line
    )
    with pytest.raises(ValueError, match="numpy==1: unknown environment x; allowed: compiling, "):
        load("generate").environments("numpy==1  # envs: x\n")
