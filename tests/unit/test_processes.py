"""Worker processes that answer, fail, crash, hang and start again."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from dlas.errors import StudyError
from dlas.processes import DiedError, FailedError, SilentError, Worker

TIMEOUT_S = 60
BOTH = pytest.mark.parametrize("fresh", [False, True], ids=["forked", "fresh"])


class DistantError(StudyError):
    """An error that the other process knows by its name."""


class Service:
    """Does what it is asked to, good or bad."""

    def __init__(self, number):
        self.number = number

    def add(self, number):
        self.number += number
        return self.number

    def double(self, array):
        return array * 2

    def fail(self):
        raise ValueError("first line\nlast line")

    def object_to_it(self):
        raise DistantError("no such network")

    def object_to_it_privately(self):
        class PrivateError(StudyError):
            pass

        raise PrivateError("no such network")

    def lock(self):
        return (each for each in "cannot be pickled")

    def crash(self):
        os.abort()

    def end(self, status):
        os._exit(status)

    def hang(self):
        time.sleep(TIMEOUT_S)

    def process(self):
        return os.getpid()

    def cores(self):
        return os.sched_getaffinity(0)

    def variable(self, name):
        return os.environ.get(name)

    def interrupted(self):
        for number in (signal.SIGINT, signal.SIGHUP):
            os.kill(os.getpid(), number)
        return "still here"


@contextmanager
def serving(number):
    yield Service(number)


@contextmanager
def refusing(number):
    raise DistantError(f"no service {number}")
    yield


@contextmanager
def crashing():
    # Libraries handle SIGSEGV, and some return from it. To this thread, since another could answer.
    signal.raise_signal(signal.SIGKILL)
    yield


@contextmanager
def hanging():
    time.sleep(TIMEOUT_S)
    yield


@pytest.fixture(params=[False, True], ids=["forked", "fresh"])
def worker(request):
    with Worker(serving, 1, fresh=request.param) as worker:
        yield worker


def call(worker, method, *arguments, timeout_s=TIMEOUT_S):
    return worker.call(method, *arguments, timeout_s=timeout_s)


def gone(process):
    """Return whether a process ends, which is no child of this one."""
    status = Path(f"/proc/{process}/stat")
    for _ in range(500):
        try:
            if status.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


def test_a_worker_is_another_process_that_keeps_its_state(worker):
    assert call(worker, "add", 2) == 3
    assert call(worker, "add", 2) == 5
    assert call(worker, "process") != os.getpid()


def test_large_arrays_cross_both_ways(worker):
    array = np.random.default_rng(0).standard_normal(1 << 20)
    np.testing.assert_array_equal(call(worker, "double", array), array * 2)


def test_an_error_of_the_service_leaves_it_running(worker):
    call(worker, "add", 1)
    with pytest.raises(FailedError, match=r"^ValueError: last line$") as failed:
        call(worker, "fail")
    assert "in fail" in str(failed.value.__cause__)
    with pytest.raises(FailedError, match="pickle"):
        call(worker, "lock")
    assert call(worker, "add", 0) == 2


def test_study_errors_keep_their_class_where_it_has_a_name(worker):
    with pytest.raises(DistantError, match=r"^no such network$"):
        call(worker, "object_to_it")
    with pytest.raises(StudyError, match=r"^no such network$") as raised:
        call(worker, "object_to_it_privately")
    assert type(raised.value) is StudyError


def test_after_a_crash_the_next_request_starts_a_new_process(worker):
    call(worker, "add", 5)
    with pytest.raises(DiedError, match=r"^the process died of SIGABRT$"):
        call(worker, "crash")
    assert call(worker, "add", 0) == 1
    with pytest.raises(DiedError, match=r"^the process ended with exit status 3$"):
        call(worker, "end", 3)
    assert call(worker, "add", 0) == 1


def test_a_hanging_process_is_ended(worker):
    process = call(worker, "process")
    with pytest.raises(SilentError, match=r"^no answer within 0\.2 s$"):
        call(worker, "hang", timeout_s=0.2)
    assert gone(process)
    assert call(worker, "add", 0) == 1


def test_an_interrupt_is_left_to_the_parent(worker):
    assert call(worker, "interrupted") == "still here"


def test_closing_ends_the_process(worker):
    process = call(worker, "process")
    worker.close()
    worker.close()
    assert gone(process)
    assert call(worker, "add", 0) == 1


@BOTH
def test_a_service_that_cannot_start_says_why_each_time(fresh):
    with Worker(refusing, 7, fresh=fresh) as worker:
        for _ in range(2):
            with pytest.raises(DistantError, match=r"^no service 7$"):
                call(worker, "any")
    with (
        Worker(crashing, fresh=fresh) as worker,
        pytest.raises(DiedError, match=r"^the process died of SIGKILL$"),
    ):
        call(worker, "any")
    with (
        Worker(hanging, fresh=fresh, start_timeout_s=0.2) as worker,
        pytest.raises(SilentError, match=r"^no answer within 0\.2 s$"),
    ):
        call(worker, "any")


@BOTH
def test_a_service_is_also_found_by_its_name(fresh):
    with Worker(f"{__name__}:serving", 1, fresh=fresh) as worker:
        assert call(worker, "add", 2) == 3
    with (
        Worker(f"{__name__}:missing", fresh=fresh) as worker,
        pytest.raises(FailedError, match=r"^AttributeError: .*missing"),
    ):
        call(worker, "any")


@BOTH
def test_cores_and_variables_are_the_process_s_own(fresh):
    core = min(os.sched_getaffinity(0))
    before = os.sched_getaffinity(0)
    with Worker(serving, 1, fresh=fresh, env={"DLAS_TEST": "yes"}, cores=[core]) as worker:
        assert call(worker, "cores") == {core}
        assert call(worker, "variable", "DLAS_TEST") == "yes"
    assert os.sched_getaffinity(0) == before
    assert "DLAS_TEST" not in os.environ


@BOTH
def test_the_parent_s_death_ends_a_hanging_process(fresh):
    program = f"""
import sys
sys.path[:] = {sys.path!r}
from {__name__} import serving
from dlas.processes import SilentError, Worker
worker = Worker(serving, 1, fresh={fresh})
print(worker.call("process", timeout_s=60), flush=True)
worker.call("hang", timeout_s=60)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        process = int(parent.stdout.readline())
        time.sleep(0.2)
        os.kill(process, 0)
        parent.kill()
        assert gone(process)
