"""A real browser, and a look at a page in it."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.workflow.project import lack

BROWSERS = (
    "chromium",
    "chromium-headless-shell",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
)
QUIET = (  # a browser that asks for nothing by itself
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-gpu",
    "--no-first-run",
)
INSIDE = ("file:", "data:", "blob:")
expect.set_options(timeout=60_000)  # milliseconds: other tests take the machine meanwhile


@contextmanager
def launched() -> Iterator[Browser]:
    """Start the browser that this machine has; without one the test is skipped, or fails in CI."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        lack(f"no browser on PATH; one of {', '.join(BROWSERS)} is needed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found, args=list(QUIET), chromium_sandbox=os.geteuid() != 0
        )
        yield browser
        browser.close()


@dataclass
class Visit:
    """A reader's look at a page, and what went wrong meanwhile."""

    page: Page
    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("requestfailed", lambda request: self.errors.append(request.url[:200]))
        self.page.on("request", lambda request: self._note(request.url))
        self.page.on("websocket", lambda socket: self._note(socket.url))

    def end(self) -> None:
        """Close the page; nothing may have gone wrong or have been requested from outside."""
        self.page.close()
        assert self.errors == []
        assert self.outside == []

    def _hear(self, message):
        if message.type == "error":
            self.errors.append(message.text)

    def _note(self, url):
        if not url.startswith(INSIDE):
            self.outside.append(url)
