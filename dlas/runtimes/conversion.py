"""Convert a network with a runtime's program."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from dlas.errors import StudyError


def convert(command: Sequence[str | Path], folder: str | Path) -> None:
    """Run a program that a package of this environment installs, in a folder.

    Parameters
    ----------
    command : sequence of str or Path
        The program's name and its arguments.
    folder : str or Path
        The working folder.

    Raises
    ------
    StudyError
        If the program is missing, or fails; with the last line of its output.
    """
    program = Path(sys.executable).with_name(str(command[0]))
    try:
        done = subprocess.run(
            [program, *command[1:]], cwd=folder, capture_output=True, text=True, errors="replace"
        )
    except FileNotFoundError as error:
        raise StudyError(f"{program} is not installed") from error
    if done.returncode:
        last = [*done.stdout.splitlines(), *done.stderr.splitlines()][-1:]
        raise StudyError(f"{command[0]} ended with exit status {done.returncode}: {last}")
