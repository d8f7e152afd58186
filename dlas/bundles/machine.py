"""The published facts of a machine: processor, system and versions, without host or user names."""

import getpass
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dlas.bundles.form import SCHEMA
from dlas.errors import StudyError
from dlas.hardware import cpus

_ROOT = Path(__file__).parents[2]
_CPUINFO, _CACHES = Path("/proc/cpuinfo"), Path("/sys/devices/system/cpu/cpu0/cache")
_HOME = re.compile(r"(/home|/root|/Users)\b[^\s'\",;:]*")
_ADDRESS = re.compile(r"(?<![\w.])\d{1,3}(\.\d{1,3}){3}(?![\w.])")
# Versions look like addresses.
_VERSIONS = ("kernel", "versions")
_PACKAGES = ("python", "tvm", "tvm_ffi", "torch", "numpy")


def describe(
    name: str, here: bool, target: Mapping[str, Any], probe: Mapping[str, Any], traced: Any
) -> dict[str, Any]:
    """Return machine.json of a platform.

    Parameters
    ----------
    name : str
        The platform's name.
    here : bool
        Whether it is this machine; what the system says of another one is not known.
    target, probe : mapping
        The platform's records in results/targets/ and results/platforms/.
    traced : mapping
        The study's results/provenance.json.

    Raises
    ------
    StudyError
        If this machine is not the one that was measured.
    """
    cpu: dict[str, Any] = {"model": probe["cpu_model"], "cores": probe.get("cores")}
    cpu["governor"] = probe.get("governor")
    if here:
        if probe["cpu_model"] not in (None, cpus.cpu_model()):
            raise StudyError(
                f"{name} was measured on {probe['cpu_model']!r}, this is {cpus.cpu_model()!r}; "
                "allowed: to pack on the machine that measured"
            )
        cpu |= {"model": cpus.cpu_model(), "threads": os.cpu_count(), "caches": _caches()}
        cpu |= _from_cpuinfo() | {"memory_bytes": cpus.memory_bytes()}
    jobs = _jobs(name, traced)
    timings = [job for job in jobs if job["rule"].startswith("time_libraries")]
    if not timings:
        raise StudyError(f"{name} has no timings; allowed: a platform that was measured")
    versions = {key: value for job in jobs for key, value in job["versions"].items()}
    return {
        "schema": SCHEMA,
        "platform": name,
        "measured": max(job["finished"] for job in timings)[:10],
        "cpu": cpu,
        "kernel": re.split(r"-with-", timings[0]["machine"]["system"])[0] if here else None,
        "versions": {key: versions[key] for key in _PACKAGES if key in versions},
        "commit": commit(),
        "threads": target["threads"],
        "target": {key: target[key] for key in ("target", "native")},
        "probe": dict(probe),
    }


def _jobs(name: str, traced: Any) -> list[dict[str, Any]]:
    """Return the records of all jobs that made rows of a platform."""
    made = {job for row in traced["rows"] if row["platform"] == name for job in row["made_by"]}
    return [traced["jobs"][job] for job in sorted(made) if traced["jobs"][job]]


def commit() -> str | None:
    """Return the commit of the project, or None in a copy without Git."""
    return commit_of(_ROOT) if (_ROOT / ".git").exists() else None


def commit_of(folder: Path) -> str | None:
    """Return the commit of the checkout that a folder is in, with "-dirty" if files differ."""
    if not shutil.which("git"):
        return None
    described = "describe --always --dirty --exclude=* --abbrev=12".split()
    command = ["git", "-C", str(folder), *described]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() or None


def _from_cpuinfo() -> dict[str, Any]:
    try:
        lines = _CPUINFO.read_text().splitlines()
    except OSError:
        lines = []
    facts = {
        key.strip(): value.split() for key, _, value in (line.partition(":") for line in lines)
    }
    flags = facts.get("flags", facts.get("Features", []))
    virtual = "a virtual machine" if "hypervisor" in flags else "none seen"
    return {"instruction_sets": sorted(flags), "virtualization": virtual if flags else "unknown"}


def _caches() -> list[str]:
    """Return the caches of the first core: "L1 Data 48K"."""
    found = []
    for cache in sorted(_CACHES.glob("index*")):
        try:
            facts = [(cache / name).read_text().strip() for name in ("level", "type", "size")]
        except OSError:
            continue
        found.append("L" + " ".join(facts))
    return found


def private(text: str, addresses: bool = True) -> str | None:
    """Return the part of a text that is not to be published, None without one.

    It is a folder of a user, an address, or the name of this machine or of its user.
    """
    found = (pattern.search(text) for pattern in _patterns(addresses))
    return next((each[0] for each in found if each), None)


def cleaned(text: str) -> str:
    """Return a text without its private parts."""
    for pattern in _patterns():
        text = pattern.sub("...", text)
    return text


def _patterns(addresses: bool = True) -> list[re.Pattern[str]]:
    try:
        user = {getpass.getuser()}
    except (KeyError, OSError):
        user = set()
    names = {platform.node(), platform.node().partition(".")[0], *user} - {"", "localhost"}
    own = [re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])") for name in sorted(names)]
    return [_HOME, *([_ADDRESS] if addresses else []), *own]


def private_leaves(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Yield the dotted key of each private text in a JSON value, and the private part."""
    pairs: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        pairs = value.items()
    elif isinstance(value, list):
        pairs = enumerate(value)
    elif isinstance(value, str):
        found = private(value, place.partition(".")[0] not in _VERSIONS)
        yield from [(place, found)] if found else []
    for key, inner in pairs:
        yield from private_leaves(inner, f"{place}.{key}" if place else str(key))
