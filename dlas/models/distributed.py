"""Training by several processes, each with its part of every batch: PyTorch's DistributedDataParallel.

On CUDA each process has a GPU and they talk through NCCL, on a CPU through Gloo.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, distributed, nn
from torch.multiprocessing import ProcessRaisedException, start_processes
from torch.nn.parallel import DistributedDataParallel

from dlas.errors import StudyError

BACKENDS = {"cpu": "gloo", "cuda": "nccl"}


@dataclass(frozen=True)
class Team:
    """The processes that train one network, as one of them, number `rank` of `size`, sees them."""

    rank: int = 0
    size: int = 1

    def part(self, batch: Tensor) -> Tensor:
        """Return this process's part of a batch [B, ...], whose length is a multiple of `size`."""
        return batch.chunk(self.size)[self.rank]

    def total(self, values: Tensor) -> Tensor:
        """Return the sum of all processes' values, on each of them; `values` become it."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def joined(self, model: nn.Module, device: torch.device) -> nn.Module:
        """Return the network such that its gradients are the mean of all processes'."""
        if self.size == 1:
            return model
        return DistributedDataParallel(model, [device] if device.type == "cuda" else None)


ALONE = Team()


def launch(work: Callable[[Team], object], processes: int, device: str) -> None:
    """Run `work` in so many processes on "cpu" or "cuda" and wait for all.

    They are forked from this one, so that data sets are not copied; it must not have used CUDA
    before. When one fails the others are ended. Raises the StudyError that `work` raised.
    """
    with TemporaryDirectory() as folder:
        try:
            start_processes(
                _member, (work, processes, device, Path(folder)), processes, start_method="fork"
            )
        except ProcessRaisedException:
            if (told := Path(folder, "error")).exists():
                raise StudyError(told.read_text()) from None
            raise


def _member(
    rank: int, work: Callable[[Team], object], processes: int, device: str, folder: Path
) -> None:
    torch.set_num_threads(1)  # OpenMP's threads do not survive a fork
    if device == "cuda":
        torch.cuda.set_device(rank)
    distributed.init_process_group(
        BACKENDS[device],
        init_method=f"file://{folder}/meeting",
        rank=rank,
        world_size=processes,
    )
    try:
        work(Team(rank, processes))
    except StudyError as error:
        (folder / "error").write_text(str(error))
        raise
    finally:
        distributed.destroy_process_group()
