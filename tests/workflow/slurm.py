"""A real Slurm cluster on this machine's loopback: two nodes, a controller, a key, folders.

Of a Slurm that the machine may have, only the programs are used (Debian: slurmctld, slurmd,
slurm-client, munge). Each node claims as many CPUs as it is told, whatever the machine has, and the
first one a GPU that is /dev/null.
"""

import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")
NODES = ("node1", "node2")
PARTITIONS = ("cpu", "gpu", "timing")  # as profiles/slurm calls them
_CLUSTER, _PART = (
    "DLAS_CLUSTER",
    "DLAS_PART",
)  # in the environment of its processes: to whom they belong
_PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
_CONFIGURATION = """\
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/affinity
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
SlurmdTimeout=10
ReturnToService=2
MpiDefault=none
GresTypes=gpu
"""


def missing() -> list[str]:
    """Return the programs of Slurm that this machine lacks."""
    return [name for name in PROGRAMS if not shutil.which(name, path=_PATH)]


@dataclass(frozen=True)
class Cluster:
    """What runs in a folder; `environment` is that of a user who is logged in."""

    folder: Path
    environment: dict[str, str]

    def ask(self, *command: str) -> str:
        """Run one of Slurm's commands and return what it printed."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def running(self) -> dict[str, tuple[str, str]]:
        """Return each running job's node and comment, its rule or a group's rules, by number."""
        listed = self.ask("squeue", "--noheader", "--states", "R", "--format", "%i|%N|%k")
        jobs = (line.split("|", 2) for line in listed.splitlines())
        return {number: (node, comment) for number, node, comment in jobs}

    def start(self, node: str) -> None:
        """Switch a node on."""
        self.background(node, "slurmd", "-D", "-N", node)

    def lose(self, node: str) -> None:
        """Take a node's power away: all its processes end without a word."""
        _kill(self.folder, node)

    def background(self, name: str, *command: str) -> None:
        """Start a part of the cluster in the folder of its name."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        with open(self.folder / f"{name}.log", "ab") as log:
            environment = self.environment | {_PART: name}
            subprocess.Popen(
                command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )


@contextmanager
def cluster(folder: Path, cpus: int = 2) -> Iterator[Cluster]:
    """Yield a cluster of two nodes with these CPUs each; its processes end with the block."""
    (folder / "state").mkdir(parents=True)
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(128))
    host = socket.gethostname()
    controller, *ports = _free_ports(1 + len(NODES))
    lines = [
        _CONFIGURATION.format(host=host, port=controller, user=getpass.getuser(), folder=folder),
        *(
            f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} "
            f"CPUs={cpus} RealMemory=64000 Gres=gpu:1\n"
            for node, port in zip(NODES, ports, strict=True)
        ),
        *(f"PartitionName={name} Nodes=ALL MaxTime=INFINITE\n" for name in PARTITIONS),
    ]
    (folder / "slurm.conf").write_text("".join(lines))
    (folder / "gres.conf").write_text("AutoDetect=off\nName=gpu File=/dev/null\n")
    # In a job the executor drops what Slurm's variables say, so that srun would not find the
    # configuration.
    srun = folder / "bin/srun"
    srun.parent.mkdir()
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {_program("srun")} "$@"\n')
    srun.chmod(0o755)
    path = f"{srun.parent}:{_PATH}"
    started = Cluster(
        folder,
        os.environ | {"PATH": path, "SLURM_CONF": f"{folder}/slurm.conf", _CLUSTER: str(folder)},
    )
    try:
        munge = ("--socket", "--key-file", "--pid-file", "--log-file", "--seed-file")
        files = [f"{option}={folder}/munge.{option[2:].split('-')[0]}" for option in munge]
        started.background("munged", "munged", "--foreground", "--force", *files)
        started.background("slurmctld", "slurmctld", "-D", "-c")
        for node in NODES:
            started.start(node)
        _wait(lambda: _idle(started), folder)
        yield started
    finally:
        _kill(folder)


def _idle(cluster: Cluster) -> bool:
    asked = subprocess.run(
        ["scontrol", "show", "nodes", "--oneliner"],
        env=cluster.environment,
        capture_output=True,
        text=True,
    )
    return asked.stdout.count("State=IDLE ") == len(NODES)


def _wait(ready: Callable[[], bool], folder: Path, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not ready():
        logs = "\n".join(log.read_text()[-2000:] for log in folder.glob("*.log"))
        assert time.monotonic() < end, f"the cluster has not come up:\n{logs}"
        time.sleep(0.2)


def _program(name: str) -> str:
    found = shutil.which(name, path=_PATH)
    assert found, f"{name} is missing"
    return found


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _kill(folder: Path, part: str | None = None) -> None:
    """Kill the cluster's processes, or of one part; all stop first, so none reports another."""
    for what in (signal.SIGSTOP, signal.SIGKILL):
        for process in _processes(folder, part):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(what)


def _processes(folder: Path, part: str | None) -> Iterator[psutil.Process]:
    """Yield the processes of the cluster, or of one part of it.

    Their environment says whose they are, or else, as slurmstepd writes over its own, the folder
    that they run in.
    """
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            environment, place = process.environ(), Path(process.cwd())
            ours = environment.get(_CLUSTER) == str(folder) or place.parent == folder
            if ours and part in (
                None,
                environment.get("SLURMD_NODENAME"),
                environment.get(_PART),
                place.name,
            ):
                yield process
