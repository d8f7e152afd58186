"""Makes what these tests share importable, and boards that several of them use."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import serving


@pytest.fixture(scope="session")
def server():
    """The address of a board's server on this machine, which no test may harm."""
    with serving.server() as board:
        yield board.address
