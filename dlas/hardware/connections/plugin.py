"""What the file of a kind of connection offers beside its description."""

from collections.abc import Mapping
from typing import Any, Protocol, cast

from tvm.rpc import RPCSession

from dlas import registry
from dlas.errors import StudyError


class Connection(Protocol):
    """A kind of connection. The key of the same name in a platform's `connection` chooses it."""

    def connect(self, settings: Mapping[str, Any]) -> RPCSession:
        """Connect to a device.

        Parameters
        ----------
        settings : mapping of str to Any
            The connection of a platform in the config.

        Raises
        ------
        ConnectionError
            Where no device is free yet, in one line.
        """


def load(name: str) -> Connection:
    """Import a kind of connection; raise StudyError for an unknown one."""
    return cast(Connection, registry.load("connection", name))


def kind_of(settings: Mapping[str, Any]) -> str:
    """Return the kind of a connection, which its settings name; raise StudyError unless they name one."""
    kinds = registry.names("connection")
    named = [kind for kind in kinds if kind in settings]
    if len(named) != 1:
        raise StudyError(f"a connection of {sorted(settings)}; allowed: one of {', '.join(kinds)}")
    return named[0]
