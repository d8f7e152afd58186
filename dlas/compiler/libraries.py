"""Build all libraries of a network for a target, in a process that may crash or hang."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from dlas import status
from dlas.compiler.build import build_library
from dlas.compiler.network import Network, load_network
from dlas.compiler.schedulers.plugin import load
from dlas.errors import FailedError, RowError
from dlas.processes import Worker, WorkerError

LOG = logging.getLogger("dlas")
# A compiler that takes longer than this hangs: the largest network takes a minute.
TIMEOUT_S = 3600.0


def build_libraries(
    network: tuple[str | Path, str | Path],
    configurations: Mapping[str, Mapping[str, str]],
    target: Mapping[str, Any],
    tunings: Mapping[str, Mapping[str, Any]],
    folder: Path,
    kernels: Path,
    linker: Sequence[str] = (),
) -> dict[str, dict[str, Any]]:
    """Build the libraries of a network, one after the other.

    Parameters
    ----------
    network : tuple of paths
        The network and its parameters, as `save_network` writes them.
    configurations : mapping of str to mapping
        "primitive", "format" and "tuning" of each library, by its name.
    target : mapping
        The complete TVM target.
    tunings : mapping of str to record
        Tuning record of each library whose tuning searches: "status" and "layers".
    folder : Path
        Folder where the libraries are written, under their names with the suffix .so.
    kernels : Path
        Folder of a `KernelCache`.
    linker : sequence of str
        Command that links them, as in `link`.

    Returns
    -------
    dict of str to record
        For each library "status", "variant" (primitive, format, tuning) and "target". If it was
        built, also the fields of `Library.record` and "library_bytes".
    """
    folder.mkdir(parents=True, exist_ok=True)
    records: dict[str, dict[str, Any]] = {}
    with (
        Worker(_builder, network, dict(target), kernels, list(linker)) as worker,
        tqdm(total=len(configurations), desc="building", unit="library", disable=None) as progress,
    ):
        for name, chosen in configurations.items():
            variant = [chosen[layer] for layer in ("primitive", "format", "tuning")]
            record: dict[str, Any] = {"variant": variant, "target": dict(target)}
            tuned = tunings.get(name)
            if tuned is not None and not status.ran(tuned["status"]):
                record["status"] = tuned["status"]
            else:
                layers = tuned and tuned["layers"]
                try:
                    record |= _build(worker, *variant, layers, folder / f"{name}.so")
                except RowError as error:
                    LOG.warning("%s: %s", name, error.status)
                    record["status"] = error.status
            records[name] = record
            progress.update()
    return records


def _build(worker: Worker, *arguments: Any) -> dict[str, Any]:
    """Return the record of one library. Raise RowError if it cannot be built."""
    # An error at the start of the process is not the library's.
    worker.open()
    try:
        record: dict[str, Any] = worker.call("build", *arguments, timeout_s=TIMEOUT_S)
    except WorkerError as error:
        error.raise_bug()
        LOG.warning("compiler", exc_info=error)
        raise FailedError(f"the compiler: {error}") from error
    return record


class _Builder:
    """The network, loaded in the worker's process."""

    def __init__(
        self, network: Network, target: dict[str, Any], kernels: Path, linker: Sequence[str]
    ) -> None:
        self.network, self.target = network, target
        self.kernels, self.linker = kernels, linker

    def build(
        self,
        primitive: str,
        weight_format: str,
        tuning: str,
        layers: Mapping[str, Any] | None,
        file: Path,
    ) -> dict[str, Any]:
        library = build_library(
            self.network,
            primitive,
            weight_format,
            self.target,
            layers,
            self.kernels,
            load(tuning),
        )
        library.export(file, self.linker)
        return library.record() | {"library_bytes": file.stat().st_size}


@contextmanager
def _builder(
    network: tuple[str | Path, str | Path],
    target: dict[str, Any],
    kernels: Path,
    linker: Sequence[str],
) -> Iterator[_Builder]:
    yield _Builder(load_network(*network), target, kernels, linker)
