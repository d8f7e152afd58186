"""Downloads from mirrors that fail in every way, all on this machine."""

import hashlib
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from dlas import download
from dlas.errors import StudyError
from tests.mirror import serving

ROOT = Path(__file__).parents[2]
CONTENT = np.random.default_rng(0).bytes(300_000)
HALF = len(CONTENT) // 2
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def place(tmp_path):
    return tmp_path / "downloads/file"


@pytest.fixture
def partial(tmp_path):
    return tmp_path / "resume/file"


def fetch(urls, place, partial, sha256=SHA256, **options):
    options = {"timeout_s": 5, "pause_s": 0, "progress": False} | options
    download.fetch(urls, place, sha256, partial, **options)


def failure(urls, place, partial, **options) -> str:
    with pytest.raises(StudyError) as error:
        fetch(urls, place, partial, **options)
    assert "\n" not in str(error.value)
    assert list(place.parent.iterdir()) == []
    return str(error.value)


def is_complete(place, partial):
    assert [*place.parent.iterdir()] == [place] and place.read_bytes() == CONTENT
    assert not partial.exists()


def is_resumed(asked: str | None) -> bool:
    """Return whether a request asks for what is missing of a file that broke off in its middle."""
    return HALF - download.CHUNK_BYTES < int(asked.removeprefix("bytes=").removesuffix("-")) <= HALF


def unused_address() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/file"


def test_a_file_is_downloaded_with_a_progress_bar(place, partial, capsys):
    with serving(CONTENT) as mirror:
        fetch([mirror.url], place, partial, progress=True)
    assert mirror.asked == [None]
    is_complete(place, partial)
    assert "100%" in (shown := capsys.readouterr()).err and "300k/300k" in shown.err


def test_a_file_that_exists_is_replaced_by_a_complete_one_only(place, partial):
    place.parent.mkdir()
    place.write_bytes(b"before")
    with serving(CONTENT, *["truncated"] * 3) as mirror:
        with pytest.raises(StudyError):
            fetch([mirror.url], place, partial)
        assert place.read_bytes() == b"before"
        fetch([mirror.url], place, partial)
    is_complete(place, partial)


@pytest.mark.parametrize("ranges", [True, False])
def test_a_truncated_answer_is_resumed_or_sent_anew(place, partial, ranges):
    with serving(CONTENT, "truncated", ranges=ranges) as mirror:
        fetch([mirror.url], place, partial)
    first, second = mirror.asked
    assert first is None and is_resumed(second)
    is_complete(place, partial)


def test_an_answer_without_a_length_is_verified_by_its_checksum(place, partial):
    with serving(CONTENT, "undeclared") as mirror:
        assert "wrong checksum: the SHA-256 is" in failure([mirror.url], place, partial)
        fetch([mirror.url], place, partial)
    is_complete(place, partial)


@pytest.mark.parametrize(
    ("before", "requests"),
    [
        (bytes(HALF), [f"bytes={HALF}-", None]),
        (CONTENT + b"more", [f"bytes={len(CONTENT) + 4}-", None]),
        (CONTENT, [f"bytes={len(CONTENT)}-"]),
    ],
    ids=["of another file", "too long", "complete"],
)
def test_what_an_earlier_download_left_is_used_if_it_fits(place, partial, before, requests):
    partial.parent.mkdir()
    partial.write_bytes(before)
    with serving(CONTENT) as mirror:
        fetch([mirror.url], place, partial)
    assert mirror.asked == requests
    is_complete(place, partial)


def test_a_mirror_that_is_busy_is_tried_again_after_growing_pauses(place, partial, monkeypatch):
    pauses = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    with serving(CONTENT, 503, "truncated") as mirror:
        fetch([mirror.url], place, partial, pause_s=1)
    assert len(mirror.asked) == 3 and pauses == [0, 1, 2]
    is_complete(place, partial)


def test_a_stalled_connection_is_given_up_and_resumed(place, partial):
    with serving(CONTENT, "stalled") as mirror:
        message = failure([mirror.url], place, partial, tries=1, timeout_s=0.5)
        assert message.endswith(f"{mirror.url}: timed out")
        fetch([mirror.url], place, partial)
    assert is_resumed(mirror.asked[1])
    is_complete(place, partial)


