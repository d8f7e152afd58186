"""A layer as the auto-scheduler sees it: one convolution with its weight, and the space of codes that compute it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType

import numpy as np
import tvm
from tvm import tirx
from tvm.s_tir import Schedule

from dlas.primitives.convolution import Convolution
from dlas.primitives.decisions import Decisions, attach, attached
from dlas.primitives.kernel import Kernel
from dlas.primitives.layout import Layout
from dlas.primitives.vector import VectorUnit

Chosen = Mapping[str, int]


@dataclass(frozen=True, eq=False)
class Layer:
    """A convolution in a primitive and a format, nothing fused behind it. `weight` is [K, C / groups, R, S]."""

    primitive: ModuleType
    format: ModuleType
    weight: np.ndarray
    convolution: Convolution
    data_layout: Layout
    dtype: str
    vector: VectorUnit

    @property
    def name(self) -> str:
        """What the layer is called in logs and tables, as convolution_64x64_3x3_s1_32x32."""
        shape = self.convolution
        channels, size = (
            f"{shape.in_channels}x{shape.out_channels}",
            f"{shape.height}x{shape.width}",
        )
        rows, columns = shape.kernel
        return f"{shape.kind}_{channels}_{rows}x{columns}_s{shape.stride[0]}_{size}"

    @property
    def macs(self) -> float:
        """Multiply-accumulate operations that the format computes: in CSR those of the non-zeros."""
        dense = self.format.__name__.endswith(".dense")
        share = 1.0 if dense else np.count_nonzero(self.weight) / self.weight.size
        return self.convolution.macs * share

    @cached_property
    def space(self) -> dict[str, int]:
        """The number of options of each choice; where there is one option there is no choice."""
        decide = Decisions()
        self.format.schedule(
            self.primitive, Schedule(self._kernel(decide).function), self.vector, decide
        )
        return {name: options for name, options in decide.space.items() if options > 1}

    def kernel(self, chosen: Chosen) -> Kernel:
        """Return the unscheduled kernel of a point of the space, which it carries to its schedule."""
        kernel = self._kernel(Decisions(chosen))
        return Kernel(attach(kernel.function, chosen), kernel.constants, kernel.layout)

    def scheduled(self, kernel: Kernel) -> tirx.PrimFunc:
        """Return the function of `kernel`, scheduled."""
        return schedule_kernel(self.primitive, self.format, kernel.function, self.vector)

    def workload(self) -> tvm.IRModule:
        """Return the default kernel, unscheduled: what layers that can share schedules have in common."""
        return tvm.IRModule({"main": self.kernel({}).function.with_attr("global_symbol", "main")})

    def _kernel(self, decide: Decisions) -> Kernel:
        kernel: Kernel = self.format.kernel(
            self.primitive,
            self.weight,
            self.convolution,
            self.data_layout,
            self.dtype,
            self.vector,
            decide,
        )
        return kernel


Decide = Callable[[Layer], Chosen]


def by_default(layer: Layer) -> Chosen:
    """Choose the default schedule of every layer."""
    return {}


def schedule_kernel(
    primitive: ModuleType, format: ModuleType, function: tirx.PrimFunc, vector: VectorUnit
) -> tirx.PrimFunc:
    """Return a convolution's function, with whatever was fused behind it, scheduled as it asks for."""
    schedule = Schedule(function)
    format.schedule(primitive, schedule, vector, attached(schedule))
    return schedule.mod["main"].with_attr("global_symbol", "main")
