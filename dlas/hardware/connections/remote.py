"""A device behind TVM's RPC. Its server is the program `dlas/hardware/board.py`."""

import hashlib
import json
import os
import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import tvm
from tvm.rpc import RPCSession

from dlas import status
from dlas.compiler.device import DeviceError, LostError
from dlas.errors import StudyError
from dlas.hardware import board
from dlas.hardware.connections.plugin import kind_of, load
from dlas.hardware.platforms import Platform

# Default of the setting `timeout_s`.
TIMEOUT_S = 60.0
RETRY_S = 1.0
# Machine numbers in ELF files.
_PROCESSORS = {3: "x86", 40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv"}


class RemoteDevice:
    """A device behind the connection of a platform. See `Device`.

    No wait is longer than the connection's `timeout_s`. After that the connection is shut down, and
    the waiting call raises `LostError`.

    Parameters
    ----------
    platform : Platform
        A platform with a connection.

    Raises
    ------
    DeviceError
        In one line that begins with the platform, if this machine cannot work with the device.
        `LostError` if no device is free in time.
    """

    observable = False

    def __init__(self, platform: Platform) -> None:
        assert platform.connection is not None
        self.name, self.kind, self.settings = platform.name, platform.kind, platform.connection
        self.linker: Sequence[str] = platform.linker
        self.timeout_s = float(platform.connection.get("timeout_s", TIMEOUT_S))
        self._names = (f"{number}.so" for number in count())
        # Sockets opened from now on belong to the connection.
        self._ours = _sockets()
        self._line: set[int] | None = None
        self.session = self._connect()
        self._line = _sockets() - self._ours
        try:
            with self.guard():
                self.facts = self._introduced()
                self.devices = _devices(self.session, self.kind)
        except DeviceError:
            # The next client can connect.
            self._cut()
            raise

    def __enter__(self) -> "RemoteDevice":
        return self

    def __exit__(self, *_: object) -> None:
        # The server ends the session and frees all that it holds.
        self._cut()

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Enforce the connection timeout; raise `LostError` when the device disconnects."""
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
        # TVM raises errors of several types.
        except Exception as error:
            if late.is_set():
                raise self.error(
                    f"no answer of the board within {self.timeout_s:g} s", LostError
                ) from error
            if not self.alive():
                raise self.error("the board is gone: the connection ended", LostError) from error
            raise
        finally:
            watch.cancel()

    def error(self, reason: str, kind: type[DeviceError] = DeviceError) -> DeviceError:
        """Return an error whose message begins with the platform."""
        return kind(f"platform {self.name!r}: {reason}")

    def alive(self) -> bool:
        """Return whether the connection still works."""
        try:
            self.session.get_function("dlas.facts")
        except Exception:
            return False
        return True

    def status(self, threads: int) -> str:
        """Return `ok`, or why the device cannot run code on a number of threads."""
        if threads > (cores := self.facts["cores"]):
            reason = f"{threads} threads asked for, the board has {cores} cores"
            return status.because(status.UNSUPPORTED, reason)
        with self.guard():
            if not self.devices[0].exist:
                reason = f"the board has no device of kind {self.kind}"
                return status.because(status.UNREACHABLE, reason)
        return status.OK

    def use_threads(self, threads: int) -> None:
        """Run kernels on threads bound to a core each; raise DeviceError for too few cores."""
        with self.guard():
            if reason := str(self.session.get_function("dlas.bind")(threads)):
                raise self.error(reason)

    def load(self, library: Path) -> Any:
        """Upload a library, load it on the device and return its module.

        No file stays on the device's disk.

        Raises
        ------
        DeviceError
            If the library is for another processor, or the device could not store it.
        """
        ours, theirs = board.elf(library), self.facts["elf"]
        if ours != theirs:
            raise self.error(
                f"{library} is for {_processor(ours)}, the board is {_processor(theirs)}; "
                "allowed: libraries for the board's architecture"
            )
        content, name = library.read_bytes(), next(self._names)
        with self.guard():
            self.session.upload(bytearray(content), name)
            kept = str(self.session.get_function("dlas.digest")(name))
            if kept != hashlib.sha256(content).hexdigest():
                raise self.error(
                    f"the board did not keep the {len(content)} bytes of {library}: its disk is "
                    f"full, or a limit is "
                    "too low"
                )
            module = self.session.load_module(name)
            self.session.remove(name)
        return module

    def filled(self, shape: Sequence[int], dtype: str, value: float) -> Any:
        """Return an array on the device's CPU whose elements are all `value`.

        Parameters
        ----------
        shape : sequence of int
            Its shape.
        dtype : str
            Its type, e.g. "float32".
        value : float
            The value, which the device fills in itself: no data is transferred.
        """
        with self.guard():
            array = tvm.runtime.empty(tuple(shape), dtype, self.devices[-1])
            self.session.get_function("dlas.fill")(array, value)
        return array

    def _connect(self) -> RPCSession:
        """Retry until a device is free, or the timeout is over."""
        kind = kind_of(self.settings)
        deadline = time.monotonic() + self.timeout_s
        # A busy server makes its client wait without an answer.
        watch = threading.Timer(self.timeout_s, self._cut)
        watch.daemon = True
        watch.start()
        try:
            while True:
                try:
                    session: RPCSession = load(kind).connect(self.settings)
                    return session
                except Exception as error:
                    lines = str(error).strip().splitlines() or [repr(error)]
                    if time.monotonic() + RETRY_S > deadline:
                        where = self.settings[kind]
                        raise self.error(
                            f"no free board at the {kind} {where} within {self.timeout_s:g} s: "
                            f"{lines[-1].strip()}",
                            LostError,
                        ) from error
                time.sleep(RETRY_S)
        finally:
            watch.cancel()

    def _introduced(self) -> dict[str, Any]:
        """Return the device's facts; raise DeviceError for another version of TVM."""
        try:
            tell = self.session.get_function("dlas.facts")
        except Exception as error:
            raise self.error(
                "the server does not say what it is; allowed: one that dlas/hardware/board.py "
                "starts"
            ) from error
        found: dict[str, Any] = json.loads(str(tell()))
        theirs, ours = (_release(version) for version in (found["tvm_version"], tvm.__version__))
        if theirs != ours:
            raise self.error(f"the board runs TVM {theirs}; allowed: {ours}, as on this machine")
        return found

    def _cut(self) -> None:
        """Shut the connection down: a waiting call fails at once."""
        for number in _sockets() - self._ours if self._line is None else self._line:
            with socket.socket(fileno=os.dup(number)) as line:
                try:
                    line.shutdown(socket.SHUT_RDWR)
                # The connection ended by itself.
                except OSError:
                    continue


def _devices(session: RPCSession, kind: str) -> list[Any]:
    """Return the device that a network runs on, and the CPU last."""
    return [session.cpu()] if kind == "llvm" else [session.device(kind), session.cpu()]


def _processor(elf: Sequence[int]) -> str:
    bits, machine_number = elf
    return f"{_PROCESSORS.get(machine_number, f'machine {machine_number}')} ({32 * bits} bits)"


def _release(version: str) -> str:
    """Return a version without the suffix of packagers."""
    found = re.match(r"\d+\.\d+\.\d+", version)
    return found[0] if found else version


def _sockets() -> set[int]:
    """Return the file descriptors of this process's open sockets."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            if entry.is_socket():
                found.add(int(entry.name))
        # The descriptor of the listing itself is closed by now.
        except OSError:
            continue
    return found
