"""A layer as the search sees it: one convolution with its weight, and the space of codes that compute it."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
import tvm_ffi
from tvm import tirx
from tvm.s_tir import Schedule

from dlas.primitives.convolution import Convolution
from dlas.primitives.gpu import GPU
from dlas.primitives.kernel import Kernel
from dlas.primitives.knobs import Knobs, attach, attached
from dlas.primitives.layout import Layout
from dlas.primitives.plugin import Primitive, WeightFormat
from dlas.primitives.vector import VectorUnit

# A point of a layer's space; choices that it leaves out are as by default.
Chosen = Mapping[str, int]


@dataclass(frozen=True, eq=False)
class Layer:
    """A convolution in a primitive and a format, nothing fused behind it. `weight` is [K, C / groups, R, S]."""

    primitive: Primitive
    format: WeightFormat
    weight: np.ndarray
    convolution: Convolution
    data_layout: Layout
    dtype: str
    vector: VectorUnit | GPU

    @property
    def name(self) -> str:
        """What it computes, as convolution_64x64_3x3_s1_32x32."""
        shape = self.convolution
        rows, columns = shape.kernel
        size = f"{shape.in_channels}x{shape.out_channels}_{rows}x{columns}_s{shape.stride[0]}"
        return f"{shape.kind}_{size}_{shape.height}x{shape.width}"

    @property
    def macs(self) -> float:
        """Multiply-accumulate operations of one call; in CSR those of the non-zeros."""
        if self.format.__name__.endswith(".dense"):
            return float(self.convolution.macs)
        return self.convolution.macs * np.count_nonzero(self.weight) / self.weight.size

    @cached_property
    def space(self) -> dict[str, tuple[int, ...]]:
        """The options of each choice, by position, the default first; what has one option is no choice."""
        kernel, knobs = self._default
        self.format.schedule(self.primitive, Schedule(kernel.function), self.vector, knobs)
        return {name: tuple(range(options)) for name, options in knobs.space.items() if options > 1}

    @property
    def defaults(self) -> dict[str, int]:
        """The point of the default code."""
        return {name: options[0] for name, options in self.space.items()}

    def points(self) -> Iterator[dict[str, int]]:
        """Yield all points of the space, the defaults first."""
        for values in product(*self.space.values()):
            yield dict(zip(self.space, values, strict=True))

    @cached_property
    def workload(self) -> int:
        """A number that layers share whose default code is the same function; the same in every process."""
        return int(tvm_ffi.structural_hash(self.kernel({}).function))

    @property
    def label(self) -> str:
        """What its kernels are called in a network, whatever their point: the same for the same workload."""
        return f"{self.name}_{self.workload:016x}"

    def kernel(self, chosen: Chosen) -> Kernel:
        """Return the unscheduled kernel of a point, which it carries to its schedule, and its constants."""
        chosen = {name: option for name, option in chosen.items() if option}
        if not chosen:
            return self._default[0]
        kernel = self._kernel(Knobs(chosen))
        return Kernel(attach(kernel.function, chosen), kernel.constants, kernel.layout)

    def scheduled(self, kernel: Kernel) -> tirx.PrimFunc:
        """Return the function of one of its kernels, scheduled, under the name "main"."""
        schedule = Schedule(kernel.function)
        self.format.schedule(self.primitive, schedule, self.vector, attached(schedule))
        return schedule.mod["main"].with_attr("global_symbol", "main")

    @cached_property
    def _default(self) -> tuple[Kernel, Knobs]:
        """The default kernel, and the choices that it left open: made once, as every search begins with it."""
        knobs = Knobs()
        return self._kernel(knobs), knobs

    def _kernel(self, knobs: Knobs) -> Kernel:
        return self.format.kernel(
            self.primitive,
            self.weight,
            self.convolution,
            self.data_layout,
            self.dtype,
            self.vector,
            knobs,
        )


def workload_hash(layer: Layer, target: Mapping[str, Any]) -> str:
    """Return the name under which a layer's records for a target are kept."""
    rest = json.dumps([dict(target), layer.space], sort_keys=True)
    return f"{layer.workload:016x}-{hashlib.sha256(rest.encode()).hexdigest()[:16]}"
