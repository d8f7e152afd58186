"""Train on a CPU or GPUs: best checkpoint, history by epoch."""

import logging
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from dlas.datasets import Dataset, Split, normalized, top1
from dlas.errors import FailedError, StudyError, WrongError, unknown
from dlas.models import accuracy, checkpoint, devices, training_state
from dlas.models.distributed import SINGLE_PROCESS, ProcessGroup, launch

OPTIMIZERS = ("adamw", "sgd")
SCHEDULES = ("one_cycle", "cosine")
# Steps between two checks that the loss is finite; each check makes a GPU wait.
LOSS_CHECK_STEPS = {"cpu": 1, "cuda": 50}
HISTORY = (
    "epoch",
    "learning_rate",
    "train_loss",
    "train_top1",
    "validation_loss",
    "validation_top1",
    "seconds",
)

LOG = logging.getLogger("dlas")


@dataclass(frozen=True)
class Recipe:
    """The hyperparameters of training one model on one data set.

    Attributes
    ----------
    optimizer : {"adamw", "sgd"}
        "sgd" has Nesterov momentum 0.9.
    learning_rate : float
        The peak of the schedule.
    weight_decay : float
        Weight decay; none for biases and batch normalization.
    epochs : int
        Passes over the training images.
    batch_size : int
        Images per step, of all processes.
    pad_crop : int
        Pixels of reflected padding before a random crop of the original size; 0 disables it.
    horizontal_flip : bool
        Whether half of the images are mirrored at random.
    label_smoothing : float
        Share of the target that is spread over all classes.
    bfloat16 : bool
        Whether the forward pass is in mixed precision. On a CPU this is faster for dense
        convolutions and slower for depthwise ones.
    schedule : {"one_cycle", "cosine"}
        "one_cycle" rises to the peak and falls again (Smith and Topin, arXiv:1708.07120). "cosine"
        falls from it (Loshchilov and Hutter, arXiv:1608.03983, without restarts). Both change at
        each step.
    device : {"cpu", "cuda"}
        Device of training.
    processes : int
        Processes that share each batch, see `distributed`.

    Raises
    ------
    StudyError
        For values out of range.
    """

    optimizer: str
    learning_rate: float
    weight_decay: float
    epochs: int
    batch_size: int
    pad_crop: int = 0
    horizontal_flip: bool = False
    label_smoothing: float = 0.0
    bfloat16: bool = False
    schedule: str = "one_cycle"
    device: str = "cpu"
    processes: int = 1

    def __post_init__(self) -> None:
        for name, chosen, known in (
            ("optimizer", self.optimizer, OPTIMIZERS),
            ("schedule", self.schedule, SCHEDULES),
            ("device", self.device, devices.DEVICES),
        ):
            if chosen not in known:
                raise unknown(name, chosen, known)
        for name, right, allowed in (
            ("learning_rate", self.learning_rate > 0, "a number above 0"),
            ("weight_decay", self.weight_decay >= 0, "0 or more"),
            ("epochs", self.epochs >= 1, "1 or more"),
            ("processes", self.processes >= 1, "1 or more"),
            ("batch_size", self.batch_size >= 2, "2 or more, for batch normalization"),
            ("pad_crop", self.pad_crop >= 0, "0 or more"),
            ("label_smoothing", 0 <= self.label_smoothing < 1, "from 0 to below 1"),
        ):
            if not right:
                raise StudyError(
                    f"the {name} {getattr(self, name)} is not allowed; it must be {allowed}"
                )
        if self.batch_size % self.processes or self.batch_size < 2 * self.processes:
            raise StudyError(
                f"the batch_size {self.batch_size} is not allowed with {self.processes} processes; "
                "it must be a multiple of their number, with at least 2 images for each"
            )


def recipe(settings: Mapping[str, Any]) -> Recipe:
    """Return the recipe with these fields; raise StudyError for an unknown or missing one."""
    names = {field.name for field in fields(Recipe)}
    for name in settings:
        if name not in names:
            raise unknown("training setting", name, names)
    try:
        return Recipe(**settings)
    except TypeError as error:
        raise StudyError(f"the training settings are incomplete: {error}") from error


