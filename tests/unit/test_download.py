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
FROM_HALF = f"bytes={HALF}-"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def place(tmp_path):
    return tmp_path / "downloads/file"


@pytest.fixture
def partial(tmp_path):
    return tmp_path / "unfinished/file"


def fetch(urls, place, partial, sha256=SHA256, **options):
    options = {"timeout_s": 5, "pause_s": 0, "progress": False} | options
    download.fetch(urls, place, sha256, partial, **options)


def failure(urls, place, partial, **options) -> str:
    with pytest.raises(StudyError) as error:
        fetch(urls, place, partial, **options)
    assert "\n" not in str(error.value)
    assert list(place.parent.iterdir()) == []
    return str(error.value)


def is_whole(place, partial):
    assert [*place.parent.iterdir()] == [place] and place.read_bytes() == CONTENT
    assert not partial.exists()


def unused_address() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/file"


def test_a_file_is_downloaded(place, partial):
    with serving(CONTENT) as mirror:
        fetch([mirror.url], place, partial)
    assert mirror.asked == [None]
    is_whole(place, partial)


def test_a_progress_bar_tells_how_much_there_is(place, partial, capsys):
    with serving(CONTENT) as mirror:
        fetch([mirror.url], place, partial, progress=True)
    assert "file: 100%" in (told := capsys.readouterr()).err and "300k/300k" in told.err


def test_a_file_that_is_there_is_replaced_by_a_whole_one_only(place, partial):
    place.parent.mkdir()
    place.write_bytes(b"before")
    with serving(CONTENT, *["truncated"] * 3, 503) as mirror:
        with pytest.raises(StudyError):
            fetch([mirror.url], place, partial)
        assert place.read_bytes() == b"before"
        fetch([mirror.url], place, partial)
    is_whole(place, partial)


def test_a_truncated_answer_goes_on_from_where_it_broke_off(place, partial):
    with serving(CONTENT, "truncated") as mirror:
        fetch([mirror.url], place, partial)
    assert mirror.asked == [None, FROM_HALF]
    is_whole(place, partial)


def test_answers_that_are_always_truncated(place, partial):
    with serving(CONTENT, *["truncated"] * 3, ranges=False) as mirror:
        said = failure([mirror.url], place, partial)
    assert said == f"file cannot be downloaded: {mirror.url}: truncated after {HALF} bytes"
    assert len(mirror.asked) == 3


def test_an_answer_without_a_length_is_verified_by_its_checksum(place, partial):
    with serving(CONTENT, "undeclared") as mirror:
        assert "wrong checksum: the SHA-256 is" in failure([mirror.url], place, partial)
        fetch([mirror.url], place, partial)
    is_whole(place, partial)


def test_a_mirror_without_ranges_starts_anew(place, partial):
    with serving(CONTENT, "truncated", ranges=False) as mirror:
        fetch([mirror.url], place, partial)
    assert mirror.asked == [None, FROM_HALF]
    is_whole(place, partial)


def test_a_wrong_checksum_is_told_and_leaves_nothing(place, partial):
    with serving(CONTENT, "wrong") as mirror:
        said = failure([mirror.url], place, partial)
    found = hashlib.sha256(bytes(len(CONTENT))).hexdigest()
    assert said.endswith(f"{mirror.url}: wrong checksum: the SHA-256 is {found}, not {SHA256}")
    assert mirror.asked == [None] and not partial.exists()  # it would send the same again


def test_what_was_there_before_and_is_wrong_is_downloaded_anew(place, partial):
    partial.parent.mkdir()
    partial.write_bytes(bytes(HALF))
    with serving(CONTENT) as mirror:
        fetch([mirror.url], place, partial)
    assert mirror.asked == [FROM_HALF, None]
    is_whole(place, partial)


def test_more_than_there_is_starts_anew(place, partial):
    partial.parent.mkdir()
    partial.write_bytes(CONTENT + b"more")
    with serving(CONTENT) as mirror:
        fetch([mirror.url], place, partial)
    assert mirror.asked == [f"bytes={len(CONTENT) + 4}-", None]
    is_whole(place, partial)


def test_what_is_complete_already_asks_no_mirror(place, partial):
    partial.parent.mkdir()
    partial.write_bytes(CONTENT)
    fetch([unused_address()], place, partial)
    is_whole(place, partial)


@pytest.mark.parametrize(("status", "tries"), [(404, 1), (403, 1), (503, 3), (429, 3)])
def test_a_status_is_told_and_tried_again_where_it_may_pass(place, partial, status, tries):
    with serving(CONTENT, *[status] * tries) as mirror:
        assert f"{mirror.url}: HTTP status {status} " in failure([mirror.url], place, partial)
        assert len(mirror.asked) == tries
        fetch([mirror.url], place, partial)
    is_whole(place, partial)


