"""The device that trains and evaluates networks, and the transfer of images to it."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor, nn
from torch.backends import cudnn
from torch.utils.data import DataLoader, TensorDataset

from dlas.datasets import Split
from dlas.errors import StudyError

DEVICES = ("cpu", "cuda")
# Share of a GPU's free memory that images may take; the rest is for the network.
MEMORY_SHARE = 0.4


def check(name: str, processes: int = 1) -> None:
    """Raise StudyError unless this machine has the device, for "cuda" one GPU per process.

    The check does not initialize CUDA, so this process can still be forked.

    Parameters
    ----------
    name : {"cpu", "cuda"}
        The device.
    processes : int
        Number of processes.
    """
    found = torch.cuda.device_count() if name == "cuda" else processes
    if found < processes:
        raise StudyError(
            f"models.device is cuda and models.processes is {processes}, but PyTorch "
            f"{torch.__version__} "
            f"finds {found} CUDA GPUs on this machine; allowed: one for each process, or "
            f"models.device: cpu"
        )


def device(name: str, rank: int = 0) -> torch.device:
    """Return the torch device of the process `rank`; with "cuda", the GPU of that number."""
    return torch.device(name, rank) if name == "cuda" else torch.device(name)


def of(model: nn.Module) -> torch.device:
    """Return the device of a network's tensors."""
    return next((tensor.device for tensor in model.state_dict().values()), torch.device("cpu"))


def repeatable(device: torch.device, tf32: bool) -> AbstractContextManager[None]:
    """Make cuDNN deterministic inside the context, with TF32 allowed or not."""
    if device.type == "cpu":
        return nullcontext()
    context: AbstractContextManager[None] = cudnn.flags(
        enabled=True, deterministic=True, allow_tf32=tf32
    )
    return context


def normalize(images: Tensor, mean: np.ndarray, std: np.ndarray) -> Tensor:
    """Normalize images on their device as `datasets.normalize` does.

    Parameters
    ----------
    images : Tensor
        uint8 [B, H, W, 3].
    mean, std : np.ndarray
        float32 [3], as in `Dataset`.

    Returns
    -------
    Tensor
        float32 [B, 3, H, W], a view in channels_last.
    """
    scale, offset = (
        torch.from_numpy(each.astype(np.float32)).to(images.device, non_blocking=True)
        for each in (1 / (255 * std), mean / std)
    )
    return (images * scale - offset).permute(0, 3, 1, 2)


def place(split: Split, device: torch.device) -> TensorDataset:
    """Place the images and labels of a split for training.

    Parameters
    ----------
    split : Split
        The training images.
    device : torch.device
        The device of the training.

    Returns
    -------
    TensorDataset
        uint8 [N, H, W, 3] and int64 [N], on the device if they fit there, else in main memory.
    """
    tensors = torch.from_numpy(split.images), torch.from_numpy(split.labels)
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        if split.images.nbytes > MEMORY_SHARE * free:
            return TensorDataset(*tensors)
    return TensorDataset(*(tensor.to(device) for tensor in tensors))


def batches(
    placed: TensorDataset, order: Sequence[Tensor], device: torch.device, workers: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches of images and labels on the device.

    Parameters
    ----------
    placed : TensorDataset
        The result of `place`. Worker processes load ahead from main memory.
    order : sequence of Tensor
        The indices of each batch.
    device : torch.device
        The device.
    workers : int
        Number of worker processes.

    Yields
    ------
    images : Tensor
        uint8 [B, H, W, 3].
    labels : Tensor
        int64 [B].
    """
    if placed.tensors[0].device != device:
        yield from fetched(placed, order, device, workers)
        return
    for chosen in order:
        images, labels = placed[chosen.to(device, non_blocking=True)]
        yield images, labels


def fetched(
    placed: TensorDataset, order: Sequence[Tensor], device: torch.device, workers: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches of `batches`, which workers gather and copy through pinned memory."""
    loader = DataLoader(
        placed,
        # Each element of the order is a batch already.
        batch_size=None,
        sampler=[chosen.tolist() for chosen in order],
        num_workers=workers,
        pin_memory=device.type == "cuda",
        # The global generator must draw for the training alone.
        generator=torch.Generator(),
    )
    for images, labels in loader:
        yield images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