def test_each_mirror_is_tried_and_resumes_what_the_others_sent(place, partial):
    with (
        serving(CONTENT, *[404] * 3) as first,
        serving(CONTENT, "truncated", *[503] * 2) as second,
        serving(CONTENT) as third,
    ):
        fetch([unused_address(), first.url, second.url, third.url], place, partial)
    assert first.asked == [None] * 3
    assert is_resumed(second.asked[1]) and is_resumed(*third.asked)
    is_complete(place, partial)


def test_the_reason_of_each_mirror_is_reported(place, partial):
    nowhere, unused = "http://no-such-host.invalid/file", unused_address()
    with (
        serving(CONTENT, *[404] * 3) as first,
        serving(CONTENT, "wrong") as second,
        serving(CONTENT, *["truncated"] * 3, ranges=False) as third,
    ):
        mirrors = [first.url, second.url, third.url, unused, nowhere]
        message = failure(mirrors, place, partial)
    found = hashlib.sha256(bytes(len(CONTENT))).hexdigest()
    assert message.startswith(
        f"file cannot be downloaded: {first.url}: 404 Client Error: Not Found; "
        f"{second.url}: wrong checksum: the SHA-256 is {found}, not {SHA256}; "
        f"{third.url}: IncompleteRead({HALF} bytes read, {HALF} more expected); "
        f"{unused}: [Errno 111] Connection refused; {nowhere}: [Errno "
    )
    assert len(second.asked) == 1  # it would send the same again


def test_a_broken_mirror_before_a_good_one(place, partial):
    """What the broken one sent is not the beginning of what the good one has."""
    with serving(bytes(len(CONTENT)), *["truncated"] * 3) as first, serving(CONTENT) as second:
        fetch([first.url, second.url], place, partial)
    assert len(second.asked) == 2 and second.asked[1] is None
    is_complete(place, partial)


def test_a_file_that_is_declared_as_compressed_stays_as_it_is(place, partial):
    """Some servers declare .tar.gz so."""
    with serving(CONTENT, "compressed") as mirror:
        fetch([mirror.url], place, partial)
    is_complete(place, partial)


def test_a_killed_process_is_resumed(place, partial):
    call = "import sys; from dlas import download; download.fetch(sys.argv[1:2], *sys.argv[2:])"
    with serving(CONTENT, "stalled") as mirror:
        command = [sys.executable, "-c", call, mirror.url, str(place), SHA256, str(partial)]
        with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
            end = time.monotonic() + 60
            while not partial.exists() or partial.stat().st_size <= HALF - download.CHUNK_BYTES:
                assert time.monotonic() < end and process.poll() is None
                time.sleep(0.05)
            process.send_signal(signal.SIGKILL)
        assert not place.exists()
        fetch([mirror.url], place, partial)
    assert is_resumed(mirror.asked[1])
    is_complete(place, partial)


def test_a_checksum_may_be_shortened(place, partial):
    with serving(CONTENT, "wrong") as mirror:
        assert "wrong checksum" in failure([mirror.url], place, partial, sha256=SHA256[:8])
        fetch([mirror.url], place, partial, sha256=SHA256[:8].upper())
    is_complete(place, partial)


@pytest.mark.parametrize("sha256", ["", SHA256[:7], "z" * 64, SHA256 + "0"])
def test_a_checksum_of_another_form_is_refused(place, partial, sha256):
    with pytest.raises(StudyError, match="of file is not allowed; it must be the hexadecimal"):
        fetch([], place, partial, sha256=sha256)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/file", "/etc/passwd"])
def test_an_address_that_is_not_of_the_web_is_refused(place, partial, url):
    with pytest.raises(StudyError, match=r"of file is not allowed; it must be http\(s\)://"):
        fetch([url], place, partial)


def test_a_full_disk_is_reported_in_one_line(place, partial):
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    with serving(CONTENT) as mirror:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))
        try:
            message = failure([mirror.url], place, partial)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        assert message == f"{place} cannot be written: File too large"
        fetch([mirror.url], place, partial)
    is_complete(place, partial)


def test_a_folder_that_cannot_be_made_is_reported_in_one_line(place, partial):
    place.parent.write_text("a file")
    with pytest.raises(StudyError, match="downloads/file cannot be written: "):
        fetch([], place, partial)
