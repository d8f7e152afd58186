"""New processes of Python, which find this library wherever they start."""

import os
from pathlib import Path


def environment() -> dict[str, str]:
    """Return the variables of this process's environment, with this library on Python's path."""
    root, found = str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")
    return os.environ | {"PYTHONPATH": f"{root}{os.pathsep}{found}" if found else root}
