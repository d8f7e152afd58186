"""Properties of this machine's GPU.

A subprocess asks the driver: a process that has used a GPU cannot be forked, and tuning forks.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import tvm

from dlas.errors import StudyError
from dlas.processes import Worker, WorkerError

TIMEOUT_S = 120.0


@cache
def facts(kind: str) -> dict[str, Any]:
    """Return the properties of this machine's first GPU.

    Parameters
    ----------
    kind : str
        TVM's name of its kind, such as "cuda".

    Returns
    -------
    dict
        Attributes of TVM's target for the GPU; empty without a GPU.

    Raises
    ------
    StudyError
        For a driver that fails or hangs.
    """
    with Worker(_driver, kind, fresh=True) as worker:
        try:
            found: dict[str, Any] = worker.call("facts", timeout_s=TIMEOUT_S)
        except WorkerError as error:
            raise StudyError(f"the GPU of kind {kind} gives no answer: {error}") from error
    return found


class _Driver:
    def __init__(self, kind: str) -> None:
        self.gpu = tvm.device(kind)

    def facts(self) -> dict[str, Any]:
        if not self.gpu.exist:
            return {}
        return {
            "arch": f"sm_{str(self.gpu.compute_version).replace('.', '')}",
            "max_threads_per_block": int(self.gpu.max_threads_per_block),
            "max_shared_memory_per_block": int(self.gpu.max_shared_memory_per_block),
            "thread_warp_size": int(self.gpu.warp_size),
        }


@contextmanager
def _driver(kind: str) -> Iterator[_Driver]:
    yield _Driver(kind)
