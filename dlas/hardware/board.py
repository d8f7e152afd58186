"""How a run is bound to the cores of a machine, and the server that makes a board of it.

This file and cpus.py are all that a board needs of the project, beside Python and TVM's runtime.
Copy them there and run

    taskset -c 4-7 python3 board.py            # listens on the board's loopback, port 9090
    python3 board.py --tracker 127.0.0.1:9190 --key hikey970

TVM's RPC lets whoever reaches it run any code: it has neither passwords nor encryption. So the
server listens on loopback, and is reached from elsewhere through a tunnel of SSH.
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
    # On a board the two files lie side by side.
    import cpus  # type: ignore[no-redef,import-not-found]

# Bytes, of which the last two are the machine's number.
_ELF_HEADER = 20
# In which a session ends by itself when its client is gone.
_GRACE_S = 1.0
# TVM's thread pool can never grow beyond the size that it starts with, by default half the CPUs.
os.environ.setdefault("TVM_NUM_THREADS", str(len(cpus.ALLOWED)))


def bind(threads: int) -> tuple[int, ...]:
    """Run TVM's kernels on `threads` threads, each bound to a physical core of its own, and return those cores.

    Raises a ValueError, in one line, if there are fewer cores, or if TVM_NUM_THREADS holds TVM to
    fewer threads.
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
        # TVM lets the calling thread wander over all of them.
        os.sched_setaffinity(0, {bound[0]})
    return bound


def facts() -> dict[str, Any]:
    """Return what a board tells of itself.

    "elf" is the class and the machine of its programs (Tool Interface Standard, ELF specification
    1.2), which a library must have as well.
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
    """Return the class (1: 32 bits, 2: 64 bits) and the machine's number of an ELF file."""
    with open(file, "rb") as content:
        header = content.read(_ELF_HEADER)
    return [header[4], int.from_bytes(header[18:20], "little" if header[5] == 1 else "big")]


def _bind(threads: int) -> str:
    """Return why the session cannot run on so many threads, nothing where it does."""
    try:
        bind(threads)
    except ValueError as error:
        return str(error)
    return ""


def _digest(name: str) -> str:
    """Return the SHA-256 of a file in the session's folder, nothing where there is none."""
    file = Path(str(tvm.get_global_func("tvm.rpc.server.workpath")(name)))
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


def _fill(tensor: Any, value: float) -> None:
    import numpy as np

    tensor.copyfrom(np.full(tensor.shape, value, str(tensor.dtype)))


# What a client can ask for beyond what TVM's own server offers.
SERVICES = {
    "dlas.facts": lambda: json.dumps(facts()),
    "dlas.bind": _bind,
    "dlas.digest": _digest,
    "dlas.fill": _fill,
}


def serve(
    address: tuple[str, int], tracker: tuple[str, int] | None, key: str, custom_address: str
) -> None:
    """Serve one client after the other, forever; report to a tracker, if any, that the board is at a host.

    Parameters
    ----------
    address : (str, int)
        Host and port to listen at.
    tracker : (str, int) or None
        Host and port of the tracker.
    key : str
        The tracker's name of boards of this kind.
    custom_address : str
        Host at which clients of the tracker reach this board; empty for the host that the tracker
        sees.
    """
    from tvm.rpc import server

    for name, function in SERVICES.items():
        tvm_ffi.register_global_func(name, function, override=True)
    # TVM's own waits forever for a kernel whose client is gone, and ends itself with the first one
    # that crashes.
    server._serving = _serve_client
    with socket.create_server(address) as listening:
        port = listening.getsockname()[1]
        print(f"serving on {address[0]}:{port}, TVM {tvm.__version__}", flush=True)
        server._listen_loop(listening, port, key, tracker, None, custom_address or None)


def _serve_client(connection: socket.socket, address: Any, _: Any, load_library: Any) -> None:
    """Serve one client in a process of its own, which ends when the client is gone, whatever it does."""
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
    """Be a board's server, as the command line says."""
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
