"""A tracker of several boards, `{tracker: "127.0.0.1:9190", key: hikey970}`."""

import socket
from collections.abc import Mapping
from typing import Any

from tvm import rpc

from dlas.plugins import Annotated, ConnectionPlugin, Matches, Setting, Text

PLUGIN = ConnectionPlugin(
    label="tracker",
    order=2,
    settings={
        "tracker": Setting(
            Annotated[str, Matches("[^:/ ]+:[0-9]{1,5}", "host:port, in quotes")],
            "address of the tracker",
        ),
        "key": Setting(Text, "what the tracker calls devices of this kind"),
    },
)


def connect(settings: Mapping[str, Any]) -> rpc.RPCSession:
    """Return a session with the next free board of the kind; wait until one is free."""
    host, _, port = settings["tracker"].rpartition(":")
    # TVM's own connection waits a minute for an absent tracker; this one fails at once.
    socket.create_connection((host, int(port))).close()
    tracker = rpc.connect_tracker(host, int(port))
    try:
        return tracker.request(settings["key"], max_retry=1)
    finally:
        tracker.close()
