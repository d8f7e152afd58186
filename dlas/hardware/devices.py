"""Open the device of a platform: this machine, or a device behind a connection."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from dlas.compiler.device import Device, DeviceOpener, LocalDevice
from dlas.hardware import host
from dlas.hardware.connections.remote import RemoteDevice
from dlas.hardware.platforms import Platform, other_machine, require_same_host
from dlas.hardware.platforms import threads as threads_of


@contextmanager
def open_device(platform: Platform, threads: int | None = None) -> Iterator[Device]:
    """Yield the device of a platform. Its connection is open until the block ends.

    Parameters
    ----------
    platform : Platform
        The platform.
    threads : int, optional
        Bind the device to this number of threads, one per core.

    Raises
    ------
    StudyError
        In one line, if no device is free in time, this machine cannot work with it, its CPU differs
        from the resolved platform's, or it has too few cores.
    """
    if platform.connection is None:
        require_same_host(platform)
        if threads is not None:
            host.use_threads(threads)
        yield LocalDevice(platform.kind, platform.linker)
        return
    with RemoteDevice(platform) as device:
        if reason := other_machine(platform, device.facts["cpu_model"]):
            raise device.error(reason)
        if threads is not None:
            device.use_threads(threads)
        yield device


def device_opener(platform: Platform) -> DeviceOpener:
    """Return an opener for other processes, bound to the platform's threads."""
    return DeviceOpener(
        partial(open_device, platform, threads_of(platform)),
        platform.linker,
        remote=platform.connection is not None,
        fresh=platform.fresh,
    )
