"""Files that are there whole or not at all."""

import csv
import errno
import glob
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dlas.errors import StudyError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


@contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that replaces it when the block ends without an error.

    The temporary name keeps the suffix, because several writers choose their format by it. On an error
    the temporary file is removed and whatever stood at `path` stays as it was. Raises StudyError where the
    disk is full or must not be written to.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent
        )
    except OSError as error:
        raise StudyError(f"{path} cannot be written: {error.strerror}") from error
    os.close(handle)
    temporary = Path(name)
    try:
        with writing(path):
            yield temporary
            temporary.chmod(0o644)
            finish(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Raise a StudyError where the block cannot write `path`: the disk is full or must not be written to."""
    try:
        yield
    except Exception as error:
        if (number := _error_number(error)) in _FULL:
            raise StudyError(f"{path} cannot be written: {os.strerror(number)}") from error
        raise


def finish(temporary: Path, path: Path) -> None:
    """Move a file that is complete to its place on the same file system, when all of it is on the disk."""
    with open(temporary, "rb") as written:
        os.fsync(written.fileno())
    temporary.replace(path)


def _error_number(error: Exception) -> int:
    """Return the system's number of an error, 0 if it is not the system's. Libraries in Rust tell it in their text."""
    if isinstance(error, OSError):
        return error.errno or 0
    told = re.search(r"\(os error (\d+)\)", str(error))
    return int(told[1]) if told else 0


def remove_torn(path: str | Path) -> None:
    """Remove what writers of `path` left beside it that were killed before they were done."""
    path = Path(path)
    for torn in path.parent.glob(f".{glob.escape(path.stem)}-????????{path.suffix}"):
        torn.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text, whole or not at all."""
    with whole(path) as temporary:
        temporary.write_text(text)


def write_rows(path: str | Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as CSV below a line of the columns, whole or not at all; None and NaN are left empty.

    For jobs that have no other use for pandas, whose import takes longer than some of them.
    """
    with whole(path) as temporary, open(temporary, "w", newline="") as file:
        table = csv.DictWriter(file, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(
            {name: None if value != value else value for name, value in row.items()} for row in rows
        )


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file."""
    return json.loads(Path(path).read_text())
