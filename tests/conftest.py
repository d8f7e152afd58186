"""Options and fixtures of all tests."""

import os

import pytest
from hypothesis import settings

# Read by PyTorch and TVM when they are imported. Each worker of pytest has a core; threads of
# several processes that wait for each other by spinning take many times as long.
os.environ |= {"OMP_NUM_THREADS": "1", "TVM_THREAD_POOL_SPIN_COUNT": "0"}

# Failed assertions of the helper modules show their values too.
pytest.register_assert_rewrite("tests.boards", "tests.plugins", "tests.unit", "tests.workflow")

# A busy machine makes no example wrong.
settings.register_profile("study", deadline=None)
settings.load_profile("study")

CORES = os.sched_getaffinity(0)


def pytest_addoption(parser):
    parser.addoption(
        "--golden", action="store_true", help="make the pictures of test_golden.py anew"
    )
    parser.addoption(
        "--plugin",
        action="append",
        default=[],
        metavar="KIND/NAME",
        help="run tests/plugins on this plugin alone; may be given several times",
    )
    parser.addoption(
        "--overlay",
        action="append",
        default=[],
        metavar="FILE",
        help="take the settings of plugins from this overlay of config.yaml as well",
    )


@pytest.fixture(autouse=True)
def all_cores():
    """Give each test the cores back from which TVM has bound this process to one."""
    os.sched_setaffinity(0, CORES)