def train(
    model: nn.Module,
    dataset: Dataset,
    recipe: Recipe,
    seed: int,
    threads: int = 1,
    progress: bool = True,
    resume_from: Path | None = None,
) -> list[dict[str, Any]]:
    """Train the model in place and leave it with the weights of its best epoch, in evaluation mode.

    The best epoch has the highest top-1 on the validation split, then the lowest loss there. The
    network is trained on the recipe's device and returned to the CPU. The result is deterministic
    for a seed, thread count and machine.

    Parameters
    ----------
    model : nn.Module
        float32 network on the CPU.
    dataset : Dataset
        The `train` split trains, and `validation` chooses the epoch.
    recipe : Recipe
        Optimizer, schedule, augmentation and device.
    seed : int
        Seed of the order of the images, their augmentation and dropout.
    threads : int
        CPU threads.
    progress : bool
        Whether stderr shows a progress bar with rate, time left and validation top-1.
    resume_from : Path, optional
        File of the state after each epoch, removed when training ends. A killed training resumes
        from it, with the same result.

    Returns
    -------
    list of dict
        A row for each epoch, with the keys `HISTORY`.

    Raises
    ------
    StudyError
        If the machine lacks the device, or the images are too few or too small for the recipe.
    FailedError
        If a loss, a weight or a logit is not finite.
    """
    devices.check(recipe.device, recipe.processes)
    _check_images(dataset.train, recipe)
    alone = recipe.processes == 1
    drawing = [devices.device("cuda")] if recipe.device == "cuda" and alone else []
    threads_before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with TemporaryDirectory() as folder, torch.random.fork_rng(drawing):
            torch.manual_seed(seed)
            state_file = resume_from or (None if alone else Path(folder, "state.pt"))
            key = training_state.key_of(model, dataset, recipe, seed, threads) if state_file else ""
            run = _train if alone else _train_together
            rows = run(model, dataset, recipe, threads, progress, state_file, key)
            if resume_from:
                training_state.remove(resume_from)
            return rows
    finally:
        torch.set_num_threads(threads_before)


def _check_images(split: Split, recipe: Recipe) -> None:
    count, size = len(split.labels), min(split.images.shape[1:3])
    if count < 2 * recipe.processes:
        raise StudyError(
            f"{count} training images are too few for {recipe.processes} processes; allowed: "
            "at least 2 for each, for batch normalization"
        )
    if recipe.pad_crop >= size:
        raise StudyError(
            f"the pad_crop {recipe.pad_crop} is not allowed; it must be less than the {size} "
            f"pixels "
            "on each side of the images, which are reflected"
        )


