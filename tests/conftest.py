"""What all tests share."""

import os

import pytest

CORES = os.sched_getaffinity(0)


@pytest.fixture(autouse=True)
def all_cores():
    """Give each test the cores back from which TVM has bound this process to one."""
    os.sched_setaffinity(0, CORES)
