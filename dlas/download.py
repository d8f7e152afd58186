"""Files from the internet: resumed where they were interrupted, verified, in their place whole or not at all."""

import hashlib
import http.client
import logging
import re
import time
from collections.abc import Sequence
from pathlib import Path

import requests
import urllib3
from tqdm import tqdm

from dlas.errors import StudyError
from dlas.files import finish, writing

LOG = logging.getLogger("dlas")
BLOCK = 1 << 16  # bytes that are read at most at a time
_BUSY = (408, 429)  # besides 5xx the status codes after which the same mirror is worth another try


class _RefusedError(Exception):
    """What a mirror said instead of sending the file; it would say the same again."""


class _FailedError(Exception):
    """Why a try came to nothing."""


def fetch(
    urls: Sequence[str],
    path: str | Path,
    sha256: str,
    partial: str | Path,
    tries: int = 3,
    timeout_s: float = 30,
    pause_s: float = 1,
    progress: bool = True,
) -> None:
    """Download a file to `path` from the first of the mirrors `urls` that gives it, and verify it.

    `sha256` are the hexadecimal digits of its SHA-256, or at least the first 8. Until it is complete it is in the file
    `partial`, on the same file system: what was interrupted, also by the end of the process, goes on from there. A
    mirror is given up after `tries` tries, between which there is a pause of `pause_s` seconds more each time, and
    where it has another file; a try is over after `timeout_s` seconds without a byte. A progress bar on stderr shows
    rate and time left.

    Raises StudyError where no mirror gives the file, with the reason of each, for an address that is not of the web,
    for a checksum of another form, and where the disk is full; there is nothing new at `path` then.
    """
    path, partial, expected = Path(path), Path(partial), sha256.lower()
    if not re.fullmatch("[0-9a-f]{8,64}", expected):
        raise StudyError(
            f"the checksum {sha256!r} of {path.name} is not allowed; it must be the hexadecimal digits of "
            "a SHA-256, or at least the first 8"
        )
    for url in urls:
        if not url.startswith(("http://", "https://")):
            raise StudyError(
                f"the mirror {url!r} of {path.name} is not allowed; it must be http(s)://"
            )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyError(f"{path} cannot be written: {error.strerror}") from error
    with writing(path):
        if not (partial.exists() and _digest(partial).startswith(expected)):
            _from_any(urls, path.name, expected, partial, tries, timeout_s, pause_s, progress)
        finish(partial, path)


def _from_any(
    urls: Sequence[str],
    name: str,
    expected: str,
    partial: Path,
    tries: int,
    timeout_s: float,
    pause_s: float,
    progress: bool,
) -> None:
    """Complete `partial` from the first mirror that can; StudyError where none can."""
    reasons = []
    for url in urls:
        reason = ""
        for attempt in range(tries):
            time.sleep(pause_s * attempt)
            try:
                start = _receive(url, name, partial, timeout_s, progress)
            except _RefusedError as error:
                reason = str(error)
                break
            except _FailedError as error:
                reason = str(error)
                LOG.info("%s: %s", url, reason)
                continue
            found = _digest(partial)
            if found.startswith(expected):
                LOG.info("downloaded from %s, SHA-256 %s", url, found)
                return
            partial.unlink()
            reason = f"wrong checksum: the SHA-256 is {found}, not {expected}"
            if not start:  # otherwise it may be what was there before that is wrong
                break
        reasons.append(f"{url}: {reason}")
    raise StudyError(f"{name} cannot be downloaded: {'; '.join(reasons)}")


def _receive(url: str, name: str, partial: Path, timeout_s: float, progress: bool) -> int:
    """Add to `partial` what it lacks, and return at which byte that began: 0 where a mirror starts anew."""
    have = partial.stat().st_size if partial.exists() else 0
    # Not compressed on the way, so that bytes are counted, and verified, as they are in the file.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        with requests.get(url, headers=headers, stream=True, timeout=timeout_s) as response:
            status = response.status_code
            other = status == 206 and not response.headers.get("Content-Range", "").startswith(
                f"bytes {have}-"
            )
            if have and (status == 416 or other):  # what is here is not the beginning of that
                partial.unlink()
                return _receive(url, name, partial, timeout_s, progress)
            if status not in (200, 206) or other:
                kind = _FailedError if status >= 500 or status in _BUSY else _RefusedError
                raise kind(f"HTTP status {status} {response.reason}".strip())
            start = have if status == 206 else 0
            length = response.headers.get("Content-Length", "")
            total = start + int(length) if length.isdecimal() else None
            with (
                open(partial, "ab" if start else "wb") as file,
                tqdm(
                    total=total,
                    initial=start,
                    desc=name,
                    unit="B",
                    unit_scale=True,
                    disable=not progress,
                ) as bar,
            ):
                # As they come, so that little is lost at an interruption. Some servers declare a .gz as compressed.
                while block := response.raw.read1(BLOCK, decode_content=False):
                    file.write(block)
                    bar.update(len(block))
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        arrived = partial.stat().st_size if partial.exists() else 0
        raise _FailedError(_reason(error, timeout_s, arrived)) from error
    return start


def _reason(error: BaseException, timeout_s: float, arrived: int) -> str:
    """Return in a few words what went wrong on the way."""
    chain: list[BaseException] = [error]
    while cause := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(cause)
    if any(isinstance(one, TimeoutError) for one in chain):
        return f"timed out after {timeout_s:g} s without a byte"
    if any(isinstance(one, http.client.IncompleteRead) for one in chain):
        return f"truncated after {arrived} bytes"
    system = [one.strerror for one in chain if isinstance(one, OSError) and one.strerror]
    return f"connection failed: {' '.join((system or [str(chain[-1])])[-1].split())}"


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
