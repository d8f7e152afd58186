"""Download files from mirrors with pooch: resumed, verified, and complete or absent."""

import logging
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pooch
import requests

from dlas.errors import StudyError
from dlas.files import finish, report_write_errors

LOG = logging.getLogger("dlas")
# An interruption loses at most one chunk.
CHUNK_BYTES = 1 << 13


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
    """Download a file from the first mirror that provides it, and verify it.

    Parameters
    ----------
    urls : sequence of str
        The mirrors, tried in this order.
    path : str or Path
        Destination of the complete and verified file.
    sha256 : str
        The hexadecimal digits of its SHA-256, or at least the first 8.
    partial : str or Path
        The incomplete file, on the same file system. An interrupted download resumes from it.
    tries : int
        Attempts for each mirror.
    timeout_s : float
        An attempt fails after this many seconds without a byte.
    pause_s : float
        Seconds before the second attempt; the third waits twice as long.
    progress : bool
        Whether stderr shows a progress bar.

    Raises
    ------
    StudyError
        If no mirror provides the file (the message has the reason of each), an address or the
        checksum has the wrong form, or the disk is full.
    """
    path, partial, expected = Path(path), Path(partial), sha256.lower()
    if not re.fullmatch("[0-9a-f]{8,64}", expected):
        raise StudyError(
            f"the checksum {sha256!r} of {path.name} is not allowed; it must be the hexadecimal "
            f"digits of "
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
    reasons = []
    with report_write_errors(path):
        for url in urls:
            reason = _from_mirror(url, partial, expected, tries, timeout_s, pause_s, progress)
            if not reason:
                return finish(partial, path)
            reasons.append(f"{url}: {reason}")
    raise StudyError(f"{path.name} cannot be downloaded: {'; '.join(reasons)}")


def _from_mirror(
    url: str,
    partial: Path,
    expected: str,
    tries: int,
    timeout_s: float,
    pause_s: float,
    progress: bool,
) -> str:
    """Complete `partial` from one mirror; return the reason of a failure, or an empty text."""
    reason = ""
    for attempt in range(tries):
        time.sleep(pause_s * attempt)
        resumed = partial.exists() and partial.stat().st_size > 0
        try:
            _receive(url, partial, timeout_s, progress)
        except requests.RequestException as error:
            reason = _cause(error)
            LOG.info("%s: %s", url, reason)
            if error.response is None or error.response.status_code != 416:
                continue
            # 416: there is no more to send. `partial` is complete, or of another file.
        found = pooch.file_hash(str(partial))
        if found.startswith(expected):
            LOG.info("downloaded from %s, SHA-256 %s", url, found)
            return ""
        partial.unlink()
        reason = f"wrong checksum: the SHA-256 is {found}, not {expected}"
        # The mirror would send the same file again.
        if not resumed:
            break
    return reason


def _receive(url: str, partial: Path, timeout_s: float, progress: bool) -> None:
    """Append the rest of the file to `partial`; a mirror that sends the whole file replaces it."""
    with open(partial, "ab") as file:

        def begin(response: requests.Response, **_: Any) -> None:
            if response.status_code == 200:
                file.truncate(0)
            # Some servers declare a .tar.gz as compressed, and requests would unpack it.
            response.raw.headers.pop("Content-Encoding", None)

        headers = {"Accept-Encoding": "identity"}
        if file.tell():
            headers["Range"] = f"bytes={file.tell()}-"
        receive = pooch.HTTPDownloader(
            progressbar=progress,
            chunk_size=CHUNK_BYTES,
            timeout=timeout_s,
            headers=headers,
            hooks={"response": begin},
        )
        receive(url, file, None)


def _cause(error: BaseException) -> str:
    """Return the root cause of a failed request, on one line."""
    while error.__context__:
        error = error.__context__
    return " ".join(str(error).partition(" for url: ")[0].split()) or type(error).__name__