def test_a_mirror_that_is_busy_for_a_while(place, partial):
    with serving(CONTENT, 503, "truncated") as mirror:
        fetch([mirror.url], place, partial)
    assert mirror.asked == [None, None, FROM_HALF]
    is_whole(place, partial)


def test_pauses_between_tries_grow(place, partial, monkeypatch):
    pauses = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    failure([unused_address()], place, partial, pause_s=1)
    assert pauses == [0, 1, 2]


def test_a_stalled_connection_is_given_up_and_gone_on_with(place, partial):
    with serving(CONTENT, "stalled") as mirror:
        said = failure([mirror.url], place, partial, tries=1, timeout_s=0.5)
        assert said.endswith("timed out after 0.5 s without a byte")
        fetch([mirror.url], place, partial)
    assert mirror.asked == [None, FROM_HALF]
    is_whole(place, partial)


def test_no_server_at_all(place, partial):
    url = unused_address()
    assert f"{url}: connection failed: Connection refused" in failure([url], place, partial)


def test_no_network(place, partial):
    url = "http://no-such-host.invalid/file"
    assert f"{url}: connection failed: " in failure([url], place, partial, tries=1)


def test_each_mirror_is_tried_and_goes_on_with_what_the_others_sent(place, partial):
    with (
        serving(CONTENT, 404) as first,
        serving(CONTENT, "truncated", 404) as second,
        serving(CONTENT) as third,
    ):
        fetch([unused_address(), first.url, second.url, third.url], place, partial)
    assert (first.asked, second.asked, third.asked) == ([None], [None, FROM_HALF], [FROM_HALF])
    is_whole(place, partial)


def test_the_reason_of_each_mirror_is_told(place, partial):
    with serving(CONTENT, 404) as first, serving(CONTENT, "wrong") as second:
        said = failure([first.url, second.url, none := unused_address()], place, partial)
    assert said.startswith(f"file cannot be downloaded: {first.url}: HTTP status 404 Not Found; ")
    assert f"; {second.url}: wrong checksum" in said and f"; {none}: connection failed" in said


def test_a_broken_mirror_before_a_good_one(place, partial):
    """What the broken one sent is not the beginning of what the good one has."""
    broken = bytes(len(CONTENT))
    with serving(broken, *["truncated"] * 3) as first, serving(CONTENT) as second:
        fetch([first.url, second.url], place, partial)
    assert len(second.asked) == 2 and second.asked[1] is None
    is_whole(place, partial)


def test_a_file_that_is_said_to_be_compressed_stays_as_it_is(place, partial):
    """As servers say of .tar.gz."""
    with serving(CONTENT, "compressed") as mirror:
        fetch([mirror.url], place, partial)
    is_whole(place, partial)


def test_a_killed_process_goes_on(place, partial):
    call = "import sys; from dlas import download; download.fetch(sys.argv[1:2], *sys.argv[2:])"
    with serving(CONTENT, "stalled") as mirror:
        command = [sys.executable, "-c", call, mirror.url, str(place), SHA256, str(partial)]
        with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
            end = time.monotonic() + 60
            while not partial.exists() or partial.stat().st_size < HALF:
                assert time.monotonic() < end and process.poll() is None
                time.sleep(0.05)
            process.send_signal(signal.SIGKILL)
        assert not place.exists()
        fetch([mirror.url], place, partial)
    assert mirror.asked == [None, FROM_HALF]
    is_whole(place, partial)


def test_a_checksum_may_be_shortened(place, partial):
    with serving(CONTENT, "wrong") as mirror:
        assert "wrong checksum" in failure([mirror.url], place, partial, sha256=SHA256[:8])
        fetch([mirror.url], place, partial, sha256=SHA256[:8].upper())
    is_whole(place, partial)


@pytest.mark.parametrize("sha256", ["", SHA256[:7], "z" * 64, SHA256 + "0"])
def test_a_checksum_of_another_form_is_refused(tmp_path, sha256):
    with pytest.raises(StudyError, match="of file is not allowed; it must be the hexadecimal"):
        fetch([], tmp_path / "file", tmp_path / "partial", sha256=sha256)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/file", "/etc/passwd"])
def test_an_address_that_is_not_of_the_web_is_refused(tmp_path, url):
    with pytest.raises(StudyError, match=r"of file is not allowed; it must be http\(s\)://"):
        fetch([url], tmp_path / "file", tmp_path / "partial")


def test_a_full_disk_is_told_in_one_line(place, partial):
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    with serving(CONTENT) as mirror:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))
        try:
            said = failure([mirror.url], place, partial)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        assert said == f"{place} cannot be written: File too large"
        fetch([mirror.url], place, partial)
    is_whole(place, partial)


def test_a_folder_that_cannot_be_made_is_told_in_one_line(tmp_path):
    (tmp_path / "downloads").write_text("a file")
    with pytest.raises(StudyError, match="downloads/file cannot be written: "):
        fetch([], tmp_path / "downloads/file", tmp_path / "partial")
