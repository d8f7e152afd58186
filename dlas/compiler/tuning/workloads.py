"""The fused convolution kernels of a network as tasks of the auto-scheduler."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tvm
import tvm_ffi
from tvm import tirx
from tvm.s_tir import Schedule
from tvm.target import Target

from dlas import primitives
from dlas.compiler.build import complete, fuse_operators, kernel_calls
from dlas.compiler.lowering import lower
from dlas.compiler.network import Network
from dlas.compiler.schedulers import untuned
from dlas.compiler.tuning.building import write_kernel
from dlas.compiler.tuning.database import Database, Measured
from dlas.compiler.tuning.rules import supports
from dlas.compiler.workload import dot_products, label_of, named_main, workload_key
from dlas.errors import UnsupportedError
from dlas.files import read_json, write_json
from dlas.primitives import tiling
from dlas.primitives.vector import processor

# Standard deviation of random constants. Sums of thousands of products then stay in the range where
# activations are not flat.
CONSTANT_STD = 0.1


@dataclass(frozen=True)
class TraceTrial(Measured):
    """The trace of a candidate, in JSON, and its samples."""

    trace: list[Any]
    samples: tuple[float, ...]


class TraceRecords(Database[TraceTrial]):
    """The records of one workload, and the samples of its default schedule."""

    def trial(self, trace: list[Any], samples: tuple[float, ...]) -> TraceTrial | None:
        """Return the trial of a trace as MetaSchedule writes it, None for a damaged one."""
        instructions, decisions = trace
        alright = isinstance(instructions, list) and isinstance(decisions, list)
        return TraceTrial(trace, samples) if alright else None


@dataclass(frozen=True, eq=False)
class Workload:
    """A fused convolution kernel of a network.

    Attributes
    ----------
    name : str
        Kind, shape and epilogue, e.g. convolution_64x64_3x3_s1_32x32_add_relu.
    label : str
        Label of its layer, see `label_of`.
    key : str
        Its `workload_key`.
    calls : int
        How often the network runs it.
    function : PrimFunc
        The unscheduled kernel.
    default_code : Schedule
        The kernel with the default schedule of its primitive.
    target : Target
        Its target.
    records : TraceRecords
        Its trials.
    """

    name: str
    label: str
    key: str
    calls: int
    function: tirx.PrimFunc
    default_code: Schedule
    target: Target
    records: TraceRecords

    @cached_property
    def constants(self) -> list[np.ndarray]:
        """Random arrays for all parameters between input and output, equal in each process."""
        random = np.random.default_rng(0)
        types = [parameter.ty for parameter in self.function.params[1:-1]]
        return [_random(random, [int(e) for e in ty.shape], str(ty.dtype)) for ty in types]

    @property
    def constant_bytes(self) -> int:
        """Size of the constants."""
        return sum(constant.nbytes for constant in self.constants)

    def write(self, candidate: Schedule, folder: Path, linker: Sequence[str]) -> None:
        """Write the library of a scheduled kernel."""
        function = named_main(candidate.mod["main"])
        write_kernel(function, self.constants, self.target, folder, linker)

    def default_trial(self) -> Measured | None:
        """Return the trial of the default schedule, None if it is not measured yet."""
        file = self._default_file
        return TraceTrial([], tuple(read_json(file))) if file.exists() else None

    def record_default(self, samples: Sequence[float]) -> None:
        """Write the samples of the default schedule, in seconds."""
        write_json(self._default_file, list(samples))

    @property
    def _default_file(self) -> Path:
        content = tvm_ffi.structural_hash(self.default_code.mod["main"])
        return self.records.folder / f"default-{content:016x}.json"


def find_workloads(
    network: Network, primitive: str, weight_format: str, target: dict[str, Any], records: Path
) -> list[Workload]:
    """Return the distinct convolution kernels of a network, with their records.

    Parameters
    ----------
    network : Network
        The network.
    primitive, weight_format : str
        Algorithm of its layers and format of their weights.
    target : dict
        The complete TVM target.
    records : Path
        Folder of records, with one folder for each workload and target.

    Returns
    -------
    list of Workload
        The kernels.

    Raises
    ------
    UnsupportedError
        For a format or a target for which MetaSchedule has no rules.
    """
    compiled_for = complete(target)
    algorithm, stored = primitives.load(primitive), primitives.load_format(weight_format)
    vector = processor(compiled_for, network.dtype)
    if reason := supports(stored, vector):
        raise UnsupportedError(reason)
    # A database replays its traces, which name dot products.
    dot_products(compiled_for)
    module = fuse_operators(lower(network, algorithm, stored, vector))
    kernels: dict[str, str] = {}
    calls: Counter[str] = Counter()
    for name, count in kernel_calls(module).items():
        if tiling.CONVOLUTION in tiling.block_names(Schedule(module[name])):
            key = workload_key(module[name])
            kernels.setdefault(key, name)
            calls[key] += count
    found = []
    for key, name in kernels.items():
        function = named_main(module[name])
        schedule = Schedule(function)
        untuned.schedule(schedule, algorithm, stored, vector)
        folder = records / f"{key}-{_machine(target)}"
        found.append(
            Workload(
                re.sub(r"_[0-9a-f]{16}", "", name).removeprefix("fused_"),
                label_of(name) or name,
                key,
                calls[key],
                function,
                schedule,
                compiled_for,
                TraceRecords(folder, tvm.IRModule({"main": function}), compiled_for),
            )
        )
    return found


def _machine(target: Mapping[str, Any]) -> str:
    """Return a hash of the target and of TVM's version."""
    described = json.dumps([dict(target), tvm.__version__], sort_keys=True)
    return hashlib.sha256(described.encode()).hexdigest()[:16]


def _random(random: np.random.Generator, shape: Sequence[int], dtype: str) -> np.ndarray:
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        return random.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    return (CONSTANT_STD * random.standard_normal(shape, "float32")).astype(dtype)
