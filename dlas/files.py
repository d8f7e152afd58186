"""Write files atomically: a file is complete or absent."""

import csv
import errno
import glob
import json
import math
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from dlas.errors import StudyError

_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path that replaces `path` if the block ends without an error.

    On an error the temporary file is removed, and `path` stays as it was.

    Parameters
    ----------
    path : str or Path
        The file. Its folder is created if it is missing. The temporary file is in the same folder
        and has the same suffix, from which some writers infer the format.

    Raises
    ------
    StudyError
        If the disk is full or read-only, or the path is too long.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}-{secrets.token_hex(4)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # touch() gives the permissions of a new file; tempfile's functions would restrict them.
        temporary.touch(exist_ok=False)
    except OSError as error:
        raise StudyError(f"{path} cannot be written: {error.strerror}") from error
    try:
        with report_write_errors(path):
            yield temporary
            finish(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def report_write_errors(path: str | Path) -> Iterator[None]:
    """Raise StudyError if the block fails because the disk is full or read-only."""
    try:
        yield
    except Exception as error:
        if (number := _error_number(error)) in _DISK_ERRORS:
            raise StudyError(f"{path} cannot be written: {os.strerror(number)}") from error
        raise


def finish(temporary: Path, path: Path) -> None:
    """Flush a complete temporary file to the disk, then move it to `path`.

    The two paths may be on different file systems.
    """
    with open(temporary, "rb") as written:
        os.fsync(written.fileno())
    try:
        temporary.replace(path)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # The two paths are on different file systems.
        with atomic_write(path) as copy:
            shutil.copyfile(temporary, copy)
        temporary.unlink()


def _error_number(error: Exception) -> int:
    """Return the errno of an error, or 0; Rust libraries have it only in their message."""
    if isinstance(error, OSError):
        return error.errno or 0
    message = re.search(r"\(os error (\d+)\)", str(error))
    return int(message[1]) if message else 0


def remove_stale(path: str | Path) -> None:
    """Remove the temporary files that killed writers of `path` left behind."""
    path = Path(path)
    for stale in path.parent.glob(f".{glob.escape(path.stem)}-????????{path.suffix}"):
        stale.unlink(missing_ok=True)


@contextmanager
def code_folder() -> Iterator[Path]:
    """Yield a temporary folder from which shared libraries can be loaded.

    The folder is in the working folder if the file system of temporary files is mounted noexec.

    Raises
    ------
    StudyError
        If no shared library can be loaded from either.
    """
    places = (tempfile.gettempdir(), str(Path.cwd()))
    for place in places:
        if not os.statvfs(place).f_flag & os.ST_NOEXEC:
            with tempfile.TemporaryDirectory(prefix=".dlas-", dir=place) as folder:
                yield Path(folder)
            return
    raise StudyError(
        f"no library can be loaded from {' or '.join(places)}: their file systems are mounted "
        f"noexec; "
        "allowed: TMPDIR=<a folder on another file system>"
    )


def write_text(path: str | Path, text: str) -> None:
    """Write a text atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(text)


def write_rows(path: str | Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as CSV with a header, atomically; None becomes an empty field.

    Importing pandas takes longer than some jobs that only write a table.

    Parameters
    ----------
    path : str or Path
        The file.
    columns : sequence of str
        The columns in order.
    rows : iterable of mapping
        The rows, with the columns as keys.

    Raises
    ------
    StudyError
        For a number that is not finite.
    """
    rows = list(rows)
    _check_finite(path, rows)
    with atomic_write(path) as temporary, open(temporary, "w", newline="") as file:
        table = csv.DictWriter(file, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically.

    Raises
    ------
    StudyError
        For a number that is not finite, which JSON cannot express.
    """
    _check_finite(path, value)
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def _check_finite(path: str | Path, value: Any) -> None:
    for key, number in _not_finite(value, ""):
        raise StudyError(f"{path} cannot be written: {key} is {number}; allowed: finite numbers")


def _not_finite(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Yield the dotted key and value of each number that is not finite."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _not_finite(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            yield from _not_finite(inner, f"{key}.{place}" if key else str(place))
    elif isinstance(value, Real) and not isinstance(value, Integral) and not math.isfinite(value):
        yield key, value


def read_json(path: str | Path) -> Any:
    """Read a JSON file."""
    return json.loads(Path(path).read_text())
