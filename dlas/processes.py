"""Worker processes: another process of Python answers requests, and may crash or hang without harm."""

import multiprocessing
import os
import pkgutil
import queue
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any, Self

from dlas.environment import clear
from dlas.errors import StudyError

START_TIMEOUT_S = 300.0

Service = Callable[..., AbstractContextManager[object]]

_BUGS = (
    "AssertionError",
    "AttributeError",
    "ImportError",
    "ModuleNotFoundError",
    "NameError",
    "SyntaxError",
)
_FORK = multiprocessing.get_context("fork")


class WorkerError(Exception):
    """A request without a result."""

    def raise_bug(self) -> None:
        """Raise this error if it is a bug in the program rather than a fault of what it was asked for."""
        if str(self).partition(":")[0] in _BUGS:
            raise self


class DiedError(WorkerError):
    """The process ended. The message gives its exit status or the signal that ended it."""


class SilentError(WorkerError):
    """The process gave no answer in time."""


class FailedError(WorkerError):
    """The service raised an error. The message is "Type: last line", the cause its traceback."""


class Worker:
    """A process that answers requests one after the other and may crash or hang without harm.

    The process starts with the first request. After a crash or a timeout it is gone, and the next
    request starts a new one. It ends with this process, whatever either of them is doing, and
    leaves an interrupt from the keyboard to this process.

    Parameters
    ----------
    service : callable or str
        A context manager, called in the process. It yields the object whose methods are called.
        A string is its name, "package.module:function".
    *arguments
        The arguments of the service.
    fresh : bool
        Whether the process is a new interpreter rather than a fork of this process. A fork is safe
        only while this process has run no kernels and used no GPU. A new interpreter imports the
        service by its name and gets the arguments pickled.
    env : mapping of str to str, optional
        Environment variables to set in the process.
    cores : sequence of int, optional
        The cores that the process may run on, all of this process's by default.
    start_timeout_s : float, optional
        The limit for the start of the process and of the service, which counts towards no request.
        None leaves it to the service.
    """

    def __init__(
        self,
        service: Service | str,
        *arguments: Any,
        fresh: bool = False,
        env: Mapping[str, str] | None = None,
        cores: Sequence[int] | None = None,
        start_timeout_s: float | None = START_TIMEOUT_S,
    ) -> None:
        self.service, self.arguments, self.fresh = service, arguments, fresh
        self.env, self.cores = dict(env or {}), None if cores is None else list(cores)
        self.start_timeout_s = start_timeout_s
        self._process: ForkProcess | _Interpreter | None = None
        self._pipe: Connection | None = None
        self._ready = False

    def start(self) -> None:
        """Start the process without waiting for it, for work that goes on meanwhile."""
        if self._process is not None:
            return
        self._pipe, theirs = _FORK.Pipe()
        with theirs:
            if self.fresh:
                self._process = _Interpreter(theirs, environment() | self.env)
                # The wait for the service reports its end.
                with suppress(ConnectionError):
                    self._pipe.send((sys.path, self.cores))
                    self._pipe.send((self.service, self.arguments))
            else:
                job = (theirs, self._pipe, self.service, self.arguments, self.cores, self.env)
                self._process = _FORK.Process(target=_serve_forked, args=job, daemon=True)
                self._process.start()

    def open(self) -> None:
        """Start the process, if it is not there, and wait for its service. It raises what `call` raises."""
        if self._ready:
            return
        self.start()
        try:
            self._exchange(None, self.start_timeout_s)
        except Exception:
            self.close()
            raise
        self._ready = True

    @property
    def pid(self) -> int | None:
        """The process's identifier, none before it starts and after it ended."""
        return None if self._process is None else self._process.pid

    def call(self, method: str, *arguments: Any, timeout_s: float) -> Any:
        """Call a method of the service and return its result.

        Parameters
        ----------
        method : str
            The name of the method.
        *arguments
            Its arguments, which can be pickled, as its result can.
        timeout_s : float
            The limit for the answer in seconds.

        Raises
        ------
        StudyError
            Raised by the service, of the same class; at its start too.
        FailedError, DiedError, SilentError
            For a service that raised another error, a process that ended, no answer in time.
        """
        self.open()
        return self._exchange((method, arguments), timeout_s)

    def close(self) -> None:
        """End the process at once, whatever it is doing."""
        if self._process is not None and self._pipe is not None:
            self._process.kill()
            self._process.join()
            self._pipe.close()
        self._process, self._pipe, self._ready = None, None, False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _exchange(self, request: Any, timeout_s: float | None) -> Any:
        """Send a request, or none, and return the result in the next answer."""
        assert self._process is not None and self._pipe is not None
        try:
            if request is not None:
                self._pipe.send(request)
            if not self._pipe.poll(timeout_s):
                raise SilentError(f"no answer within {timeout_s:g} s")
            result, error, trace = self._pipe.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            status = self._process.exitcode
            self.close()
            raise DiedError(_end(status)) from None
        except BaseException:
            # Its answer may still come, and would be taken for that of the next request.
            self.close()
            raise
        if trace:
            raise FailedError(error) from WorkerError(f"in the other process\n{trace}")
        if error is not None:
            raise error
        return result


