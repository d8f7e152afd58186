"""Devices that compiled code runs on: this machine, or others over a connection."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tvm
from tvm.backend import loader

from dlas.errors import UnreachableError


class DeviceError(UnreachableError):
    """An error of the device itself, whatever it runs."""


class LostError(DeviceError):
    """A device that cannot be reached, disconnected or gives no answer."""


class Device(Protocol):
    """A device that compiled code runs on.

    Attributes
    ----------
    devices : list of tvm.Device
        A network runs on the first one; the last one is the CPU.
    linker : sequence of str
        Command that links code for it, as in `link`.
    observable : bool
        Whether the kernels of a network can be timed one by one while it runs.
    """

    devices: list[Any]
    linker: Sequence[str]
    observable: bool

    def load(self, library: Path) -> Any:
        """Load a shared library and return its module, ready to be called on the device."""

    def filled(self, shape: Sequence[int], dtype: str, value: float) -> Any:
        """Return an array on the CPU, filled with one value."""

    def guard(self) -> AbstractContextManager[None]:
        """Return a context manager that enforces the connection timeout.

        It raises `LostError` when the device disconnects or gives no answer in time.
        """


class LocalDevice:
    """The device of this machine: its CPU, or a GPU with the CPU beside it. See `Device`.

    Parameters
    ----------
    kind : str
        "llvm" for the CPU, or TVM's target kind of a GPU.
    linker : sequence of str
        Command that links code for it, as in `link`.
    """

    def __init__(self, kind: str = "llvm", linker: Sequence[str] = ()) -> None:
        self.observable = kind == "llvm"
        if not self.observable:
            loader.load(kind)
        self.linker: Sequence[str] = linker
        self.devices = [tvm.cpu()] if self.observable else [tvm.device(kind), tvm.cpu()]

    def load(self, library: Path) -> Any:
        """Load a shared library into this process and return its module."""
        return tvm.runtime.load_module(str(library))

    def filled(self, shape: Sequence[int], dtype: str, value: float) -> Any:
        """Return an array on the CPU, filled with one value."""
        return tvm.runtime.tensor(np.full(shape, value, dtype))

    def guard(self) -> AbstractContextManager[None]:
        """Return a context manager that does nothing, as a local device cannot be lost."""
        return nullcontext()


@dataclass(frozen=True)
class DeviceOpener:
    """How another process opens a device.

    Attributes
    ----------
    open : callable
        Returns a context manager that yields the device, bound to the threads of a run.
    linker : sequence of str
        Command that links code for it, as in `link`.
    remote : bool
        Whether it is another machine.
    fresh : bool
        Whether only a new interpreter can open it: the driver of a GPU does not survive a fork.
    """

    open: Callable[[], AbstractContextManager[Device]]
    linker: Sequence[str] = ()
    remote: bool = False
    fresh: bool = False
