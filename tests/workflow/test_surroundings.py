"""The study in odd folders, on other file systems, for other users, with settings of pip."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

from dlas import study as dlas_study
from dlas.errors import StudyError
from dlas.files import atomic_write, finish, write_text
from tests import tiny_cifar10
from tests.workflow.project import ROOT, copy, jobs_of

DATASET = "results/datasets/digits_8x8.npz"
# What shells and make read as something else.
ODD = 'it\'s a "study" (of $HOME) & more; #1 `ls` 100% *'


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command with more variables, whatever comes of it."""
    env = os.environ | environment
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)


def snakemake(*arguments: str | Path, cwd: Path, python: str | Path = sys.executable) -> str:
    """Run Snakemake to a good end, on two cores, and return what it printed."""
    done = run(python, "-m", "snakemake", "--cores", "2", *arguments, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def namespace(script: str, *arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a line of a shell that may mount file systems, which it alone sees."""
    enter = ("unshare", "--map-root-user", "--mount", "sh", "-c")
    if run(*enter, "mount -t tmpfs tmpfs /mnt", cwd=cwd).returncode:
        pytest.skip("file systems cannot be mounted here: needs user namespaces")
    return run(*enter, script, "sh", *arguments, cwd=cwd)


def as_another_user(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command with no more rights to the files of other users than anybody has."""
    if os.getuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root can run a command as another user, with setpriv")
    rights = "-dac_override,-dac_read_search,-fowner,-chown"
    return run("setpriv", "--bounding-set", rights, "--clear-groups", *command, cwd=cwd)


def give_away(folder: Path) -> None:
    """Make a folder another user's."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, 65534, 65534, follow_symlinks=False)


def line_of(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one line of a run that fails."""
    assert done.returncode != 0 and "Traceback" not in done.stderr, done.stderr
    lines = [each for each in done.stderr.splitlines() if each.startswith(("error: ", "config: "))]
    assert len(lines) == 1, done.stderr
    return lines[0]


# Set-up: `make` in a project whose one requirement is a package with the name of Snakemake.
PACKAGE = """
import json, os, sys

def main():
    python = sorted(name for name in os.environ if name.startswith("PYTHON"))
    print("RAN", json.dumps({"prefix": sys.prefix, "arguments": sys.argv[1:], "variables": python}))

if __name__ == "__main__":
    main()
"""


def write_wheel(folder: Path) -> None:
    """Write a wheel of PACKAGE, which needs another package."""
    folder.mkdir()
    for name, code in {"snakemake": PACKAGE, "needed": ""}.items():
        files = {
            f"{name}/__init__.py": "",
            f"{name}/__main__.py": code,
            f"{name}-1.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n"
            + ("Requires-Dist: needed\n" if code else ""),
            f"{name}-1.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\n"
            "Root-Is-Purelib: true\nTag: py3-none-any\n",
            f"{name}-1.dist-info/entry_points.txt": "[console_scripts]\n"
            f"{name} = {name}.__main__:main\n",
        }
        files[f"{name}-1.dist-info/RECORD"] = "".join(f"{file},,\n" for file in files)
        with zipfile.ZipFile(folder / f"{name}-1-py3-none-any.whl", "w") as wheel:
            for file, content in files.items():
                wheel.writestr(file, content)


def make(project: Path, home: Path, **environment: str) -> dict[str, object]:
    """Run `make study`; return what PACKAGE says, and what make printed before."""
    command = ("make", "study", f"PYTHON={sys.executable}")
    own = {"HOME": str(home), "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": ""}
    done = run(*command, cwd=project, **own | environment)
    assert done.returncode == 0, done.stdout + done.stderr
    before, _, said = done.stdout.partition("RAN ")
    return json.loads(said) | {"printed": before}


@pytest.fixture(scope="module")
def set_up(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    """A folder whose environment was made under settings that break one, and what `make` said."""
    base = tmp_path_factory.mktemp("set-up")
    project, elsewhere = base / "first", base / "elsewhere"
    write_wheel(base / "wheels")
    (project / "envs").mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", project)
    shutil.copy(ROOT / "envs/install.py", project / "envs")
    for file in ("requirements.txt", "requirements-test.txt"):
        (project / file).write_text("snakemake==1\n")
    elsewhere.mkdir()
    (elsewhere / "snakemake.py").write_text("raise SystemExit('the wrong one')")
    (base / "home/.config/pip").mkdir(parents=True)
    (base / "home/.config/pip/pip.conf").write_text(
        f"[global]\nno-index = true\nfind-links = {base}/wheels\ntarget = {elsewhere}\n"
        f"[install]\nuser = true\nprefix = {elsewhere}\nno-deps = true\nquiet = 3\n"
    )
    hostile = {
        "PIP_DRY_RUN": "1",
        "PIP_NO_BINARY": ":all:",
        "PIP_NO_DEPS": "1",
        "PIP_PREFIX": str(elsewhere),
        "PIP_PYTHON": str(elsewhere / "python"),
        "PIP_REQUIRE_VIRTUALENV": "1",
        "PIP_ROOT": str(elsewhere),
        "PIP_TARGET": str(elsewhere),
        "PIP_USER": "1",
        "PYTHONHOME": str(elsewhere),
        "PYTHONINSPECT": "1",
        "PYTHONOPTIMIZE": "2",
        "PYTHONPATH": str(elsewhere),
        "PYTHONSAFEPATH": "1",
        "PYTHONSTARTUP": str(elsewhere / "snakemake.py"),
        "PYTHONUSERBASE": str(elsewhere),
        "PYTHONWARNINGS": "error",
        "VIRTUAL_ENV": str(elsewhere),
        "CONDA_PREFIX": str(elsewhere),
    }
    return project, make(project, base / "home", **hostile)


def test_settings_of_python_and_pip_break_no_installation(set_up):
    """Only the place of the packages is taken from them: a folder that a pip.conf names."""
    project, said = set_up
    assert said["prefix"] == str(project / ".venv")
    assert said["variables"] == []
    assert said["arguments"] == ["all", "--cores", "all", "--logger", "dlas"]
    found = {path.name for path in (project / ".venv").glob("lib/python*/site-packages/*")}
    assert {"snakemake", "needed", "pip"} <= found
    assert [path.name for path in project.with_name("elsewhere").iterdir()] == ["snakemake.py"]


def test_an_environment_that_is_there_is_not_touched(set_up):
    project, _ = set_up
    before = (project / ".venv/pyvenv.cfg").stat().st_mtime_ns
    assert "pip install" not in make(project, project.with_name("home"))["printed"]
    assert (project / ".venv/pyvenv.cfg").stat().st_mtime_ns == before


def test_an_overlay_that_is_not_there_is_named(set_up):
    project, _ = set_up
    done = run("make", "study", "CONFIG=config/none.yaml", cwd=project)
    assert done.returncode != 0 and len(done.stderr.splitlines()) == 1
    assert "CONFIG: config/none.yaml does not exist" in done.stderr


def test_a_setting_of_pip_that_cannot_be_read_is_named(set_up, tmp_path):
    project, _ = set_up
    broken = tmp_path / "pip.conf"
    broken.write_text("no section")
    call = (sys.executable, "-I", "envs/install.py", ".venv", "requirements.txt")
    done = run(*call, cwd=project, PIP_CONFIG_FILE=str(broken))
    assert line_of(done).startswith("error: pip's settings cannot be read: ")


@pytest.mark.parametrize("original", ["there", "gone"])
def test_a_folder_that_was_copied_or_moved_runs_its_own_python(set_up, tmp_path, original):
    """Before `make` repairs the environment and after it."""
    project, _ = set_up
    first = tmp_path / "first"
    shutil.copytree(project, first, symlinks=True)
    make(first, project.with_name("home"))
    # Activating an environment in a folder such as ODD takes Python 3.11.11 or later.
    second = tmp_path / "it's a (study) & more; #1"
    if original == "there":
        shutil.copytree(first, second, symlinks=True)
    else:
        first.rename(second)
    own = str(second / ".venv")

    def prefix(*command: str) -> str:
        done = run(*command, cwd=second)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.partition("RAN ")[2])["prefix"]

    assert prefix(".venv/bin/snakemake") == own
    said = make(second, project.with_name("home"))
    assert said["prefix"] == own and "pip install" in said["printed"]
    assert "pip install" not in make(second, project.with_name("home"))["printed"]
    assert prefix(".venv/bin/snakemake") == own
    assert prefix("sh", "-c", ". .venv/bin/activate && snakemake") == own


def test_an_environment_may_be_a_link_to_a_folder_elsewhere(set_up, tmp_path):
    project, _ = set_up
    copied = tmp_path / "copied"
    shutil.copytree(project, copied, symlinks=True)
    (copied / ".venv").rename(tmp_path / "environment")
    (copied / ".venv").symlink_to(tmp_path / "environment")
    assert make(copied, project.with_name("home"))["prefix"] == str(copied / ".venv")
    assert "pip install" not in make(copied, project.with_name("home"))["printed"]
    assert (copied / ".venv").is_symlink()


def test_an_environment_whose_python_is_gone_is_made_again(set_up, tmp_path):
    project, _ = set_up
    copied = tmp_path / "copied"
    shutil.copytree(project, copied, symlinks=True)
    for python in (copied / ".venv/bin").glob("python*"):
        python.unlink()
        python.symlink_to("/usr/bin/python3.0")
    assert make(copied, project.with_name("home"))["prefix"] == str(copied / ".venv")


@pytest.mark.parametrize("name", ["a{b}", "a:b"])
def test_a_folder_in_which_nothing_works_is_refused_before_anything_is_installed(
    set_up, tmp_path, name
):
    project, _ = set_up
    folder = tmp_path / name
    shutil.copytree(project, folder, ignore=shutil.ignore_patterns(".venv"))
    done = run("make", "study", f"PYTHON={sys.executable}", cwd=folder)
    assert line_of(done).startswith(f"error: the path of the study, '{folder}', has ")
    assert not (folder / ".venv").exists()


# Folders.
def test_jobs_run_in_a_folder_whose_path_shells_read_as_something_else(tmp_path):
    project = copy(ROOT, tmp_path / ODD)
    (project.folder / ".venv").symlink_to(sys.prefix)
    snakemake(DATASET, cwd=project.folder, python=project.folder / ".venv/bin/python")
    assert (project.folder / DATASET).exists()


def test_a_folder_whose_path_snakemake_takes_for_a_pattern_is_refused(tmp_path):
    project = copy(ROOT, tmp_path / "a{b}")
    assert "a{b}', has a brace" in line_of(project.attempt("--dry-run"))


def test_the_study_runs_in_another_folder(fresh, tmp_path):
    """Results lie where the study runs, all else beside the Snakefile; overlays are the user's."""
    place = tmp_path / "place"
    place.mkdir()
    (tmp_path / "mine.yaml").write_text("seed: 5\n")
    call = ("--snakefile", fresh.folder / "Snakefile", "--configfile", "mine.yaml")
    snakemake(*call, "--directory", "place", DATASET, cwd=tmp_path)
    assert (place / DATASET).exists()
    assert not (fresh.folder / "results").exists() and not (tmp_path / "results").exists()
    again = snakemake(
        "--snakefile", "../study/Snakefile", "-n", "--config", "seed=5", "--", DATASET, cwd=place
    )
    assert "Nothing to be done" in again


def test_the_study_is_a_module_of_another_workflow(fresh, tmp_path):
    outer = tmp_path / "outer"
    outer.mkdir()
    (outer / "config.yaml").write_text("samples: 3\ndlas: {study: {tuning: [untuned]}}\n")
    module = f'module dlas:\n    snakefile: "{fresh.folder}/Snakefile"\n'
    rest = '\nuse rule * from dlas as dlas_*\nrule own:\n    input: "results/study.csv"\n'
    (outer / "Snakefile").write_text(module + rest)
    assert any(
        job.startswith("dlas_tune_network") for job in jobs_of(snakemake("-n", "own", cwd=outer))
    )
    # As the catalog of workflows has it.
    there = module.replace("Snakefile", "workflow/Snakefile")
    with_config = 'configfile: "config.yaml"\n' + there + '    config: config["dlas"]\n'
    (outer / "Snakefile").write_text(with_config + rest)
    planned = jobs_of(snakemake("-n", "own", "--config", "samples=4", cwd=outer))
    assert any(job.startswith("dlas_train_model") for job in planned)
    assert not any("tune_network" in job for job in planned)
    snakemake(DATASET, cwd=outer)
    assert (outer / DATASET).exists()


def test_paths_of_the_config_are_expanded_and_relative_to_the_folder_of_the_study(
    fresh, tmp_path, monkeypatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PICTURES", "pictures")
    (tmp_path / "pictures").mkdir()
    tiny_cifar10.archive(tmp_path / "pictures/cifar.tar.gz", tiny_cifar10.official_files())
    target = "results/datasets/cifar10.npz"
    (fresh.folder / "overlay.yaml").write_text(
        "datasets: {cifar10: {source: ~/$PICTURES/cifar.tar.gz, validation_images: 30}}\n"
    )
    fresh.snakemake("--cores", "1", target, config="overlay.yaml")
    (fresh.folder / "overlay.yaml").write_text(
        "datasets: {cifar10: {source: '../${NOWHERE}/cifar.tar.gz', validation_images: 30}}\n"
    )
    said = line_of(fresh.attempt("--cores", "1", "--forceall", target, config="overlay.yaml"))
    assert "datasets.cifar10.source: ../${NOWHERE}/cifar.tar.gz does not exist" in said
    overlay = {
        "models": {"weights": {"digits": {"vgg16": "~/vgg16.pth"}}},
        "platforms": {"local_cpu": {"linker": ["$PICTURES/ld", "-O1"]}},
    }
    config = dlas_study.load(overlay)
    assert dlas_study.weights(config, "digits", "vgg16") == f"{tmp_path}/vgg16.pth"
    assert config.platforms["local_cpu"].linker == ["pictures/ld", "-O1"]


def test_names_that_no_file_can_have_are_refused(fresh, tmp_path):
    name = "a" * 250
    (fresh.folder / "overlay.yaml").write_text(
        f"platforms: {{{name}: {{target: host, threads: 1, "
        "timing: {warmup: 1, rounds: 2, min_repeat_ms: 1}}}\n"
    )
    said = line_of(fresh.attempt("--dry-run", config="overlay.yaml"))
    assert said.startswith(f"config: platforms has the key '{name}'; allowed: names of ")
    with pytest.raises(StudyError, match="cannot be written: File name too long"):
        write_text(tmp_path / name, "")


# File systems.
def test_results_may_be_a_link_to_another_file_system(fresh):
    place = Path("/dev/shm")
    if not os.access(place, os.W_OK) or place.stat().st_dev == fresh.folder.stat().st_dev:
        pytest.skip("needs a second file system: /dev/shm")
    with tempfile.TemporaryDirectory(dir=place) as folder:
        (fresh.folder / "results").symlink_to(folder)
        fresh.snakemake("--cores", "1", DATASET)
        assert Path(folder, "datasets/digits_8x8.npz").exists()
        # A download that begins on another file system than it ends on.
        partial = fresh.folder / "partial"
        partial.write_text("content")
        finish(partial, Path(folder, "whole"))
        assert Path(folder, "whole").read_text() == "content" and not partial.exists()


KERNEL = """
import sys
from dlas.hardware.peak import arithmetic
from dlas.hardware.platforms import Platform, target
from dlas.errors import StudyError
try:
    print(arithmetic(target(Platform("local_cpu")), 1, steps=100).best() > 0)
except StudyError as error:
    sys.exit(f"error: {error}")
"""


def test_libraries_are_loaded_where_temporary_files_cannot_be_executed(tmp_path):
    working = tmp_path / "working"
    for folder in (working, tmp_path / "temporary"):
        folder.mkdir()
    python = f'TMPDIR=../temporary PYTHONPATH="{ROOT}" exec "{sys.executable}" -c "$1"'
    mount = "mount -t tmpfs -o noexec tmpfs"
    done = namespace(f"{mount} ../temporary && {python}", KERNEL, cwd=working)
    assert done.stdout == "True\n", done.stderr
    assert list(working.iterdir()) == []
    done = namespace(
        f'{mount} ../temporary && {mount} . && cd "$PWD" && {python}', KERNEL, cwd=working
    )
    assert line_of(done).endswith("allowed: TMPDIR=<a folder on another file system>")


SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int ours(const char *path) { return strstr(path, "results") != 0; }
static int refuse(void) { errno = EPERM; return -1; }

int chmod(const char *path, mode_t mode) {
    int (*real)(const char *, mode_t) = dlsym(RTLD_NEXT, "chmod");
    return ours(path) ? refuse() : real(path, mode);
}
int fchmodat(int folder, const char *path, mode_t mode, int flags) {
    int (*real)(int, const char *, mode_t, int) = dlsym(RTLD_NEXT, "fchmodat");
    return ours(path) ? refuse() : real(folder, path, mode, flags);
}
int fchmod(int file, mode_t mode) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length < 0 ? 0 : length] = 0;
    int (*real)(int, mode_t) = dlsym(RTLD_NEXT, "fchmod");
    return ours(path) ? refuse() : real(file, mode);
}
int link(const char *from, const char *to) { return refuse(); }
int linkat(int a, const char *from, int b, const char *to, int flags) { return refuse(); }
"""


def test_a_file_system_without_permissions_and_hard_links(fresh, monkeypatch):
    """As vfat, or many network file systems: it takes files and renames them, and that is all."""
    source = fresh.folder / "shim.c"
    source.write_text(SHIM)
    zig = (sys.executable, "-m", "ziglang", "cc", "-shared", "-fPIC", "-o", "shim.so", "shim.c")
    done = run(*zig, cwd=fresh.folder)
    assert done.returncode == 0, done.stderr
    monkeypatch.setenv("LD_PRELOAD", str(fresh.folder / "shim.so"))
    (fresh.folder / "results").mkdir()
    refused = run("chmod", "600", "results", cwd=fresh.folder)
    assert "Operation not permitted" in refused.stderr
    fresh.snakemake("--cores", "1", "results/exported/digits_8x8/resnet18.onnx")


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("mkdir results && mount -t tmpfs -o noexec tmpfs results", "is mounted noexec"),
        ("ln -s nowhere results", "results/ cannot be written to"),
    ],
)
def test_results_in_a_place_where_they_cannot_be(fresh, place, said):
    python = f'exec "{sys.executable}" -m snakemake --cores 1 "$1"'
    assert said in line_of(namespace(f"{place} && {python}", DATASET, cwd=fresh.folder))


# Users.
def umask() -> int:
    """Return the permissions that new files do not have."""
    found = os.umask(0o022)
    os.umask(found)
    return found


@pytest.mark.parametrize(("withheld", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_files_have_the_permissions_of_any_new_file(tmp_path, withheld, mode):
    before = os.umask(withheld)
    try:
        write_text(tmp_path / "folder/file", "content")
        with atomic_write(tmp_path / "folder/other") as temporary:
            assert temporary.stat().st_mode & 0o777 == mode
    finally:
        os.umask(before)
    assert (tmp_path / "folder/file").stat().st_mode & 0o777 == mode
    assert (tmp_path / "folder").stat().st_mode & 0o777 == mode | (mode & 0o444) >> 2


def snapshot(folder: Path) -> dict[Path, int]:
    """Return what is in a folder, except for the records of Snakemake, which it makes itself.

    Snakemake imports the logger before it reads the Snakefile, so Python writes its bytecode.
    """
    logger = folder / "snakemake_logger_plugin_dlas"
    found = (
        path
        for path in folder.rglob("*")
        if ".snakemake" not in path.parts and path != logger and logger not in path.parents
    )
    return {path: path.lstat().st_mtime_ns for path in found}


def test_a_dry_run_writes_nothing(fresh):
    before = snapshot(fresh.folder)
    fresh.planned()
    assert snapshot(fresh.folder) == before
    files = [path.name for path in (fresh.folder / ".snakemake").rglob("*") if path.is_file()]
    assert files in ([], ["latest.pkl"])


def test_another_user_looks_at_a_finished_study(fresh, tmp_path):
    fresh.snakemake("--cores", "1", DATASET)
    records = [path for path in fresh.folder.glob(".snakemake/metadata/*") if path.is_file()]
    assert records and {path.stat().st_mode & 0o777 for path in records} == {0o666 & ~umask()}
    (fresh.folder / "results/datasets").chmod(0o555)
    give_away(fresh.folder)
    before = snapshot(fresh.folder)
    call = (sys.executable, "-m", "snakemake", "--configfile", "config/smoke.yaml")
    looks = {
        "plan": (["--dry-run", DATASET], "Nothing to be done"),
        "more": (["--dry-run"], "train_model"),
        "changed": (["--dry-run", "--config", "seed=9", "--", DATASET], "rule prepare_dataset"),
        "summary": (["--summary", DATASET], "\tok\t"),
        "report": (["--report", str(tmp_path / "report.html"), DATASET], "Report created"),
    }
    for name, (arguments, said) in looks.items():
        done = as_another_user(*call, *arguments, cwd=fresh.folder)
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
        assert said in done.stdout + done.stderr, name
        assert "Traceback" not in done.stderr
    done = as_another_user(*call, "--cores", "1", "--forceall", DATASET, cwd=fresh.folder)
    assert line_of(done).startswith(f"error: {fresh.folder} cannot be written to; allowed: ")
    assert snapshot(fresh.folder) == before


def test_another_user_looks_at_a_study_without_readable_records(fresh):
    """As after a run that was killed, and in an archive that was unpacked."""
    fresh.snakemake("--cores", "1", DATASET)
    for record in (fresh.folder / ".snakemake/metadata").iterdir():
        record.chmod(0o600)
    (fresh.folder / "results/hidden").mkdir(0o700)
    give_away(fresh.folder)
    call = (sys.executable, "-m", "snakemake", "--configfile", "config/smoke.yaml", "--dry-run")
    for _ in range(2):
        done = as_another_user(*call, DATASET, cwd=fresh.folder)
        assert "Nothing to be done" in done.stdout, done.stdout + done.stderr
        shutil.rmtree(fresh.folder / ".snakemake", ignore_errors=True)
