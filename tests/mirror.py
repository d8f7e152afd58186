"""A mirror on this machine, which fails as it is told."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Mirror:
    """Serves one file at any path.

    `faults` are those of its first answers, one each: a status code, or truncated, undeclared
    (truncated without a length), stalled, wrong, compressed (said to be, and not). `asked` are the
    ranges of the requests.
    """

    content: bytes
    faults: list[int | str] = field(default_factory=list)
    ranges: bool = True
    asked: list[str | None] = field(default_factory=list)
    url: str = ""
    closing: threading.Event = field(default_factory=threading.Event)


class Handler(BaseHTTPRequestHandler):
    mirror: Mirror

    def do_GET(self) -> None:
        mirror = self.mirror
        asked = self.headers["Range"]
        mirror.asked.append(asked)
        fault = mirror.faults.pop(0) if mirror.faults else ""
        if isinstance(fault, int):
            return self.send_error(fault)
        content, start = mirror.content, 0
        if asked and mirror.ranges:
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
            if start >= len(content):
                return self.send_error(416)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        sent = content[start:]
        if fault == "wrong":
            sent = bytes(len(sent))
        if fault == "compressed":
            self.send_header("Content-Encoding", "x-gzip")
        if fault != "undeclared":
            self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        half = fault in ("truncated", "undeclared", "stalled")
        self.wfile.write(sent[: len(sent) // 2] if half else sent)
        self.wfile.flush()
        if fault == "stalled":
            mirror.closing.wait(60)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(content: bytes, *faults: int | str, ranges: bool = True) -> Iterator[Mirror]:
    """Serve a file until the block ends."""
    mirror = Mirror(content, list(faults), ranges)
    handler = type("Bound", (Handler,), {"mirror": mirror})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        mirror.url = f"http://127.0.0.1:{server.server_port}/file"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield mirror
        finally:
            mirror.closing.set()
            server.shutdown()
