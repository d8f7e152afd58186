"""How a platform is reached: not at all, because it is this machine, or over a kind of connection.

A kind of connection is a file of this folder. The key of the same name in a platform's `connection` chooses it, so
`{server: "127.0.0.1:9090"}` is that of server.py. It has SETTINGS, the keys that it takes, its own name among them,
and `connect(settings) -> RPCSession`, which raises a ConnectionError, in one line, where there is no board (yet).
"""

import hashlib
import json
import os
import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import tvm
from tvm.rpc import RPCSession

from dlas import registry
from dlas.compiler.library import Board, BoardError, Here, LostError, Place
from dlas.errors import StudyError
from dlas.hardware import board as machine
from dlas.hardware import host
from dlas.hardware.platforms import Platform
from dlas.hardware.platforms import threads as threads_of

TIMEOUT_S = (
    60.0  # for a board to be free, and for each of its answers, where the config says nothing else
)
AGAIN_S = 1.0  # after which a board that was not there is tried once more
_MACHINES = {3: "x86", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv"}  # ELF's numbers


@contextmanager
def open_board(platform: Platform, threads: int | None = None) -> Iterator[Board]:
    """Yield what a platform's code runs on, bound to so many threads where they are given.

    The platform's connection is open until the block ends. Raises a StudyError, in one line that begins with the
    platform, where there is no board in time, one that this machine cannot work with, or too few cores.
    """
    if platform.connection is None:
        if threads is not None:
            host.use_threads(threads)
        yield Here(platform.kind, platform.linker)
        return
    with Remote(platform) as board:
        if threads is not None:
            board.use_threads(threads)
        yield board


def place_of(platform: Platform) -> Place:
    """Return where candidates for a platform are measured."""
    opened = partial(open_board, platform, threads_of(platform))
    remote = platform.connection is not None
    apart = platform.kind != "llvm" and not remote
    return Place(opened, platform.linker, remote, apart)


class Remote:
    """A board that is reached over TVM's RPC, whose server is the program `board`; see `Board`.

    No wait is longer than the connection's `timeout_s`: then the line is cut, and what waited raises a StudyError.
    """

    observable = False

    def __init__(self, platform: Platform) -> None:
        assert platform.connection is not None
        self.name, self.kind, self.settings = platform.name, platform.kind, platform.connection
        self.linker: Sequence[str] = platform.linker
        self.timeout_s = float(platform.connection.get("timeout_s", TIMEOUT_S))
        self._names = (f"{number}.so" for number in count())
        self._ours = _sockets()  # what is opened from now on is the connection's
        self._line: set[int] | None = None
        self.session = self._connect()
        self._line = _sockets() - self._ours
        try:
            with self.answer():
                self.facts = self._introduced()
                self.devices = _devices(self.session, self.kind)
        except BoardError:
            self._cut()  # for the next client
            raise

    def __enter__(self) -> "Remote":
        return self

    def __exit__(self, *_: object) -> None:
        self._cut()  # the server ends the session and with it all that it holds

    @contextmanager
    def answer(self) -> Iterator[None]:
        """Wait for answers of the board, so long; raises a LostError where none comes."""
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self._cut()

        watch = threading.Timer(self.timeout_s, give_up)
        watch.daemon = True
        watch.start()
        try:
            yield
        except StudyError:
            raise
        except Exception as error:  # TVM's errors are of several kinds
            if late.is_set():
                raise self.wrong(
                    f"no answer of the board within {self.timeout_s:g} s", LostError
                ) from error
            if not self.alive():
                raise self.wrong("the board is gone: the connection ended", LostError) from error
            raise
        finally:
            watch.cancel()

    def wrong(self, what: str, kind: type[BoardError] = BoardError) -> BoardError:
        """Return the error that says so of this platform."""
        return kind(f"platform {self.name!r}: {what}")

    def alive(self) -> bool:
        """Return whether the other end has not hung up."""
        try:
            self.session.get_function("dlas.facts")
        except Exception:
            return False
        return True

    def status(self, threads: int) -> str:
        """Return "ok", or "unavailable: " and the reason why the board cannot run code on so many threads."""
        if threads > (cores := self.facts["cores"]):
            return (
                f"unavailable: the board has {cores} cores, the platform asks for {threads} threads"
            )
        with self.answer():
            if not self.devices[0].exist:
                return f"unavailable: the board has no device of kind {self.kind}"
        return "ok"

    def use_threads(self, threads: int) -> None:
        """Run kernels on so many threads, each bound to a core of its own; raises a StudyError where they cannot."""
        with self.answer():
            if reason := str(self.session.get_function("dlas.bind")(threads)):
                raise self.wrong(reason)

    def load(self, library: Path) -> Any:
        """Return a library loaded on the board, if it is made for its kind of processor and arrives whole.

        It has no place on the board's disk any more once it is loaded.
        """
        ours, theirs = machine.elf(library), self.facts["elf"]
        if ours != theirs:
            raise self.wrong(
                f"{library} is for {_processor(ours)}, the board is {_processor(theirs)}; "
                "allowed: libraries for the board's architecture"
            )
        content, name = library.read_bytes(), next(self._names)
        with self.answer():
            self.session.upload(bytearray(content), name)
            kept = str(self.session.get_function("dlas.digest")(name))
            if kept != hashlib.sha256(content).hexdigest():
                raise self.wrong(
                    f"the board did not keep the {len(content)} bytes of {library}: its disk is full, or a limit is "
                    "too low"
                )
            module = self.session.load_module(name)
            self.session.remove(name)
        return module

    def filled(self, shape: Sequence[int], dtype: str, value: float) -> Any:
        """Return an array on the board's CPU, filled there."""
        with self.answer():
            array = tvm.runtime.empty(tuple(shape), dtype, self.devices[-1])
            self.session.get_function("dlas.fill")(array, value)
        return array

    def _connect(self) -> RPCSession:
        """Try until there is a board, or no time left."""
        kind = kind_of(self.settings)
        deadline = time.monotonic() + self.timeout_s
        watch = threading.Timer(self.timeout_s, self._cut)  # a busy server keeps its client waiting
        watch.daemon = True
        watch.start()
        try:
            while True:
                try:
                    session: RPCSession = registry.load("connection", kind).connect(self.settings)
                    return session
                except Exception as error:
                    lines = str(error).strip().splitlines() or [repr(error)]
                    if time.monotonic() + AGAIN_S > deadline:
                        where = self.settings[kind]
                        raise self.wrong(
                            f"no free board at the {kind} {where} within {self.timeout_s:g} s: {lines[-1].strip()}"
                        ) from error
                time.sleep(AGAIN_S)
        finally:
            watch.cancel()

    def _introduced(self) -> dict[str, Any]:
        """Return what the board tells of itself; raises a StudyError for another version of TVM."""
        try:
            tell = self.session.get_function("dlas.facts")
        except Exception as error:
            raise self.wrong(
                "the server does not say what it is; allowed: one that dlas/hardware/board.py starts"
            ) from error
        found: dict[str, Any] = json.loads(str(tell()))
        theirs, ours = (_release(version) for version in (found["tvm_version"], tvm.__version__))
        if theirs != ours:
            raise self.wrong(f"the board runs TVM {theirs}; allowed: {ours}, as on this machine")
        return found

    def _cut(self) -> None:
        """End the connection: what waits for an answer fails at once."""
        for number in _sockets() - self._ours if self._line is None else self._line:
            with socket.socket(fileno=os.dup(number)) as line:
                try:
                    line.shutdown(socket.SHUT_RDWR)
                except OSError:  # it ended by itself
                    continue


def kind_of(settings: Mapping[str, Any]) -> str:
    """Return the kind of a connection, which its settings name; raises a StudyError unless they name one."""
    kinds = sorted(
        file.stem for file in Path(__file__).parent.glob("*.py") if file.stem != "__init__"
    )
    named = [kind for kind in kinds if kind in settings]
    if len(named) != 1:
        raise StudyError(f"a connection of {sorted(settings)}; allowed: one of {', '.join(kinds)}")
    return named[0]


def _devices(session: RPCSession, kind: str) -> list[Any]:
    """Return where a network runs, and the board's CPU, which is last."""
    return [session.cpu()] if kind == "llvm" else [session.device(kind), session.cpu()]


def _processor(elf: Sequence[int]) -> str:
    bits, machine_number = elf
    return f"{_MACHINES.get(machine_number, f'machine {machine_number}')} ({32 * bits} bits)"


def _release(version: str) -> str:
    """Return a version without what packagers add to it."""
    found = re.match(r"\d+\.\d+\.\d+", version)
    return found[0] if found else version


def _sockets() -> set[int]:
    """Return the numbers of this process's open sockets."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            if entry.is_socket():
                found.add(int(entry.name))
        except OSError:  # it was that of the listing itself
            continue
    return found
