"""Archives of networks: trained and compressed once, measured on several machines.

An archive is a zip file, not compressed. Each network has three files, DATASET/MODEL/COMPRESSION/
with chosen.safetensors, summary.json and curve.csv, as `choose_level` wrote them. answers.npz has
the answers of all levels. manifest.json has the settings that the networks depend on, and the
SHA-256 of each file.
"""

import hashlib
import json
import shutil
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dlas.errors import StudyError
from dlas.files import atomic_write

SCHEMA = 1
MANIFEST, ANSWERS = "manifest.json", "answers.npz"
FILES = {"chosen": "chosen.safetensors", "summary": "summary.json", "curve": "curve.csv"}


def pack(
    path: str | Path,
    settings: Mapping[str, Any],
    networks: Mapping[str, Mapping[str, str]],
    answers: str | Path,
) -> None:
    """Write an archive; equal networks give equal bytes.

    Parameters
    ----------
    path : path
        The archive.
    settings : mapping
        What `check` compares.
    networks : mapping of str to mapping
        By "dataset/model/compression" the paths of its files, by the keys of FILES.
    answers : path
        The study's answers.npz.
    """
    members = {
        f"{network}/{name}": Path(files[kind])
        for network, files in sorted(networks.items())
        for kind, name in FILES.items()
    }
    members[ANSWERS] = Path(answers)
    manifest = {
        "schema": SCHEMA,
        "settings": settings,
        "files": {name: _sha256(file.read_bytes()) for name, file in members.items()},
    }
    with atomic_write(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        archive.writestr(zipfile.ZipInfo(MANIFEST), json.dumps(manifest, indent=2) + "\n")
        for name, file in members.items():
            with file.open("rb") as source, archive.open(zipfile.ZipInfo(name), "w") as target:
                shutil.copyfileobj(source, target)


def check(path: str, settings: Mapping[str, Any], networks: Iterable[Mapping[str, str]]) -> None:
    """Check before any job that an archive has the networks of a study.

    Parameters
    ----------
    path : str
        The archive.
    settings : mapping
        "width", and by name the "datasets" and "compressions" that take part.
    networks : iterable of mapping
        The dataset, model and compression of each.

    Raises
    ------
    StudyError
        If the archive is missing or damaged, was made with other settings, or lacks a network.
    """
    manifest = _manifest(path)
    theirs = manifest["settings"]
    if theirs["width"] != settings["width"]:
        raise _error(path, f"models.width was {theirs['width']}, here it is {settings['width']}")
    for network in networks:
        name = "/".join(network[kind] for kind in ("dataset", "model", "compression"))
        if missing := [file for file in _members(name).values() if file not in manifest["files"]]:
            raise _error(
                path,
                f"it lacks {missing[0]}; allowed: an archive with every network of the study",
            )
        for kind in ("dataset", "compression"):
            before, now = (each[f"{kind}s"].get(network[kind]) for each in (theirs, settings))
            if before != now:
                raise _error(path, f"{kind} {network[kind]} was {before}, here it is {now}")


def unpack(path: str, network: str, outputs: Mapping[str, str]) -> None:
    """Write the files of a network to `outputs`, by the keys of FILES.

    Raises
    ------
    StudyError
        For an archive that is damaged, or a file that was changed after it was packed.
    """
    contents = {kind: read(path, name) for kind, name in _members(network).items()}
    for kind, content in contents.items():
        with atomic_write(outputs[kind]) as temporary:
            temporary.write_bytes(content)


def read(path: str, name: str) -> bytes:
    """Return a file of an archive; raise StudyError if it was changed after it was packed."""
    expected = _manifest(path)["files"].get(name)
    try:
        with zipfile.ZipFile(path) as archive:
            content = archive.read(name)
    except (OSError, KeyError, zipfile.BadZipFile, NotImplementedError) as error:
        raise _error(path, f"{name} is missing or damaged: {error}") from error
    if _sha256(content) != expected:
        raise _error(path, f"{name} was changed after it was packed: {MANIFEST} has another hash")
    return content


def digest(path: str) -> str:
    """Return a hash of the content of an archive, made from its manifest."""
    return _sha256(json.dumps(_manifest(path), sort_keys=True).encode())


def _members(network: str) -> dict[str, str]:
    return {kind: f"{network}/{name}" for kind, name in FILES.items()}


def _manifest(path: str) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            manifest = json.loads(archive.read(MANIFEST))
        schema = manifest["schema"]
        complete = all(isinstance(manifest[name], dict) for name in ("settings", "files"))
        complete &= {"width", "datasets", "compressions"} <= manifest["settings"].keys()
    except FileNotFoundError as error:
        raise _error(path, "it does not exist; allowed: what `make networks` wrote") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise _error(path, f"it is damaged, or no archive of networks: {error}") from error
    if schema != SCHEMA or not complete:
        raise _error(path, f"{MANIFEST} has the schema {schema!r}; allowed: {SCHEMA}")
    return manifest


def _error(path: str, reason: str) -> StudyError:
    return StudyError(f"config: models.archive: {path}: {reason}")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
