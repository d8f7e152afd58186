"""A compiled network on disk: linked, loaded and run, on this machine or on another device."""

import struct
import subprocess
import time
from collections.abc import Iterable, Sequence
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import tvm
from tvm import relax

from dlas.compiler.device import Device, LocalDevice
from dlas.errors import FailedError, StudyError


def link(output: str, objects: list[str], linker: Sequence[str] = (), **_: Any) -> None:
    """Link object files to a shared library.

    The default linker is LLVM's, from the package ziglang, for any architecture. Machines then need
    no compiler, and all link the same way.

    Parameters
    ----------
    output : str
        Path of the shared library.
    objects : list of str
        Paths of the object files.
    linker : sequence of str
        Command that links, such as a compiler for the device. Empty for the default.
    **_
        Other arguments of TVM's `export_library` are ignored.

    Raises
    ------
    StudyError
        If the linker cannot be run or fails.
    """
    command = [*(linker or _lld()), "-shared", "-o", str(output), *objects]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        raise StudyError(f"the linker {command[0]} cannot be run: {error.strerror}") from error
    if done.returncode:
        raise StudyError(f"the linker failed on {output}: {done.stderr.strip()}")


def _lld() -> list[str]:
    package = util.find_spec("ziglang")
    assert package is not None and package.origin is not None, "requirements.txt holds ziglang"
    return [str(Path(package.origin).with_name("zig")), "ld.lld", "--gc-sections"]


class CompiledNetwork:
    """A compiled network, loaded and ready to run on a device.

    Parameters
    ----------
    executable : VMExecutable or Module
        TVM's executable, or the module of its library.
    device : Device, optional
        The device, by default this machine's CPU.
    """

    def __init__(self, executable: Any, device: Device | None = None) -> None:
        self.device: Device = device or LocalDevice()
        with self.device.guard():
            self.machine = relax.VirtualMachine(executable, list(self.device.devices))

    def run(self, images: Iterable[np.ndarray]) -> np.ndarray:
        """Return the logits [N, classes] of images, each float32 [C, H, W], run one by one."""
        return np.concatenate([self._logits(image[None]) for image in images])

    def _logits(self, image: np.ndarray) -> np.ndarray:
        with self.device.guard():
            data = tvm.runtime.tensor(np.ascontiguousarray(image), self.device.devices[0])
            logits: np.ndarray = self.machine["main"](data).numpy()
        return logits

    def kernel_seconds(self, image: np.ndarray, runs: int) -> dict[str, float]:
        """Return the seconds of each kernel in a run, on an observable device.

        About a microsecond of each call is spent on the clock.

        Parameters
        ----------
        image : ndarray of float32 [1, C, H, W]
            An image.
        runs : int
            Number of runs.

        Returns
        -------
        dict of str to float
            Median over the runs, by the name of the kernel. Its calls in a run are added up.
        """
        seconds: dict[str, list[float]] = {}
        start = 0.0

        def instrument(_: Any, name: str, before: bool, *rest: Any) -> int:
            nonlocal start
            if before:
                start = time.perf_counter()
            else:
                seconds.setdefault(name, []).append(time.perf_counter() - start)
            return 0

        self.machine.set_input("main", tvm.runtime.tensor(np.ascontiguousarray(image)))
        self.machine.invoke_stateful("main")
        self.machine.set_instrument(instrument)
        for _ in range(runs):
            self.machine.invoke_stateful("main")
        return {
            name: float(np.median(np.reshape(each, (runs, -1)).sum(axis=1)))
            for name, each in seconds.items()
        }

    def timer(self, image: np.ndarray) -> "NetworkTimer":
        """Return a timer of this network on one image, float32 [1, C, H, W]."""
        return NetworkTimer(self.machine, self.device, image)


class NetworkTimer:
    """A compiled network that runs again and again on one image, without Python in between."""

    def __init__(self, machine: relax.VirtualMachine, device: Device, image: np.ndarray) -> None:
        self.machine, self.device = machine, device
        with device.guard():
            data = tvm.runtime.tensor(np.ascontiguousarray(image), device.devices[0])
            machine.set_input("main", data)

    def time(self, number: int) -> list[float]:
        """Return the mean seconds of `number` consecutive runs, after one warm-up run."""
        with self.device.guard():
            evaluate = self.machine.time_evaluator(
                "invoke_stateful", self.device.devices[0], number=number
            )
            return [float(seconds) for seconds in evaluate("main").results]


def is_complete(path: str | Path) -> bool:
    """Return whether a file is a 64-bit ELF library that is not truncated.

    A process that loads a truncated one dies on a bus error. The linker writes the table of
    sections last, and the header says where it ends (Tool Interface Standard, ELF specification
    1.2, "ELF header").
    """
    content = Path(path)
    with open(content, "rb") as file:
        header = file.read(64)
    if len(header) < 64 or header[:5] != b"\x7fELF\x02":
        return False
    order = "<" if header[5] == 1 else ">"
    (offset,) = struct.unpack_from(f"{order}Q", header, 40)
    entry_size, entries = struct.unpack_from(f"{order}HH", header, 58)
    return content.stat().st_size >= offset + entry_size * entries > 0


def load_library(path: str | Path, device: Device | None = None) -> CompiledNetwork:
    """Load a compiled network.

    Parameters
    ----------
    path : str or Path
        Path of the library.
    device : Device, optional
        The device, by default this machine's CPU.

    Returns
    -------
    CompiledNetwork
        The network, ready to run.

    Raises
    ------
    StudyError
        For a missing or damaged library.
    FailedError
        For a library that the device cannot load.
    """
    if not Path(path).is_file():
        raise StudyError(f"library {path} is missing; the build of the network makes it")
    if not is_complete(path):
        raise StudyError(f"library {path} is damaged: truncated, or no library at all")
    opened: Device = device or LocalDevice()
    try:
        return CompiledNetwork(opened.load(Path(path)), opened)
    except StudyError:
        raise
    # TVM's loader raises several kinds of errors for a file that is no library.
    except Exception as error:
        raise FailedError(f"library {path} cannot be loaded as a compiled network") from error
