"""Compile candidates in parallel, each in a separate process."""

import json
import multiprocessing
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import wait
from multiprocessing.context import ForkProcess
from pathlib import Path

import numpy as np
import tvm
from tvm import tirx
from tvm.target import Target

from dlas.compiler.layer import Layer
from dlas.compiler.library import link
from dlas.compiler.pipeline import compile_module

# Forked processes inherit layers and imports. Forking is safe because this process runs no kernels,
# which would start TVM's threads.
FORK = multiprocessing.get_context("fork")
LIBRARY, SHAPES, REASON = "kernel.so", "shapes.json", "reason.txt"


@dataclass(frozen=True)
class Job:
    """A library to build.

    Attributes
    ----------
    write : callable
        Writes the library and its data into a folder.
    folder : Path
        The folder, which must not exist yet.
    """

    write: Callable[[Path], None]
    folder: Path


@dataclass(frozen=True)
class Built:
    """The result of a job: the reason of its failure, None on success, and the seconds it took."""

    reason: str | None
    seconds: float


def build(jobs: Sequence[Job], timeout_s: float) -> list[Built]:
    """Run all jobs, one on each CPU at a time, and return their results in order.

    A job that takes longer than `timeout_s` is killed.
    """
    waiting = list(enumerate(jobs))[::-1]
    running: dict[int, tuple[int, ForkProcess, float]] = {}
    built: dict[int, Built] = {}
    cpus = len(os.sched_getaffinity(0))
    while waiting or running:
        while waiting and len(running) < cpus:
            number, job = waiting.pop()
            process = FORK.Process(target=_build, args=(job,), daemon=True)
            process.start()
            running[process.sentinel] = number, process, time.monotonic()
        soonest = min(start for _, _, start in running.values()) + timeout_s
        ended = wait(list(running), timeout=max(0.0, soonest - time.monotonic()))
        for sentinel, (number, process, start) in list(running.items()):
            seconds = time.monotonic() - start
            if sentinel in ended:
                process.join()
                built[number] = Built(_reason(jobs[number], process.exitcode), seconds)
            elif seconds >= timeout_s:
                process.kill()
                process.join()
                built[number] = Built(f"compiling takes longer than {timeout_s:g} s", seconds)
            else:
                continue
            process.close()
            del running[sentinel]
    return [built[number] for number in range(len(jobs))]


def _reason(job: Job, status: int | None) -> str | None:
    if status == 0:
        return None
    reason = job.folder / REASON
    return reason.read_text() if reason.exists() else f"the compiler died with status {status}"


def _build(job: Job) -> None:
    job.folder.mkdir(parents=True)
    try:
        job.write(job.folder)
    except BaseException as error:
        lines = str(error).strip().splitlines() or [repr(error)]
        (job.folder / REASON).write_text(f"{type(error).__name__}: {lines[-1]}")
        os._exit(1)
    # Skip the clean-up at exit of objects that belong to the parent.
    os._exit(0)


def write_candidate(
    layer: Layer,
    decisions: Mapping[str, int],
    target: Target,
    folder: Path,
    linker: Sequence[str] = (),
) -> None:
    """Write the files of a layer's code with some decisions.

    Parameters
    ----------
    layer : Layer
        The layer.
    decisions : mapping of str to int
        The point of its search space.
    target : Target
        The target.
    folder : Path
        Existing folder for the files, which are those of `write_kernel`.
    linker : sequence of str
        Command that links, as in `link`.
    """
    kernel = layer.kernel(decisions)
    write_kernel(layer.scheduled(kernel), kernel.constants, target, folder, linker)


def write_kernel(
    function: tirx.PrimFunc,
    constants: Sequence[np.ndarray],
    target: Target,
    folder: Path,
    linker: Sequence[str] = (),
) -> None:
    """Write the library of a scheduled kernel, its constants and its shapes.

    The files are `LIBRARY`, `SHAPES` (shape and dtype of input and output) and one .npy file for
    each constant.

    Parameters
    ----------
    function : tirx.PrimFunc
        The kernel. Its first parameter is the input, its last one the output, and all between are
        constants.
    constants : sequence of np.ndarray
        The constants.
    target : Target
        The target.
    folder : Path
        Existing folder for the files.
    linker : sequence of str
        Command that links, as in `link`.
    """
    first, *_, last = (parameter.ty for parameter in function.params)
    shapes = [[[int(extent) for extent in ty.shape], str(ty.dtype)] for ty in (first, last)]
    (folder / SHAPES).write_text(json.dumps(shapes))
    for number, constant in enumerate(constants):
        np.save(folder / f"{number}.npy", constant)
    library = compile_module(tvm.IRModule({"main": function}), target)
    library.export_library(str(folder / LIBRARY), fcompile=partial(link, linker=linker))
