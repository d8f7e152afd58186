"""A server that listens at an address, `{server: "127.0.0.1:9090"}`."""

from collections.abc import Mapping
from typing import Any

from tvm import rpc

SETTINGS = ("server",)


def connect(settings: Mapping[str, Any]) -> rpc.RPCSession:
    """Return a session with the server; it waits while the server has another client."""
    host, _, port = settings["server"].rpartition(":")
    return rpc.connect(host, int(port))
