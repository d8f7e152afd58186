"""Training by several processes with PyTorch's DistributedDataParallel.

Each process has its part of every batch. With CUDA each process has a GPU, and they communicate
through NCCL; on a CPU through Gloo.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, distributed, nn
from torch.multiprocessing import ProcessRaisedException, start_processes
from torch.nn.parallel import DistributedDataParallel

from dlas.errors import RowError, StudyError, of_status

BACKENDS = {"cpu": "gloo", "cuda": "nccl"}


@dataclass(frozen=True)
class ProcessGroup:
    """The group of processes that train one network, as process `rank` of `size` sees it."""

    rank: int = 0
    size: int = 1

    def part(self, batch: Tensor) -> Tensor:
        """Return this process's part of a batch [B, ...], whose length is a multiple of `size`."""
        return batch.chunk(self.size)[self.rank]

    def total(self, values: Tensor) -> Tensor:
        """Sum the values of all processes in place, and return them."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def wrap_ddp(self, model: nn.Module, device: torch.device) -> nn.Module:
        """Wrap the network in DistributedDataParallel, which averages gradients."""
        if self.size == 1:
            return model
        return DistributedDataParallel(model, [device] if device.type == "cuda" else None)


SINGLE_PROCESS = ProcessGroup()


def launch(work: Callable[[ProcessGroup], object], processes: int, device: str) -> None:
    """Run `work` in several processes and wait for all of them.

    They are forked from this process, so data sets are not copied. If one fails, the others end.

    Parameters
    ----------
    work : callable
        Called in each process with its view of the group. Its result is dropped.
    processes : int
        Number of processes.
    device : {"cpu", "cuda"}
        With "cuda" each process has a GPU, and the calling process must not have used CUDA.

    Raises
    ------
    StudyError
        The error that `work` raised.
    """
    with TemporaryDirectory() as folder:
        try:
            start_processes(
                _run_member, (work, processes, device, Path(folder)), processes, start_method="fork"
            )
        except ProcessRaisedException:
            if (reason := Path(folder, "status")).exists():
                raise of_status(reason.read_text()) from None
            if (message := Path(folder, "error")).exists():
                raise StudyError(message.read_text()) from None
            raise


def _run_member(
    rank: int, work: Callable[[ProcessGroup], object], processes: int, device: str, folder: Path
) -> None:
    # OpenMP's threads do not survive a fork.
    torch.set_num_threads(1)
    if device == "cuda":
        torch.cuda.set_device(rank)
    distributed.init_process_group(
        BACKENDS[device],
        init_method=f"file://{folder}/meeting",
        rank=rank,
        world_size=processes,
    )
    try:
        work(ProcessGroup(rank, processes))
    except RowError as error:
        (folder / "status").write_text(error.status)
        raise
    except StudyError as error:
        (folder / "error").write_text(str(error))
        raise
    finally:
        distributed.destroy_process_group()
