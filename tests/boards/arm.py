"""An emulated Arm board: Debian's qemu, and an aarch64 root with Python and TVM's runtime.

Nothing is installed: packages are downloaded with the system's apt and pip, and unpacked into a
folder of their own. `python tests/boards/arm.py FOLDER` does that; what is there already stays.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from filelock import FileLock

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".boards/arm"  # what stays between two runs
EMULATOR = "qemu-user-static:amd64"
SYSTEM = (
    "libc6 libgcc-s1 libstdc++6 python3.11-minimal libpython3.11-minimal libpython3.11-stdlib "
    "libexpat1 zlib1g libffi8 libssl3 libcrypt1 libbz2-1.0 liblzma5 libuuid1"
).split()
PACKAGES = "apache-tvm apache-tvm-ffi typing-extensions ml-dtypes cloudpickle psutil numpy".split()
PYTHON = "usr/bin/python3.11"
COMPILER = "tvm/lib/libtvm_compiler.so"  # 240 MB that a board does not need
CPU = "max"  # the emulated processor: one with every extension


class UnavailableError(Exception):
    """Why there is no emulated board here."""


def give_up(error: UnavailableError) -> NoReturn:
    """End a test that cannot be run here: it is skipped, but fails in continuous integration."""
    import pytest  # not for those who serve from here by hand

    if os.environ.get("CI") == "true":
        pytest.fail(str(error))
    pytest.skip(str(error))


def set_up(folder: Path = FOLDER) -> Path:
    """Download and unpack what is missing, and return the folder; UnavailableError on failure."""
    folder.mkdir(parents=True, exist_ok=True)
    done, wanted = folder / "done", "\n".join([*SYSTEM, *pinned(PACKAGES)])
    with FileLock(folder / "lock"):  # several workers may come at once
        if not done.exists() or done.read_text() != wanted:
            _set_up(folder)
            done.write_text(wanted)
    return folder


def _set_up(folder: Path) -> None:
    for name in ("debs", "root", "site", "lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    options = {
        "APT::Architectures::": "arm64",
        "Dir::State::Lists": folder / "lists",
        "Dir::Cache": folder / "cache",
        "APT::Sandbox::User": "",
    }
    apt = ["apt-get", "--quiet", "--yes"]
    for name, value in options.items():
        apt += ["-o", f"{name}={value}"]
    run([*apt, "update"], folder)
    run([*apt, "download", EMULATOR, *(f"{name}:arm64" for name in SYSTEM)], folder / "debs")
    for package in sorted((folder / "debs").glob("*.deb")):
        place = "." if "_amd64" in package.name else "root"
        run(["dpkg-deb", "--extract", str(package), place], folder)
    run([*pip(folder), *pinned(PACKAGES)], folder)
    (folder / "site" / COMPILER).unlink(missing_ok=True)


def pip(folder: Path) -> list[str]:
    """Return the command that downloads wheels for Arm into the folder `site`."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-compile", "--no-deps", "--upgrade", "--target", str(folder / "site")]
    command += ["--only-binary", ":all:", "--implementation", "cp", "--python-version", "3.11"]
    for tag in ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014"):
        command += ["--platform", f"{tag}_aarch64"]
    for abi in ("cp311", "abi3", "none"):
        command += ["--abi", abi]
    return command


def pinned(names: list[str]) -> list[str]:
    """Return packages with the versions of requirements.txt, where it names one."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    versions = dict(line.split("#")[0].strip().split("==") for line in lines if "==" in line)
    return [f"{name}=={versions[name]}" if name in versions else name for name in names]


def run(command: list[str], folder: Path) -> None:
    """Run a command in a folder; raises UnavailableError, in one line, where it fails."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(f"no emulated Arm board: {error}") from error
    if done.returncode:
        message = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UnavailableError(f"no emulated Arm board: {' '.join(command[:2])} failed: {message}")


def python(folder: Path, *arguments: str) -> tuple[list[str], dict[str, str]]:
    """Return the command and the environment that run Python on the emulated processor."""
    root = folder / "root"
    command = [str(folder / "usr/bin/qemu-aarch64-static"), "-cpu", CPU, "-L", str(root)]
    environment = os.environ | {"PYTHONPATH": str(folder / "site"), "PYTHONHOME": str(root / "usr")}
    return [*command, str(root / PYTHON), *arguments], environment


if __name__ == "__main__":
    try:
        folder = set_up(Path(sys.argv[1]).absolute() if len(sys.argv) > 1 else FOLDER)
        command, environment = python(folder)
        names = ("PYTHONPATH", "PYTHONHOME")
        print(*(f"{name}={environment[name]}" for name in names), *command)
    except UnavailableError as error:
        sys.exit(str(error))
