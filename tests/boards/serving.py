"""Boards on this machine's loopback: real servers and trackers, each a process group."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tvm.target import codegen

ROOT = Path(__file__).parents[2]
BOARD = ROOT / "dlas/hardware/board.py"
TRACKER = (
    "from tvm.rpc.tracker import Tracker\n"
    "tracker = Tracker('127.0.0.1', 9190, 9390, silent=True)\n"
    "print(f'serving on 127.0.0.1:{tracker.port}', flush=True)\n"
    "tracker.proc.join()\n"
)
CPU = {"kind": "llvm", "mtriple": str(codegen.llvm_get_system_triple()), "mcpu": "x86-64-v2"}


@dataclass
class Served:
    """A server's process, and where it listens."""

    process: subprocess.Popen[str]
    address: str

    def kill(self) -> None:
        """End it and the process of its session at once, as a power cut does."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.process.wait()


@contextmanager
def started(
    command: Sequence[str], environment: Mapping[str, str] | None = None, **options: Any
) -> Iterator[Served]:
    """Yield a server once it listens; it ends with the block."""
    with tempfile.TemporaryFile("w+") as message:
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=message,
            text=True,
            start_new_session=True,
            **options,
        )
        assert process.stdout is not None
        served = Served(process, "")
        try:
            for line in process.stdout:
                if found := re.search(r"serving on (\S+:\d+)", line):
                    served.address = found[1]
                    break
            message.seek(0)
            assert served.address, message.read()
            yield served
        finally:
            served.kill()


@contextmanager
def server(
    *arguments: str,
    python: Sequence[str] = (sys.executable,),
    environment: Mapping[str, str] | None = None,
    **options: Any,
) -> Iterator[Served]:
    """Yield a board's server on any port that is free."""
    command = [*python, str(BOARD), "--port", "0", *arguments]
    with started(command, environment, **options) as served:
        yield served


@contextmanager
def tracker() -> Iterator[Served]:
    """Yield a tracker without boards."""
    with started([sys.executable, "-c", TRACKER]) as served:
        yield served
