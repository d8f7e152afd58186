"""A server at an address, `{server: "127.0.0.1:9090"}`."""

from collections.abc import Mapping
from typing import Any

from tvm import rpc

from dlas.plugins import Annotated, ConnectionPlugin, Matches, Setting

PLUGIN = ConnectionPlugin(
    label="server",
    order=1,
    settings={
        "server": Setting(
            Annotated[str, Matches("[^:/ ]+:[0-9]{1,5}", "host:port, in quotes")],
            "address of the device's server",
        )
    },
)


def connect(settings: Mapping[str, Any]) -> rpc.RPCSession:
    """Return a session with the server; wait while it serves another client."""
    host, _, port = settings["server"].rpartition(":")
    return rpc.connect(host, int(port))
