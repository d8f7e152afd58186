"""The interface of a connection's file."""

from collections.abc import Mapping
from typing import Any, Protocol, cast

from tvm.rpc import RPCSession

from dlas import registry
from dlas.errors import StudyError


class Connection(Protocol):
    """A kind of connection. A platform chooses it with the key of its name in `connection`."""

    def connect(self, settings: Mapping[str, Any]) -> RPCSession:
        """Connect to a device.

        Parameters
        ----------
        settings : mapping of str to Any
            The platform's `connection` in the config.

        Returns
        -------
        RPCSession
            A session with the device.

        Raises
        ------
        ConnectionError
            In one line, if no device is free yet.
        """


def load(name: str) -> Connection:
    """Import a kind of connection; raise StudyError for an unknown one."""
    return cast(Connection, registry.load("connection", name))


def kind_of(settings: Mapping[str, Any]) -> str:
    """Return the kind that the settings of a connection name; raise StudyError unless it is one."""
    kinds = registry.names("connection")
    named = [kind for kind in kinds if kind in settings]
    if len(named) != 1:
        raise StudyError(f"a connection of {sorted(settings)}; allowed: one of {', '.join(kinds)}")
    return named[0]
