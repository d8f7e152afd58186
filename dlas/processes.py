"""Worker processes: subprocesses that answer requests and may crash or hang without harm."""

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
        """Raise this error if it is a bug of the project, not a fault of the requested code."""
        if str(self).partition(":")[0] in _BUGS:
            raise self


class DiedError(WorkerError):
    """The process ended. The message has its exit status or the signal that ended it."""


class SilentError(WorkerError):
    """The process did not answer in time."""


class FailedError(WorkerError):
    """The service raised an error. The message is "Type: last line", the cause its traceback."""


class Worker:
    """A process that answers requests one after the other and may crash or hang without harm.

    The process starts with the first request. A crash or a timeout ends it, and the next request
    starts a new one. It always ends with this process. It ignores keyboard interrupts, which this
    process handles.

    Parameters
    ----------
    service : callable or str
        A context manager, entered in the process. It yields the object whose methods are called. A
        string is its name, "package.module:function".
    *arguments
        The arguments of the service.
    fresh : bool
        Whether the process is a new interpreter instead of a fork of this process. A fork is safe
        only while this process has run no kernels and used no GPU. A new interpreter imports the
        service by its name and receives the arguments pickled.
    env : mapping of str to str, optional
        Environment variables to set in the process.
    cores : sequence of int, optional
        The cores that the process may run on, by default all of this process's.
    start_timeout_s : float, optional
        Timeout in seconds for the start of the process and of the service, which no request
        includes. None waits forever.
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
        """Start the process without waiting for it."""
        if self._process is not None:
            return
        self._pipe, theirs = _FORK.Pipe()
        with theirs:
            if self.fresh:
                self._process = _Interpreter(theirs, environment() | self.env)
                # A process that ended is reported by the wait for its service.
                with suppress(ConnectionError):
                    self._pipe.send((sys.path, self.cores))
                    self._pipe.send((self.service, self.arguments))
            else:
                job = (theirs, self._pipe, self.service, self.arguments, self.cores, self.env)
                self._process = _FORK.Process(target=_serve_forked, args=job, daemon=True)
                self._process.start()

    def open(self) -> None:
        """Start the process if needed, and wait for its service. The errors are those of `call`."""
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
        """The process ID, None before the start and after the end."""
        return None if self._process is None else self._process.pid

    def call(self, method: str, *arguments: Any, timeout_s: float) -> Any:
        """Call a method of the service and return its result.

        Parameters
        ----------
        method : str
            The name of the method.
        *arguments
            Its arguments. They and the result must be picklable.
        timeout_s : float
            Timeout for the answer in seconds.

        Raises
        ------
        StudyError
            A StudyError of the service or of its start, of the same class.
        FailedError, DiedError, SilentError
            For a service that raised another error, a process that ended, or no answer in time.
        """
        self.open()
        return self._exchange((method, arguments), timeout_s)

    def close(self) -> None:
        """Kill the process."""
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
        """Send a request, if any, and return the result in the next answer."""
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
            # The answer may still come, and the next request would receive it.
            self.close()
            raise
        if trace:
            raise FailedError(error) from WorkerError(f"in the other process\n{trace}")
        if error is not None:
            raise error
        return result


def environment() -> dict[str, str]:
    """Return the environment of a new interpreter, without variables that change measurements.

    PYTHONPATH begins with the folder of this package.
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
    # Importing the service's module may raise any error.
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
    # The pipe would never end while this process has a copy of the other end.
    parent.close()
    os.environ.update(env)
    _prepare(cores)
    _serve(pipe, service, arguments)


def _prepare(cores: Sequence[int] | None) -> None:
    """Ignore interrupts, which the other process handles, and bind all threads to some cores."""
    for interrupt in (signal.SIGINT, signal.SIGHUP):
        signal.signal(interrupt, signal.SIG_IGN)
    if cores is not None:
        os.sched_setaffinity(0, cores)


def _serve(pipe: Connection, service: Service | str, arguments: Sequence[Any]) -> None:
    """Read requests until the pipe ends, then exit at once, even during a request."""
    requests: queue.SimpleQueue[tuple[str, Sequence[Any]]] = queue.SimpleQueue()
    # A new thread gets new thread pools of TVM; those of the forking thread did not survive.
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
    """Send an error to the other process, if it still exists."""
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
        # The class of the error cannot be unpickled in another process.
        except Exception:
            pipe.send((None, StudyError(str(error)), ""))


def _end(status: int | None) -> str:
    """Describe the end of a process by its exit status, negative for a signal."""
    if status is not None and status < 0:
        return f"the process died of {signal.Signals(-status).name}"
    return f"the process ended with exit status {status}"
