"""Bind kernels to cores, and serve a board to the study.

A board needs this file and cpus.py of the project, Python and TVM's runtime. Copy both files to the
board and run

    taskset -c 4-7 python3 board.py            # listens on the board's loopback, port 9090
    python3 board.py --tracker 127.0.0.1:9190 --key hikey970

TVM's RPC has neither passwords nor encryption: every client can run any code. So the server listens
on loopback. Other machines reach it through an SSH tunnel.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import select
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tvm
import tvm_ffi

try:
    from dlas.hardware import cpus
except ImportError:
    # On a board the two files are side by side.
    import cpus  # type: ignore[no-redef,import-not-found]

# Bytes; the last two are the machine number.
_ELF_HEADER = 20
# Time for a session to end by itself after its client disconnected.
_GRACE_S = 1.0
# TVM's thread pool never grows beyond its initial size, by default half of the CPUs.
os.environ.setdefault("TVM_NUM_THREADS", str(len(cpus.ALLOWED)))


def bind(threads: int) -> tuple[int, ...]:
    """Run TVM's kernels on `threads` threads, each bound to a physical core.

    Parameters
    ----------
    threads : int
        Number of threads.

    Returns
    -------
    tuple of int
        The CPU numbers of the cores.

    Raises
    ------
    ValueError
        In one line, if there are fewer cores, or if TVM_NUM_THREADS allows fewer threads.
    """
    if not 1 <= threads <= len(cpus.cores()):
        raise ValueError(
            f"{threads} threads asked for; allowed on this host: 1 to {len(cpus.cores())}, "
            "the physical cores that affinity and quota leave to this process"
        )
    bound = cpus.cores_for(threads)
    one_core_per_thread = -2
    tvm.get_global_func("runtime.config_threadpool")(
        one_core_per_thread, threads, [str(core) for core in bound]
    )
    if (running := int(tvm.get_global_func("runtime.NumThreads")())) != threads:
        raise ValueError(
            f"TVM runs {running} threads, not {threads}; TVM_NUM_THREADS must be at least "
            f"{threads} or unset"
        )
    if hasattr(os, "sched_setaffinity"):
        # TVM lets the calling thread move between all of them.
        os.sched_setaffinity(0, {bound[0]})
    return bound


def facts() -> dict[str, Any]:
    """Return a board's description of itself.

    "elf" is the class and machine number of its programs (Tool Interface Standard, ELF
    specification 1.2); a library must have the same.
    """
    return {
        "tvm_version": tvm.__version__,
        "elf": elf(Path("/proc/self/exe")),
        "cpu_model": cpus.cpu_model(),
        "cores": len(cpus.cores()),
        "governor": cpus.governor(),
        "last_level_cache_bytes": cpus.last_level_cache_bytes(),
        "memory_bytes": cpus.memory_bytes(),
        "caveats": cpus.caveats(),
    }


def elf(file: Path) -> list[int]:
    """Return the class (1: 32 bits, 2: 64 bits) and the machine number of an ELF file."""
    with open(file, "rb") as content:
        header = content.read(_ELF_HEADER)
    return [header[4], int.from_bytes(header[18:20], "little" if header[5] == 1 else "big")]


def _bind(threads: int) -> str:
    """Bind the session to `threads` threads; return the reason of a failure, or an empty text."""
    try:
        bind(threads)
    except ValueError as error:
        return str(error)
    return ""


def _digest(name: str) -> str:
    """Return the SHA-256 of a file in the session's folder, or an empty text without one."""
    file = Path(str(tvm.get_global_func("tvm.rpc.server.workpath")(name)))
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


def _fill(tensor: Any, value: float) -> None:
    import numpy as np

    tensor.copyfrom(np.full(tensor.shape, value, str(tensor.dtype)))


# Functions for clients that TVM's own server lacks.
SERVICES = {
    "dlas.facts": lambda: json.dumps(facts()),
    "dlas.bind": _bind,
    "dlas.digest": _digest,
    "dlas.fill": _fill,
}


def serve(
    address: tuple[str, int], tracker: tuple[str, int] | None, key: str, custom_address: str
) -> None:
    """Serve one client after the other, forever; announce the board to a tracker, if any.

    Parameters
    ----------
    address : (str, int)
        Host and port to listen on.
    tracker : (str, int) or None
        Host and port of the tracker.
    key : str
        The tracker's name for boards of this kind.
    custom_address : str
        Host at which clients of the tracker reach this board; empty for the host that the tracker
        sees.
    """
    from tvm.rpc import server

    for name, function in SERVICES.items():
        tvm_ffi.register_global_func(name, function, override=True)
    # TVM's own function waits forever for a kernel whose client disconnected, and ends the server
    # with the first kernel that crashes.
    server._serving = _serve_client
    with socket.create_server(address) as listening:
        port = listening.getsockname()[1]
        print(f"serving on {address[0]}:{port}, TVM {tvm.__version__}", flush=True)
        server._listen_loop(listening, port, key, tracker, None, custom_address or None)


def _serve_client(connection: socket.socket, address: Any, _: Any, load_library: Any) -> None:
    """Serve one client in a subprocess, which ends when the client disconnects."""
    from tvm.rpc import server
    from tvm.support import utils

    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
    folder = utils.tempdir()
    fork = multiprocessing.get_context("fork")
    session = fork.Process(
        target=server._serve_loop, args=(connection, load_library, folder), daemon=True
    )
    session.start()
    events = select.poll()
    events.register(connection, select.POLLRDHUP)
    events.register(session.sentinel, select.POLLIN)
    events.poll()
    session.join(_GRACE_S)
    session.kill()
    session.join()
    connection.close()
    folder.remove()
    print(f"served {address}, which ended with status {session.exitcode}", flush=True)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(description="Serve TVM's RPC to the DLAS study.")
    parser.add_argument(
        "--host", default="127.0.0.1", help="listen here; whoever reaches it can run any code"
    )
    parser.add_argument("--port", type=int, default=9090, help="0 for any that is free")
    parser.add_argument("--tracker", type=_address, help="host:port of a tracker to report to")
    parser.add_argument("--key", default="", help="the tracker's name of boards of this kind")
    parser.add_argument(
        "--custom-addr",
        default="",
        help="the host at which clients of the tracker reach this board",
    )
    given = parser.parse_args(arguments)
    if given.tracker and not given.key:
        parser.error("a tracker needs a --key")
    serve((given.host, given.port), given.tracker, given.key, given.custom_addr)


if __name__ == "__main__":
    main()
