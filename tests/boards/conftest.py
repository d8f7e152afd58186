"""Makes what these tests and those of kernels and networks share importable, and boards that several of them use."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "unit/primitives"))
sys.path.insert(0, str(Path(__file__).parents[1] / "unit/compiler"))

import serving


@pytest.fixture(scope="session")
def server():
    """The address of a board's server on this machine, which no test may harm."""
    with serving.server() as board:
        yield board.address