def environment() -> dict[str, str]:
    """Return the environment of a new interpreter: this process's without what changes measurements.

    Python's path begins with this library.
    """
    found = dict(os.environ)
    clear(found)
    path = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return found | {"PYTHONPATH": os.pathsep.join(filter(None, path))}


class _Interpreter(subprocess.Popen[bytes]):
    """A new interpreter that serves over a pipe, with the methods of a forked process."""

    def __init__(self, pipe: Connection, env: Mapping[str, str]) -> None:
        number = pipe.fileno()
        command = f"import {__name__} as processes; processes.serve_fresh({number})"
        super().__init__(
            [sys.executable, "-c", command],
            pass_fds=[number],
            stdin=subprocess.DEVNULL,
            env=dict(env),
        )

    @property
    def exitcode(self) -> int | None:
        return self.returncode

    def join(self) -> None:
        self.wait()


def serve_fresh(number: int) -> None:
    """Serve in a new interpreter, over the pipe with this file descriptor."""
    pipe = Connection(number)
    sys.path[:], cores = pipe.recv()
    _prepare(cores)
    try:
        service, arguments = pipe.recv()
    # Whatever the import of the service's module raises.
    except Exception as error:
        _report(pipe, error)
    else:
        _serve(pipe, service, arguments)


def _serve_forked(
    pipe: Connection,
    parent: Connection,
    service: Service | str,
    arguments: Sequence[Any],
    cores: Sequence[int] | None,
    env: Mapping[str, str],
) -> None:
    # With a copy of it open here, the pipe would never end.
    parent.close()
    os.environ.update(env)
    _prepare(cores)
    _serve(pipe, service, arguments)


def _prepare(cores: Sequence[int] | None) -> None:
    """Leave interrupts to the other process and run on some cores only, threads to come included."""
    for interrupt in (signal.SIGINT, signal.SIGHUP):
        signal.signal(interrupt, signal.SIG_IGN)
    if cores is not None:
        os.sched_setaffinity(0, cores)


def _serve(pipe: Connection, service: Service | str, arguments: Sequence[Any]) -> None:
    """Read requests until the pipe ends, then end at once, even in the midst of one."""
    requests: queue.SimpleQueue[tuple[str, Sequence[Any]]] = queue.SimpleQueue()
    # A new thread has thread pools of its own in TVM; those of the forking one did not survive.
    threading.Thread(target=_answer, args=(pipe, requests, service, arguments), daemon=True).start()
    with suppress(EOFError, OSError):
        while True:
            requests.put(pipe.recv())
    os._exit(0)


def _answer(
    pipe: Connection,
    requests: "queue.SimpleQueue[tuple[str, Sequence[Any]]]",
    service: Service | str,
    arguments: Sequence[Any],
) -> None:
    """Open the service, then answer one request after the other."""
    try:
        function = pkgutil.resolve_name(service) if isinstance(service, str) else service
        with function(*arguments) as target:
            pipe.send((None, None, ""))
            while True:
                method, given = requests.get()
                try:
                    pipe.send((getattr(target, method)(*given), None, ""))
                except Exception as error:
                    _report(pipe, error)
    except Exception as error:
        _report(pipe, error)


def _report(pipe: Connection, error: Exception) -> None:
    """Send an error to the other process, if that is still there."""
    lines = str(error).strip().splitlines()
    text = f"{type(error).__name__}: {lines[-1]}" if lines else repr(error)
    with suppress(BrokenPipeError):
        if not isinstance(error, StudyError):
            pipe.send((None, text, traceback.format_exc()))
            return
        try:
            pipe.send((None, error, ""))
        except BrokenPipeError:
            raise
        # No other process can know its class.
        except Exception:
            pipe.send((None, StudyError(str(error)), ""))


def _end(status: int | None) -> str:
    """Describe the end of a process by its exit status, negative for a signal."""
    if status is not None and status < 0:
        return f"the process died of {signal.Signals(-status).name}"
    return f"the process ended with exit status {status}"
