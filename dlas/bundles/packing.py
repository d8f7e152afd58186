"""Pack the measurements of one platform out of the finished tables of a study."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dlas import status
from dlas.analysis import answers
from dlas.bundles import form, machine
from dlas.errors import StudyError


def tables(files: Mapping[str, str], answered: str, platform: str) -> dict[str, Any]:
    """Return the tables of a bundle by name: the rows of one platform, cell by cell as they were.

    Accuracy belongs to networks, so all networks are there. Private parts of statuses are left out.

    Parameters
    ----------
    files : mapping of str to path
        The study's tables by name, see `dlas.bundles.form.TABLES`.
    answered : path
        The study's answers.npz.

    Raises
    ------
    StudyError
        If nothing of the platform was measured.
    """
    found = {name: form.texts(Path(file)) for name, file in files.items()}
    for name, content in found.items():
        if "platform" in content:
            content = content[content["platform"] == platform]
        if "status" in content:
            content = content.assign(status=content["status"].map(machine.cleaned))
        found[name] = content.reset_index(drop=True)
    if not found["study"]["status"].isin(status.MEASURED).any():
        raise StudyError(f"no row of {platform} is measured; allowed: a platform that is")
    return found | {"correct": answers.correct_table(answers.read(answered))}


def networks(files: Mapping[str, str]) -> dict[str, str]:
    """Return the hash of each network's file: latencies of equal networks can be put together."""
    return {name: form.sha256(Path(file)) for name, file in files.items()}
