"""The server of a board that several tests use."""

import pytest

from tests.boards import serving


@pytest.fixture(scope="session")
def server():
    """The address of a board's server on this machine, which no test may harm."""
    with serving.server() as board:
        yield board.address
