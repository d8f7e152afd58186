"""Which workflows work in a folder: those that are alive, and none that was killed."""

import errno
import fcntl
from pathlib import Path
from typing import IO

_NO_LOCKS = (
    errno.ENOSYS,
    errno.ENOTSUP,
    errno.ENOLCK,
)  # of some shared file systems: --unlock is needed there
_OURS = "dlas.lock"  # beside Snakemake's own locks, which outlive a process that is killed


def take(folder: Path) -> IO[str]:
    """Return what says that this process works here, as long as it is open; the system closes it, whatever comes.

    Where no other process works here, locks that Snakemake left in its `folder`, ".snakemake", are of one that is
    dead, and are removed. Where another one does, they stay, and Snakemake says what is to be said.
    """
    folder.mkdir(exist_ok=True)
    lock = open(folder / _OURS, "w")  # noqa: SIM115 (open as long as the process)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return lock
    else:
        for stale in folder.glob("locks/*.lock"):
            stale.unlink(missing_ok=True)
    fcntl.flock(lock, fcntl.LOCK_SH)
    return lock
