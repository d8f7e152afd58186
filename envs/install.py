"""Make or repair the environment of the study, and install requirements in it.

    python3 -I envs/install.py .venv requirements.txt

Settings of the user for pip or Python change only where packages come from and how pip reaches
them. The environment works from any folder that it is moved or copied to.
"""

import configparser
import os
import subprocess
import sys
from pathlib import Path

# All other settings of pip could put packages elsewhere, leave some out, or take other ones.
KEPT = {
    "cache-dir",
    "cert",
    "client-cert",
    "constraint",
    "default-timeout",
    "extra-index-url",
    "find-links",
    "index-url",
    "keyring-provider",
    "no-cache-dir",
    "no-index",
    "proxy",
    "retries",
    "timeout",
    "trusted-host",
}

# pip writes the environment's folder into its scripts.
SNAKEMAKE = """#!/bin/sh
exec "$(dirname "$(readlink -f "$0")")/python" -P -m snakemake "$@"
"""


def pip_settings(environment: Path) -> dict[str, str]:
    """Return the settings of pip that are kept, as variables, from the places that pip reads."""
    own, home = os.environ.get("PIP_CONFIG_FILE", ""), Path("~").expanduser()
    shared = os.environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(os.pathsep)
    files = [*(Path(folder, "pip/pip.conf") for folder in shared), Path("/etc/pip.conf")]
    if not own or not Path(own).exists():
        config = os.environ.get("XDG_CONFIG_HOME") or home / ".config"
        files += [home / ".pip/pip.conf", Path(config, "pip/pip.conf")]
    files += [environment / "pip.conf", *([Path(own)] if own else [])]
    parser = configparser.RawConfigParser()
    try:
        parser.read([] if own == os.devnull else files)
    except (configparser.Error, UnicodeDecodeError) as error:
        sys.exit(f"error: pip's settings cannot be read: {' '.join(str(error).split())}")
    found = [
        item for name in ("global", "install") if name in parser for item in parser.items(name)
    ]
    found += [(name[4:], value) for name, value in os.environ.items() if name.startswith("PIP_")]
    named = {name.lower().replace("_", "-"): value for name, value in found if value}
    return {
        f"PIP_{name.upper().replace('-', '_')}": value
        for name, value in named.items()
        if name in KEPT
    }


def run(*command: str | Path, **variables: str) -> None:
    """Run a command without the user's settings of pip and Python, or exit with its status."""
    own = {
        name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))
    }
    done = subprocess.run(command, env=own | {"PIP_CONFIG_FILE": os.devnull} | variables)
    if done.returncode:
        sys.exit(done.returncode)


def works(*command: str | Path) -> bool:
    """Return whether a command can be run and ends well."""
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        return False


def main(environment: Path, requirements: str) -> None:
    """Make or repair the environment, and install a file of requirements in it."""
    # As in the Snakefile.
    if {*"{}:\n"} & {*str(Path.cwd())}:
        sys.exit(
            f"error: the path of the study, {str(Path.cwd())!r}, has a brace, a colon "
            "or a line break; allowed: any other character"
        )
    python, made_here = environment / "bin/python", (environment / "pyvenv.cfg").exists()
    if not works(python, "-I", "-c", ""):
        run(sys.executable, "-I", "-m", "venv", *(["--clear"] if made_here else []), environment)
    elif made_here:
        # Its scripts name its folder, which may be another one by now.
        run(python, "-I", "-m", "venv", "--without-pip", environment.resolve())
    if not works(python, "-I", "-c", "import pip"):
        run(python, "-I", "-m", "ensurepip")
    quiet = ("--quiet", "--no-compile", "--disable-pip-version-check")
    pip = (python, "-I", "-m", "pip", "install", *quiet, "--requirement", requirements)
    # pip itself says nothing for minutes.
    print(
        f"pip install of {requirements} into {environment}: minutes, most of them for PyTorch",
        flush=True,
    )
    run(*pip, **pip_settings(environment))
    if (script := environment / "bin/snakemake").exists():
        script.write_text(SNAKEMAKE)
    # The Makefile compares it.
    place = f"{environment.resolve()} {python.resolve()}\n"
    (environment / "place").write_text(place)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