def _train_together(
    model: nn.Module,
    dataset: Dataset,
    recipe: Recipe,
    threads: int,
    progress: bool,
    resume_from: Path | None,
    key: str,
) -> list[dict[str, Any]]:
    """Train in several processes; the first saves the state, and this one loads it at the end."""

    def work(group: ProcessGroup) -> None:
        workers = max(1, threads // group.size)
        _train(
            model, dataset, recipe, workers, progress and group.rank == 0, resume_from, key, group
        )

    launch(work, recipe.processes, recipe.device)
    ended = training_state.read(resume_from, key) if resume_from else None
    if ended is None:
        raise StudyError(f"{resume_from} was removed while the training wrote to it")
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.load_state_dict(ended["best_weights"])
    model.eval()
    rows: list[dict[str, Any]] = ended["rows"]
    return rows


def _train(
    model: nn.Module,
    dataset: Dataset,
    recipe: Recipe,
    workers: int,
    progress: bool,
    resume_from: Path | None,
    key: str,
    group: ProcessGroup = SINGLE_PROCESS,
) -> list[dict[str, Any]]:
    device = devices.device(recipe.device, group.rank)
    count = len(dataset.train.labels)
    batch_size = min(recipe.batch_size, count // group.size * group.size)
    # The last, smaller batch is dropped; it has other images in each epoch.
    steps = count // batch_size
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = _optimizer(model, recipe)
    schedule = _schedule(optimizer, recipe, steps)
    best, best_weights = (-1.0, 0.0), model.state_dict()
    rows: list[dict[str, Any]] = []
    if resume_from and (before := training_state.read(resume_from, key)):
        model.load_state_dict(before["model"])
        optimizer.load_state_dict(before["optimizer"])
        schedule.load_state_dict(before["schedule"])
        torch.random.set_rng_state(before["random"])
        best, best_weights, rows = before["best"], before["best_weights"], before["rows"]
        LOG.info("training goes on after epoch %d of %d", len(rows), recipe.epochs)
    done = len(rows)
    network = group.wrap_ddp(model, device)
    placed = devices.place(dataset.train, device)
    total = recipe.epochs * steps
    with (
        devices.repeatable(device, tf32=True),
        tqdm(total=total, initial=done * steps, unit="batch", disable=not progress) as bar,
    ):
        for epoch in range(done + 1, recipe.epochs + 1):
            start = time.perf_counter()
            model.train()
            if device.type == "cuda":
                # Dropout draws on the GPU. A seed for each epoch makes its state redundant.
                torch.cuda.manual_seed(int(torch.randint(2**62, ())) + group.rank)
            order = torch.randperm(count)[: steps * batch_size].split(batch_size)
            mine = [group.part(chosen) for chosen in order]
            batches = devices.batches(placed, mine, device, workers)
            loss_sum, correct, learning_rate = _epoch(
                network, batches, dataset, optimizer, schedule, recipe, epoch, group, bar
            )
            if group.rank:
                # The first process validates and saves for all.
                continue
            validation_loss, validation_top1 = _validate(model, dataset, epoch, recipe)
            rows.append(
                {
                    "epoch": epoch,
                    "learning_rate": learning_rate,
                    "train_loss": loss_sum / steps,
                    "train_top1": 100 * correct / (steps * batch_size),
                    "validation_loss": validation_loss,
                    "validation_top1": validation_top1,
                    "seconds": time.perf_counter() - start,
                }
            )
            if (validation_top1, -validation_loss) > best:
                best = (validation_top1, -validation_loss)
                best_weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
            bar.set_postfix_str(f"validation top-1 {validation_top1:.1f} %")
            if resume_from:
                state = {
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "schedule": schedule.state_dict(),
                    "random": torch.random.get_rng_state(),
                    "best": best,
                    "best_weights": best_weights,
                    "rows": rows,
                }
                training_state.save(resume_from, key, state)
    model.load_state_dict(best_weights)
    model.to("cpu")
    model.eval()
    return rows


def _epoch(
    network: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    dataset: Dataset,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    recipe: Recipe,
    epoch: int,
    group: ProcessGroup,
    bar: "tqdm[Any]",
) -> tuple[float, int, float]:
    """Take a step with each batch; return summed loss, correct images and learning rate.

    The first two are those of all processes.
    """
    loss_sum, learning_rate = 0.0, 0.0
    losses: list[Tensor] = []
    right: list[Tensor] = []
    for images, labels in batches:
        normal = devices.normalize(images, dataset.mean, dataset.std)
        batch = _augment(normal, recipe, group)
        with torch.autocast(recipe.device, torch.bfloat16, enabled=recipe.bfloat16):
            outputs = network(batch)
        loss = functional.cross_entropy(
            outputs.float(), labels, label_smoothing=recipe.label_smoothing
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        learning_rate = float(schedule.get_last_lr()[0])
        schedule.step()
        losses.append(loss.detach())
        right.append((outputs.argmax(1) == labels).sum())
        if len(losses) == LOSS_CHECK_STEPS[recipe.device]:
            loss_sum += _sum(losses, network, epoch, recipe, group)
            losses.clear()
        bar.update()
    loss_sum += _sum(losses, network, epoch, recipe, group)
    return loss_sum, int(group.total(torch.stack(right).sum())), learning_rate


def _sum(
    losses: list[Tensor], network: nn.Module, epoch: int, recipe: Recipe, group: ProcessGroup
) -> float:
    """Return the sum of all processes' mean losses; raise FailedError if one is not finite."""
    if not losses:
        return 0.0
    values: list[float] = (group.total(torch.stack(losses)) / group.size).tolist()
    for value in values:
        if not math.isfinite(value):
            raise _diverged(f"the loss is {value}", network, epoch, recipe)
    return sum(values)


def _validate(
    model: nn.Module, dataset: Dataset, epoch: int, recipe: Recipe
) -> tuple[float, float]:
    """Return `evaluate` of the validation split; raise FailedError if a value is not finite."""
    try:
        loss, accurate = evaluate(model, dataset.validation, dataset)
    except WrongError as error:
        raise _diverged(f"validation {error}", model, epoch, recipe) from error
    if not math.isfinite(loss) or checkpoint.not_finite(model.state_dict()):
        raise _diverged(f"the validation loss is {loss}", model, epoch, recipe)
    return loss, accurate


def _diverged(what: str, network: nn.Module, epoch: int, recipe: Recipe) -> FailedError:
    """Return the error of a training with values that are not finite."""
    name = checkpoint.not_finite(network.state_dict())
    # DistributedDataParallel adds this prefix to names.
    tensor = f", {name.removeprefix('module.')} is not finite" if name else ""
    return FailedError(
        f"training diverged in epoch {epoch}: {what}{tensor}; learning_rate is "
        f"{recipe.learning_rate}, allowed: a lower one (models.training, compression.fine_tuning)"
    )


def evaluate(model: nn.Module, split: Split, dataset: Dataset) -> tuple[float, float]:
    """Evaluate a network on a split of a data set.

    Parameters
    ----------
    model : nn.Module
        The network.
    split : Split
        Images and labels.
    dataset : Dataset
        The data set of the split, for its mean and standard deviation.

    Returns
    -------
    tuple of (float, float)
        The mean cross-entropy, and the top-1 in percent.

    Raises
    ------
    WrongError
        For logits that are not finite.
    """
    outputs = accuracy.logits(model, normalized(split, dataset))
    loss = functional.cross_entropy(torch.from_numpy(outputs), torch.from_numpy(split.labels))
    return loss.item(), top1(outputs, split.labels)


def _optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Return the optimizer, with weight decay only on weights of convolutions and linear layers."""
    decayed = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            groups, recipe.learning_rate, momentum=0.9, nesterov=True, fused=True
        )
    return torch.optim.AdamW(groups, recipe.learning_rate, fused=True)


def _schedule(
    optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """Return the schedule of the learning rate, with `steps` steps an epoch."""
    if recipe.schedule == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.epochs * steps)
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        recipe.learning_rate,
        epochs=recipe.epochs,
        steps_per_epoch=steps,
        cycle_momentum=False,
    )


def _augment(images: Tensor, recipe: Recipe, group: ProcessGroup = SINGLE_PROCESS) -> Tensor:
    """Return float32 [B, 3, H, W], each image cropped and mirrored at random.

    The random numbers of all processes are drawn on the CPU, so they are the same for any device
    and number of processes.
    """
    count, _, height, width = images.shape
    device = images.device
    if recipe.pad_crop:
        padded = functional.pad(images, [recipe.pad_crop] * 4, mode="reflect")
        top, left = (
            group.part(each).to(device, non_blocking=True)
            for each in torch.randint(2 * recipe.pad_crop + 1, (2, group.size * count))
        )
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)
        images = windows[torch.arange(count, device=device), :, top, left]
    if recipe.horizontal_flip:
        drawn = torch.rand(group.size * count) < 0.5
        mirrored = group.part(drawn).to(device, non_blocking=True)
        images = torch.where(mirrored.view(-1, 1, 1, 1), images.flip(3), images)
    return images.contiguous(memory_format=torch.channels_last)
